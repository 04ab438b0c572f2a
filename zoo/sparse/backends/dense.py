"""Backend `dense`: torch's conv3d on the whole grid; what sparse convolution is compared with.

It computes on every voxel of the bounding box, occupied or not, and reads the occupied ones off the
result, so the same network with the same weights gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d, max_pool3d, pad
from torch.nn.grad import conv3d_weight

from zoo.errors import BackendError
from zoo.sparse.backend import Backend, Triple
from zoo.sparse.convolution_relation import SAME, Relation, kernel_size
from zoo.sparse.memory import free_memory
from zoo.sparse.tensor import Index

Bounds = tuple[Sequence[int], Sequence[int]]  # of a grid: the first voxel and the first beyond it


@dataclass(frozen=True, eq=False)
class BoxIndex:
    """A mask (B, I, J, K) of occupied voxels; `origin` is its first one, in units of the stride."""

    backend: DenseBackend
    mask: Tensor
    origin: Triple
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

    def gather(self, grid: Tensor) -> Tensor:
        """Grid (B, C, I, J, K) -> rows (N, C) of the occupied voxels."""
        return torch.einsum("b c i j k -> b i j k c", grid)[self.mask]

    def padded(self, before: Sequence[int], after: Sequence[int]) -> BoxIndex:
        """The same voxels in a box that has so many more on either side."""
        i, j, k = (o - n for o, n in zip(self.origin, before, strict=True))
        return BoxIndex(self.backend, pad(self.mask, _pads(before, after)), (i, j, k), self.stride)


class DenseBackend(Backend):
    name = "dense"
    dense = True

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

    def coarsen(self, index: Index) -> Index:
        even = _even(_box(index))
        mask = max_pool3d(even.mask.unsqueeze(1).float(), 2).squeeze(1) > 0
        i, j, k = (origin // 2 for origin in even.origin)
        return BoxIndex(self, mask, (i, j, k), 2 * even.stride)

    def refine(self, index: Index, size: int) -> Index:
        source = _box(index)
        _check_memory(source.mask.shape, 8, source.mask.device)
        ones = torch.ones(1, 1, size, size, size, device=source.mask.device)
        reached = conv_transpose3d(source.mask.unsqueeze(1).float(), ones, stride=2)
        i, j, k = (2 * origin for origin in source.origin)
        return BoxIndex(self, reached[:, 0] > 0.5, (i, j, k), source.stride // 2)

    def unite(self, a: Index, b: Index) -> Index:
        one, other = _common(_box(a), _box(b))
        return BoxIndex(self, one.mask | other.mask, one.origin, one.stride)

    def select(self, index: Index, keep: Tensor) -> Index:
        source = _box(index)
        mask = source.mask.clone()
        mask[source.mask] = keep
        return BoxIndex(self, mask, source.origin, source.stride)

    def contains(self, index: Index, other: Index) -> Tensor:
        a, b = _common(_box(index), _box(other))
        return b.mask[a.mask]

    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        here, there = _box(source), _box(target)
        moved = there.gather(_fit(here.spread(features), _bounds(here), _bounds(there)))
        return moved if onto is None else onto.add_(moved)

    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """At stride 2 the finer grid is cut or padded to what kernels of the coarser one reach."""
        here, there = _box(source), _box(target)
        finer = there if relation.scale < 0 else here
        _check_memory(finer.mask.shape, kernel.shape[1] + kernel.shape[2], kernel.device)
        grid = here.spread(features)
        if relation.scale < 0:
            made = conv_transpose3d(grid, _weight(kernel, "k j i n m -> n m i j k"), stride=2)
            return there.gather(_fit(made, _reach(here, relation.size), _bounds(there)))
        weight = _weight(kernel, "k j i n m -> m n i j k")
        if relation == SAME:
            return there.gather(conv3d(grid, weight, padding=1))
        grid = _fit(grid, _bounds(here), _reach(there, relation.size))
        return there.gather(conv3d(grid, weight, stride=2))

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """A transposed convolution is the gradient of one the other way: the grids change roles."""
        here, there = _box(source), _box(target)
        coarse, fine, axes = (there, here, "m n i j k -> k j i n m")
        to_coarse, to_fine = there.spread(gradient), here.spread(features)
        if relation.scale < 0:
            coarse, fine, axes = (here, there, "n m i j k -> k j i n m")
            to_coarse, to_fine = to_fine, to_coarse
        options: dict[str, Any] = {"padding": 1}
        if relation != SAME:
            to_fine = _fit(to_fine, _bounds(fine), _reach(coarse, relation.size))
            options = {"stride": 2}
        size = (to_coarse.shape[1], to_fine.shape[1], *[relation.size] * 3)
        weight = conv3d_weight(to_fine, size, to_coarse, **options)
        return torch.einsum(axes, weight).flatten(0, 2)


def _box(index: Index) -> BoxIndex:
    assert isinstance(index, BoxIndex)
    return index


def _weight(kernel: Tensor, axes: str) -> Tensor:
    """Kernel (K, C_in, C_out), first axis fastest, in the order of axes that torch wants."""
    size = kernel_size(len(kernel))
    return torch.einsum(axes, kernel.reshape(size, size, size, *kernel.shape[1:]))


def _even(index: BoxIndex) -> BoxIndex:
    """Padded so that the origin and the lengths are even: halving it cuts no coarse voxel."""
    before = [origin % 2 for origin in index.origin]
    after = [(n + extra) % 2 for n, extra in zip(index.mask.shape[1:], before, strict=True)]
    return index.padded(before, after)


def _common(a: BoxIndex, b: BoxIndex) -> tuple[BoxIndex, BoxIndex]:
    """Both in the smallest box that holds both."""
    low = [min(pair) for pair in zip(a.origin, b.origin, strict=True)]
    high = [max(pair) for pair in zip(_end(a), _end(b), strict=True)]

    def fit(index: BoxIndex) -> BoxIndex:
        before = [o - n for o, n in zip(index.origin, low, strict=True)]
        after = [n - e for n, e in zip(high, _end(index), strict=True)]
        return index.padded(before, after)

    return fit(a), fit(b)


def _bounds(index: BoxIndex) -> Bounds:
    return index.origin, _end(index)


def _reach(coarse: BoxIndex, size: int) -> Bounds:
    """What kernels of that size reach from a box, in units of half its stride."""
    return [2 * n for n in coarse.origin], [2 * n - 2 + size for n in _end(coarse)]


def _fit(grid: Tensor, given: Bounds, wanted: Bounds) -> Tensor:
    """A grid (B, C, I, J, K) that has some bounds, cut or padded to others."""
    before = [a - b for a, b in zip(given[0], wanted[0], strict=True)]
    after = [b - a for a, b in zip(given[1], wanted[1], strict=True)]
    ends = zip(grid.shape[2:], before, after, strict=True)
    if any(n + min(start, stop) <= 0 for n, start, stop in ends):
        lengths = [stop - start for start, stop in zip(*wanted, strict=True)]
        return grid.new_zeros(*grid.shape[:2], *lengths)  # nothing is in both
    return pad(grid, _pads(before, after))


def _end(index: BoxIndex) -> list[int]:
    return [o + n for o, n in zip(index.origin, index.mask.shape[1:], strict=True)]


def _pads(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """What torch's pad takes: the last axis first; what is negative cuts."""
    return [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]


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
