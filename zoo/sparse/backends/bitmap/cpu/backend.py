"""What backend `cpu` computes, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import BackendError
from zoo.sparse.backend import Backend, Scope, Triple
from zoo.sparse.backends.bitmap.cpu import convolution, norms, rows, runtime
from zoo.sparse.backends.bitmap.cpu import index as indices
from zoo.sparse.backends.bitmap.cpu.ahead import compile_ahead
from zoo.sparse.backends.bitmap.cpu.index import BitmapIndex
from zoo.sparse.convolution_relation import Relation
from zoo.sparse.tensor import Index


class CpuBackend(Backend):
    name = "cpu"
    index_bytes = 4
    preferred_on = ("cpu",)
    has_roofline = True
    normaliser = norms.CompiledNormaliser()

    def check_device(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise BackendError(f"backend cpu computes on the CPU; got device {device}: use -d cpu")

    def compiling(self, compilation: Callable[[], Scope]) -> Scope:
        compile_ahead()
        return runtime.compiling(compilation)

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        index = indices.from_coordinates(self, coordinates, batch_size, stride)
        return index, torch.arange(len(index))

    def index_from_grids(
        self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        self.check_device(device)
        return indices.from_arrays(self, grids, low)

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        return indices.to_array(_own(index), low, shape)

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


def _own(index: Index) -> BitmapIndex:
    assert isinstance(index, BitmapIndex)
    return index
