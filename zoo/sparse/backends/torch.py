"""Backend `torch`: plain PyTorch on any device, differentiable; the readable reference.

Coordinates are packed into sorted int64 keys. A displacement adds a constant to a key, so finding a
neighbour is one binary search in a sorted list: no hash table, and rows are in raster order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.sparse.backend import Fallbacks
from zoo.sparse.memory import check_growth
from zoo.sparse.relation import kernel_offsets, kernel_size
from zoo.sparse.tensor import Index, SparseTensor, pack, pack_offset, unpack

Pairs = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class KeyIndex:
    """Sorted packed coordinates (N,) of one level."""

    backend: TorchBackend
    keys: Tensor
    stride: int
    batch_size: int

    @property
    def coordinates(self) -> Tensor:
        return unpack(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Where `keys` (M,) occur here: (M,) bool, and the row of each one that does."""
        rows = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        found = self.keys[rows] == keys
        return found, rows[found]


class TorchBackend(Fallbacks):
    name = "torch"

    def check_device(self, device: torch.device) -> None:
        """Every device that PyTorch has will do."""

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        index = KeyIndex(self, pack(coordinates), stride, batch_size)
        return index, torch.arange(len(coordinates), device=coordinates.device)

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        target = x.index if stride == 1 else self.coarsen(x.index)
        return _apply(x, kernel, target, sign=+1)

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        step = x.stride // 2
        offsets = kernel_offsets(kernel_size(len(kernel)))
        reached = torch.cat([_keys(x.index) + step * pack_offset(d) for d in offsets]).unique()
        check_growth(len(reached), kernel.shape[2], step, kernel.dtype, reached.device)
        return _apply(x, kernel, KeyIndex(self, reached, step, x.index.batch_size), sign=-1)

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        return _apply(x, kernel, index, sign=-1)

    def prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        index = KeyIndex(self, _keys(x.index)[keep], x.stride, x.index.batch_size)
        return SparseTensor(x.features[keep], index)

    def add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor:
        keys, rows = torch.cat([_keys(x.index), _keys(y.index)]).unique(return_inverse=True)
        features = torch.cat([x.features, y.features])
        summed = features.new_zeros(len(keys), x.channels).index_add(0, rows, features)
        return SparseTensor(summed, KeyIndex(self, keys, x.stride, x.index.batch_size))

    def coarsen(self, index: Index) -> Index:
        stride = 2 * index.stride
        batch, i, j, k = index.coordinates.unbind(1)
        floored = [axis.div(stride, rounding_mode="floor") * stride for axis in (i, j, k)]
        keys = pack(torch.stack([batch, *floored], dim=1)).unique()
        return KeyIndex(self, keys, stride, index.batch_size)

    def contains(self, index: Index, other: Index) -> Tensor:
        assert isinstance(other, KeyIndex)
        return other.find(_keys(index))[0]


def _keys(index: Index) -> Tensor:
    assert isinstance(index, KeyIndex)
    return index.keys


def _apply(x: SparseTensor, kernel: Tensor, target: Index, sign: int) -> SparseTensor:
    """The relation of `zoo.sparse.relation`, with `sign` +1 (convolution) or -1 (transposed)."""
    source = x.index
    assert isinstance(source, KeyIndex)
    step = sign * min(source.stride, target.stride)
    pairs: Pairs = []
    for offset in kernel_offsets(kernel_size(len(kernel))):
        found, rows = source.find(_keys(target) + step * pack_offset(offset))
        pairs.append((found.nonzero().squeeze(1), rows))
    features = _GatherMultiplyScatter.apply(x.features, kernel, pairs, len(target))  # type: ignore[no-untyped-call]
    return SparseTensor(features, target)


class _GatherMultiplyScatter(torch.autograd.Function):
    """out[t] += in[s] W[d] over the pairs (t, s) of every offset d.

    Within one offset each row occurs at most once on either side, so the additions below never
    collide and the result does not depend on the order in which a device does them.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, pairs: Pairs, rows: int) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.pairs = pairs
        out = features.new_zeros(rows, kernel.shape[2])
        for weight, (to, source) in zip(kernel, pairs, strict=True):
            out[to] += features[source] @ weight
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, kernel = ctx.saved_tensors
        (gradient,) = gradients
        to_features = torch.zeros_like(features)
        to_kernel = torch.empty_like(kernel)
        for row, (weight, (to, source)) in enumerate(zip(kernel, ctx.pairs, strict=True)):
            part = gradient[to]
            to_features[source] += part @ weight.T
            to_kernel[row] = features[source].T @ part
        return to_features, to_kernel, None, None
