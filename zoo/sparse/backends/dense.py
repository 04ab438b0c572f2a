"""Backend `dense`: torch's conv3d on the whole grid; what sparse convolution is compared with.

It computes on every voxel of the bounding box, occupied or not, and reads the occupied ones off the
result, so the same network with the same weights gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d, max_pool3d, pad

from zoo.errors import BackendError
from zoo.sparse.backend import Fallbacks
from zoo.sparse.memory import free_memory
from zoo.sparse.relation import kernel_size
from zoo.sparse.tensor import Index, SparseTensor

Box = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class BoxIndex:
    """A mask (B, I, J, K) of occupied voxels; `origin` is its first one, in units of the stride."""

    backend: DenseBackend
    mask: Tensor
    origin: Box
    stride: int

    @property
    def batch_size(self) -> int:
        return len(self.mask)

    @property
    def coordinates(self) -> Tensor:
        points = self.mask.nonzero()
        origin = torch.tensor([0, *self.origin], device=points.device)
        scale = torch.tensor([1, *[self.stride] * 3], device=points.device)
        return (points + origin) * scale

    def __len__(self) -> int:
        return int(self.mask.sum())

    def spread(self, features: Tensor) -> Tensor:
        """Rows (N, C) -> grid (B, C, I, J, K), zero where nothing is."""
        grid = features.new_zeros(*self.mask.shape, features.shape[1])
        grid[self.mask] = features
        return torch.einsum("b i j k c -> b c i j k", grid)

    def gather(self, grid: Tensor) -> SparseTensor:
        """Grid (B, C, I, J, K) -> rows of the occupied voxels."""
        return SparseTensor(torch.einsum("b c i j k -> b i j k c", grid)[self.mask], self)

    def padded(self, low: Sequence[int], high: Sequence[int]) -> BoxIndex:
        """The same voxels in a box that has so many more on either side."""
        origin = tuple(o - n for o, n in zip(self.origin, low, strict=True))
        mask = pad(self.mask, _pads(low, high))
        return BoxIndex(self.backend, mask, origin, self.stride)  # type: ignore[arg-type]


class DenseBackend(Fallbacks):
    name = "dense"

    def check_device(self, device: torch.device) -> None:
        """Every device that PyTorch has will do."""

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        points = coordinates.clone()
        points[:, 1:] = points[:, 1:].div(stride, rounding_mode="floor")
        low, high = points[:, 1:].amin(0), points[:, 1:].amax(0)
        shape = (batch_size, *(high - low + 1).tolist())
        _check_memory(shape, 1, points.device)
        points[:, 1:] -= low
        mask = torch.zeros(shape, dtype=torch.bool, device=points.device)
        mask[points.unbind(1)] = True
        rows = torch.arange(len(points), device=points.device)
        return BoxIndex(self, mask, tuple(low.tolist()), stride), rows

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        weight = _weight(kernel, "k j i n m -> m n i j k")
        if stride == 1:
            source = _box(x.index)
            _check_memory(source.mask.shape, kernel.shape[1] + kernel.shape[2], kernel.device)
            return source.gather(conv3d(source.spread(x.features), weight, padding=1))
        source = _even(_box(x.index))
        _check_memory(source.mask.shape, kernel.shape[1] + kernel.shape[2], kernel.device)
        return _coarse(source).gather(conv3d(source.spread(x.features), weight, stride=2))

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        source = _box(x.index)
        _check_memory(source.mask.shape, 8 * (kernel.shape[1] + kernel.shape[2]), kernel.device)
        ones = torch.ones_like(kernel[:, :1, :1])
        reach = conv_transpose3d(
            source.spread(x.features.new_ones(len(x), 1)),
            _weight(ones, "k j i n m -> n m i j k"),
            stride=2,
        )
        i, j, k = (2 * o for o in source.origin)
        target = BoxIndex(self, reach[:, 0] > 0.5, (i, j, k), x.stride // 2)
        weight = _weight(kernel, "k j i n m -> n m i j k")
        return target.gather(conv_transpose3d(source.spread(x.features), weight, stride=2))

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        source, target = _box(x.index), _box(index)
        _check_memory(source.mask.shape, 8 * (kernel.shape[1] + kernel.shape[2]), kernel.device)
        weight = _weight(kernel, "k j i n m -> n m i j k")
        grid = conv_transpose3d(source.spread(x.features), weight, stride=2)
        # Cut to the target's box, or padded: a negative pad cuts.
        first = [2 * o for o in source.origin]
        end = [o + n for o, n in zip(first, grid.shape[2:], strict=True)]
        low = [o - t for o, t in zip(first, target.origin, strict=True)]
        high = [t - e for t, e in zip(_end(target), end, strict=True)]
        return target.gather(pad(grid, _pads(low, high)))

    def prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        source = _box(x.index)
        mask = source.mask.clone()
        mask[source.mask] = keep
        return SparseTensor(x.features[keep], BoxIndex(self, mask, source.origin, source.stride))

    def add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor:
        a, b = _common(_box(x.index), _box(y.index))
        union = BoxIndex(self, a.mask | b.mask, a.origin, a.stride)
        return union.gather(a.spread(x.features) + b.spread(y.features))

    def coarsen(self, index: Index) -> Index:
        return _coarse(_even(_box(index)))

    def contains(self, index: Index, other: Index) -> Tensor:
        a, b = _common(_box(index), _box(other))
        return b.mask[a.mask]


def _box(index: Index) -> BoxIndex:
    assert isinstance(index, BoxIndex)
    return index


def _weight(kernel: Tensor, axes: str) -> Tensor:
    """Kernel (K, C_in, C_out), first axis fastest, in the order of axes that torch wants."""
    size = kernel_size(len(kernel))
    return torch.einsum(axes, kernel.reshape(size, size, size, *kernel.shape[1:]))


def _even(index: BoxIndex) -> BoxIndex:
    """Padded so that the origin and the lengths are even: halving it cuts no coarse voxel."""
    low = [origin % 2 for origin in index.origin]
    high = [(n + extra) % 2 for n, extra in zip(index.mask.shape[1:], low, strict=True)]
    return index.padded(low, high)


def _coarse(even: BoxIndex) -> BoxIndex:
    mask = max_pool3d(even.mask.unsqueeze(1).float(), 2).squeeze(1) > 0
    i, j, k = (origin // 2 for origin in even.origin)
    return BoxIndex(even.backend, mask, (i, j, k), 2 * even.stride)


def _common(a: BoxIndex, b: BoxIndex) -> tuple[BoxIndex, BoxIndex]:
    """Both in the smallest box that holds both."""
    low = [min(pair) for pair in zip(a.origin, b.origin, strict=True)]
    high = [max(pair) for pair in zip(_end(a), _end(b), strict=True)]

    def fit(index: BoxIndex) -> BoxIndex:
        before = [o - n for o, n in zip(index.origin, low, strict=True)]
        after = [n - e for n, e in zip(high, _end(index), strict=True)]
        return index.padded(before, after)

    return fit(a), fit(b)


def _end(index: BoxIndex) -> list[int]:
    return [o + n for o, n in zip(index.origin, index.mask.shape[1:], strict=True)]


def _pads(low: Sequence[int], high: Sequence[int]) -> list[int]:
    """What torch's pad takes: the last axis first."""
    return [n for pair in zip(reversed(low), reversed(high), strict=True) for n in pair]


def _check_memory(shape: Sequence[int], channels: int, device: torch.device) -> None:
    """Refuse a grid of (B, I, J, K) with so many float32 channels if it does not fit."""
    needed = channels * 4
    for length in shape:
        needed *= length
    free = free_memory(device)
    if needed > free:
        grid = " x ".join(map(str, shape))
        raise BackendError(
            f"backend dense needs {needed / 1e9:.1f} GB for {channels} channels on a grid of {grid}"
            f" and {free / 1e9:.1f} GB are free: take a smaller grid, or backend cpu"
        )
