"""What backend `gpu` computes, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse.backend import Backend, Triple
from zoo.sparse.backends.bitmap.gpu import convolution, rows, runtime
from zoo.sparse.backends.bitmap.gpu import index as indices
from zoo.sparse.backends.bitmap.gpu.index import BitmapIndex
from zoo.sparse.convolution_relation import Relation
from zoo.sparse.tensor import Index


class GpuBackend(Backend):
    name = "gpu"
    bfloat16 = True
    index_bytes = 8
    preferred_on = ("cuda",)
    has_roofline = True

    def check_device(self, device: torch.device) -> None:
        runtime.check_device(device)

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        self.check_device(coordinates.device)
        index = indices.from_coordinates(self, coordinates, batch_size, stride)
        return index, torch.arange(len(index), device=coordinates.device)

    def index_from_grids(
        self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        self.check_device(device)
        return indices.from_arrays(self, grids, _plain(low), device)

    def index_from_mask(self, mask: Tensor, low: Triple = (0, 0, 0)) -> Index:
        """Index a mask (B, I, J, K) that is on the device already, at stride 1."""
        self.check_device(mask.device)
        return indices.from_mask(self, mask, _plain(low))

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        return indices.to_array(_own(index), _plain(low), _plain(shape))

    def coarsen(self, index: Index) -> Index:
        return indices.coarsen(_own(index))

    def refine(self, index: Index, size: int) -> Index:
        return indices.refine(_own(index), size)

    def unite(self, a: Index, b: Index) -> Index:
        union = indices.unite(_own(a), _own(b))
        return a if len(union) == len(a) else union

    def select(self, index: Index, keep: Tensor) -> Index:
        return indices.select(_own(index), keep)

    def contains(self, index: Index, other: Index) -> Tensor:
        return rows.contains(_own(index), _own(other))

    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        return rows.transfer(features, _own(source), _own(target), onto)

    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        return convolution.convolve(features, kernel, relation, _own(source), _own(target))

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        return convolution.correlate(features, gradient, relation, _own(source), _own(target))

    def rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return rows.rectify(features, scale, shift)

    def index_tensors(self, source: Index, target: Index) -> tuple[Tensor, ...]:
        one, other = _own(source), _own(target)
        return one.words, one.rank, other.positions


def _plain(triple: Triple) -> Triple:
    """Without NumPy's integers, which kernels do not take."""
    i, j, k = map(int, triple)
    return i, j, k


def _own(index: Index) -> BitmapIndex:
    assert isinstance(index, BitmapIndex)
    return index
