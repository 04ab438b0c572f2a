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
from zoo.sparse.backends.cpu import index as indices
from zoo.sparse.backends.cpu import structure
from zoo.sparse.backends.cpu.convolution import SAME, Convolve, Relation, down, up
from zoo.sparse.backends.cpu.index import GridIndex
from zoo.sparse.backends.cpu.rectify import rectify
from zoo.sparse.memory import check_growth
from zoo.sparse.relation import kernel_size
from zoo.sparse.tensor import Index, SparseTensor


class CpuBackend:
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

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        source = _grid(x.index)
        if stride == 1:
            return _convolve(x, kernel, SAME, source)
        return _convolve(x, kernel, down(2), structure.coarsen(source))

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        size = kernel_size(len(kernel))
        target = structure.refine(_grid(x.index), size)
        check_growth(len(target), kernel.shape[2], target.stride, kernel.dtype)
        return _convolve(x, kernel, up(size), target)

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        return _convolve(x, kernel, up(kernel_size(len(kernel))), _grid(index))

    def prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        index = _grid(x.index)
        part = structure.select(index, keep)
        features = structure.Prune.apply(x.features, index, part)  # type: ignore[no-untyped-call]
        return SparseTensor(features, part)

    def add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor:
        a, b = _grid(x.index), _grid(y.index)
        if a is b:
            return x.with_features(x.features + y.features)
        union = structure.unite(a, b)
        if overwrite and len(union) == len(a):
            structure.transfer(y.features, b, a, onto=x.features)
            return x
        features = structure.Add.apply(x.features, y.features, a, b, union)  # type: ignore[no-untyped-call]
        return SparseTensor(features, union)

    def rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return rectify(features, scale, shift)

    def coarsen(self, index: Index) -> Index:
        return structure.coarsen(_grid(index))

    def contains(self, index: Index, other: Index) -> Tensor:
        return structure.contains(_grid(index), _grid(other))


def _grid(index: Index) -> GridIndex:
    assert isinstance(index, GridIndex)
    return index


def _convolve(
    x: SparseTensor, kernel: Tensor, relation: Relation, target: GridIndex
) -> SparseTensor:
    source = _grid(x.index)
    features = Convolve.apply(x.features, kernel, relation, source, target)  # type: ignore[no-untyped-call]
    return SparseTensor(features, target)
