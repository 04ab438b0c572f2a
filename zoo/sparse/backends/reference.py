"""Backend `torch`: plain PyTorch on any device; the readable reference.

Coordinates are packed into sorted int64 keys. A displacement adds a constant to a key, so finding a
neighbour is one binary search in a sorted list: no hash table, and rows are in raster order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zoo.sparse.backend import Backend
from zoo.sparse.convolution_relation import SAME, Relation, kernel_offsets
from zoo.sparse.tensor import Index, pack, pack_offset, unpack

Pairs = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def neighbours(self) -> Pairs:
        """The pairs of a convolution that keeps the level; several follow each other on it."""
        return find_pairs(SAME, self, self)


class TorchBackend(Backend):
    name = "torch"
    bfloat16 = True
    index_bytes = 350

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        index = KeyIndex(self, pack(coordinates), stride, batch_size)
        return index, torch.arange(len(coordinates), device=coordinates.device)

    def coarsen(self, index: Index) -> Index:
        stride = 2 * index.stride
        batch, i, j, k = index.coordinates.unbind(1)
        floored = [axis.div(stride, rounding_mode="floor") * stride for axis in (i, j, k)]
        keys = pack(torch.stack([batch, *floored], dim=1)).unique()
        return KeyIndex(self, keys, stride, index.batch_size)

    def refine(self, index: Index, size: int) -> Index:
        step, keys = index.stride // 2, _keyed(index).keys
        reached = [keys + step * pack_offset(offset) for offset in kernel_offsets(size)]
        return KeyIndex(self, torch.cat(reached).unique(), step, index.batch_size)

    def unite(self, a: Index, b: Index) -> Index:
        keys = torch.cat([_keyed(a).keys, _keyed(b).keys]).unique()
        return a if len(keys) == len(a) else KeyIndex(self, keys, a.stride, a.batch_size)

    def select(self, index: Index, keep: Tensor) -> Index:
        return KeyIndex(self, _keyed(index).keys[keep], index.stride, index.batch_size)

    def contains(self, index: Index, other: Index) -> Tensor:
        return _keyed(other).find(_keyed(index).keys)[0]

    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        out = features.new_zeros(len(target), features.shape[1]) if onto is None else onto
        found, rows = _keyed(source).find(_keyed(target).keys)
        out[found] += features[rows]
        return out

    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """out[t] += in[s] W[d] over the pairs (t, s) of every offset d.

        Within one offset each row occurs at most once on either side, so the additions never
        collide and the result does not depend on the order in which a device does them.
        """
        out = features.new_zeros(len(target), kernel.shape[2], dtype=_sums(features))
        for weight, (to, rows) in zip(kernel, _pairs(relation, source, target), strict=True):
            out[to] += features[rows] @ weight
        return out.to(features.dtype)

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        pairs = _pairs(relation, source, target)
        return torch.stack([features[rows].T @ gradient[to] for to, rows in pairs])


def find_pairs(relation: Relation, source: KeyIndex, target: KeyIndex) -> Pairs:
    """The rows of the target and of the source that meet, for every offset of the kernel."""
    step = relation.sign * min(source.stride, target.stride)
    pairs: Pairs = []
    for offset in kernel_offsets(relation.size):
        found, rows = source.find(target.keys + step * pack_offset(offset))
        pairs.append((found.nonzero().squeeze(1), rows))
    return pairs


def _pairs(relation: Relation, source: Index, target: Index) -> Pairs:
    if relation == SAME:
        return _keyed(source).neighbours
    return find_pairs(relation, _keyed(source), _keyed(target))


def _sums(features: Tensor) -> torch.dtype:
    """The type that products are summed in."""
    return torch.promote_types(features.dtype, torch.float32)


def _keyed(index: Index) -> KeyIndex:
    assert isinstance(index, KeyIndex)
    return index
