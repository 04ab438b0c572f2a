"""Backend `minkowski`: the real MinkowskiEngine, imported only when this backend is asked for.

Works with release 0.5.4 built for the CPU. Coordinates live in one coordinate manager per input;
every index carries it. Rows keep MinkowskiEngine's own order, which need not be raster order.
"""

from __future__ import annotations

import collections
import collections.abc
import os
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from zoo.errors import BackendError, MissingDependency
from zoo.sparse.backend import Fallbacks
from zoo.sparse.relation import kernel_size
from zoo.sparse.tensor import Index, SparseTensor, pack

HOW_TO_INSTALL = (
    "MinkowskiEngine is not installed: it has to be compiled, see README, section 'MinkowskiEngine'"
    " (tools/minkowski_wheel.sh builds it); every model also runs with --backend torch"
)


@cache
def import_minkowski() -> Any:
    """The MinkowskiEngine module, imported without leaving traces on the process.

    Its import needs `collections.Sequence`, which Python 3.10 removed, and sets OMP_NUM_THREADS
    and sys.path.

    Raises:
        MissingDependency: it is not installed, or its library does not load.
    """
    path, threads = list(sys.path), os.environ.get("OMP_NUM_THREADS")
    collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import MinkowskiEngine
    except ModuleNotFoundError as error:
        raise MissingDependency(HOW_TO_INSTALL) from error
    except (ImportError, OSError) as error:
        raise MissingDependency(f"MinkowskiEngine does not load: {error}") from error
    finally:
        del collections.Sequence  # type: ignore[attr-defined]
        sys.path[:] = path
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
    return MinkowskiEngine


@dataclass(frozen=True)
class ManagedIndex:
    """A coordinate map of a MinkowskiEngine coordinate manager."""

    backend: MinkowskiBackend
    manager: Any
    key: Any
    batch_size: int

    @property
    def stride(self) -> int:
        return int(self.key.get_tensor_stride()[0])

    @property
    def coordinates(self) -> Tensor:
        coordinates: Tensor = self.manager.get_coordinates(self.key)
        return coordinates.long()

    def __len__(self) -> int:
        return int(self.manager.size(self.key))

    def new_key(self) -> Any:
        return self.backend.engine.CoordinateMapKey(4)

    def at(self, key: Any) -> ManagedIndex:
        return ManagedIndex(self.backend, self.manager, key, self.batch_size)


class MinkowskiBackend(Fallbacks):
    name = "minkowski"

    def __init__(self) -> None:
        self.engine = import_minkowski()
        self.mode = import_module("MinkowskiEngineBackend._C").ConvolutionMode.DEFAULT

    def check_device(self, device: torch.device) -> None:
        if device.type != "cpu" and not (device.type == "cuda" and self.engine.is_cuda_available()):
            raise BackendError(
                f"backend minkowski computes on the CPU here; got device {device}: use -d cpu"
            )

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        kinds = self.engine.CoordinateMapType
        manager = self.engine.CoordinateManager(
            D=3,
            num_threads=torch.get_num_threads(),
            coordinate_map_type=kinds.CUDA if coordinates.is_cuda else kinds.CPU,
        )
        key, (rows, _) = manager.insert_and_map(coordinates.int().contiguous(), stride)
        return ManagedIndex(self, manager, key, batch_size), rows.long()

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        index = _managed(x.index)
        key = index.key if stride == 1 else index.new_key()
        return self._convolve("MinkowskiConvolutionFunction", x, kernel, stride, key, False)

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        key = _managed(x.index).new_key()
        return self._convolve("MinkowskiConvolutionTransposeFunction", x, kernel, 2, key, True)

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        source, target = _managed(x.index), _managed(index)
        if source.manager is not target.manager:
            raise BackendError("backend minkowski upsamples only within what comes from one input")
        function = "MinkowskiConvolutionTransposeFunction"
        y = self._convolve(function, x, kernel, 2, target.key, False)
        return SparseTensor(y.features, index)

    def prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        index = _managed(x.index)
        key = index.new_key()
        function = self.engine.MinkowskiPruningFunction
        features = function.apply(x.features, keep, index.key, key, index.manager)
        return SparseTensor(features, index.at(key))

    def add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor:
        a, b = _managed(x.index), _managed(y.index)
        if a.manager is not b.manager:
            raise BackendError("backend minkowski adds only tensors that come from one input")
        if a.key == b.key:
            return x.with_features(x.features + y.features)
        key = a.new_key()
        function = self.engine.MinkowskiUnionFunction
        features = function.apply([a.key, b.key], key, a.manager, x.features, y.features)
        return SparseTensor(features, a.at(key))

    def coarsen(self, index: Index) -> Index:
        index = _managed(index)
        return index.at(index.manager.stride(index.key, 2))

    def contains(self, index: Index, other: Index) -> Tensor:
        return torch.isin(pack(index.coordinates), pack(other.coordinates))

    def _convolve(
        self, function: str, x: SparseTensor, kernel: Tensor, stride: int, key: Any, expand: bool
    ) -> SparseTensor:
        engine, index = self.engine, _managed(x.index)
        generator = engine.KernelGenerator(
            kernel_size=kernel_size(len(kernel)),
            stride=stride,
            expand_coordinates=expand,
            dimension=3,
        )
        apply = getattr(engine, function).apply
        features = apply(
            x.features, kernel.contiguous(), generator, self.mode, index.key, key, index.manager
        )
        return SparseTensor(features, index.at(key))


def _managed(index: Index) -> ManagedIndex:
    assert isinstance(index, ManagedIndex)
    return index
