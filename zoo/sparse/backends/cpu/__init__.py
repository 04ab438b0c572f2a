"""Backend `cpu`: sparse convolution on bitmaps, compiled by Numba when it is first used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import BackendError
from zoo.sparse.backend import Triple
from zoo.sparse.backends.bitmap.backend import BitmapBackend
from zoo.sparse.backends.bitmap.relations import Relation
from zoo.sparse.backends.cpu import convolution, structure
from zoo.sparse.backends.cpu import index as indices
from zoo.sparse.backends.cpu.index import GridIndex
from zoo.sparse.backends.cpu.rectify import rectify
from zoo.sparse.tensor import Index


class CpuBackend(BitmapBackend):
    name = "cpu"

    def check_device(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise BackendError(f"backend cpu computes on the CPU; got device {device}: use -d cpu")

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        index = indices.from_coordinates(self, coordinates, batch_size, stride)
        return index, torch.arange(len(index))

    def index_from_grids(
        self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        self.check_device(device)
        return indices.from_arrays(self, grids, low)

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        return indices.to_array(_grid(index), low, shape)

    def coarsen(self, index: Index) -> Index:
        return structure.coarsen(_grid(index))

    def refine(self, index: Index, size: int) -> Index:
        return structure.refine(_grid(index), size)

    def unite(self, a: Index, b: Index) -> Index:
        return structure.unite(_grid(a), _grid(b))

    def select(self, index: Index, keep: Tensor) -> Index:
        return structure.select(_grid(index), keep)

    def contains(self, index: Index, other: Index) -> Tensor:
        return structure.contains(_grid(index), _grid(other))

    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        return structure.transfer(features, _grid(source), _grid(target), onto)

    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        return convolution.convolve(features, kernel, relation, _grid(source), _grid(target))

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        return convolution.correlate(features, gradient, relation, _grid(source), _grid(target))

    def rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return rectify(features, scale, shift)


def _grid(index: Index) -> GridIndex:
    assert isinstance(index, GridIndex)
    return index
