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
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from zoo.errors import BackendError, MissingDependency
from zoo.sparse.backend import Backend
from zoo.sparse.convolution_relation import SAME, Relation, up
from zoo.sparse.tensor import Index

HOW_TO_INSTALL = (
    "MinkowskiEngine is not installed: it has to be compiled; in a checkout of the zoo,"
    " tools/minkowski_wheel.sh PYTHON does that; every model also runs with --backend torch"
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


@dataclass(frozen=True, eq=False)
class ManagedIndex:
    """A coordinate map of a MinkowskiEngine coordinate manager.

    Attributes:
        backend: what made it.
        manager: of all maps that come from one input, and of what was united with them.
        key: names the map.
        batch_size: how many items the batch has.
        device: where the map lies.
        shared: the key of every index that this one was made of, and which rows (M,) of that are
            which rows (M,) of this one.
    """

    backend: MinkowskiBackend
    manager: Any
    key: Any
    batch_size: int
    device: torch.device
    shared: tuple[tuple[Any, Tensor, Tensor], ...] = ()

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
        return ManagedIndex(self.backend, self.manager, key, self.batch_size, self.device)

    def rows_in(self, other: ManagedIndex) -> tuple[Tensor, Tensor]:
        """The rows (M,) here and those (M,) in another index of the coordinates in both."""
        for key, there, here in self.shared:
            if key is other.key:
                return here, there
        for key, here, there in other.shared:
            if key is self.key:
                return here, there
        key, order = self.key_of(other)
        pairs = self.manager.kernel_map(self.key, key, stride=1, kernel_size=1)
        here, there = pairs[0].long() if 0 in pairs else torch.empty(2, 0, dtype=torch.int64)
        return here, there if order is None else order[there]

    def key_of(self, other: ManagedIndex) -> tuple[Any, Tensor | None]:
        """The key of another index with this manager, and which of its rows are there (or all).

        A manager knows no maps but its own; of another one's, the coordinates are given to it.
        """
        if other.manager is self.manager:
            return other.key, None
        given = other.coordinates.int().contiguous()
        key, (rows, _) = self.manager.insert_and_map(given, other.stride)
        return key, rows.long()


class MinkowskiBackend(Backend):
    name = "minkowski"
    index_bytes = 1200
    preferred_on = ("cuda",)

    def __init__(self) -> None:
        self.engine = import_minkowski()
        self.compiled = import_module("MinkowskiEngineBackend._C")

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
        return ManagedIndex(self, manager, key, batch_size, coordinates.device), rows.long()

    def coarsen(self, index: Index) -> Index:
        fine = _managed(index)
        return fine.at(fine.manager.stride(fine.key, 2))

    def refine(self, index: Index, size: int) -> Index:
        """By a convolution to no channels: it makes the coordinates and keeps the kernel map."""
        coarse = _managed(index)
        key = coarse.new_key()
        features = torch.zeros(len(coarse), 1, device=coarse.device)
        kernel = features.new_zeros(size**3, 1, 0)
        self._forward(features, kernel, up(size), coarse, key, expand=True)
        return coarse.at(key)

    def unite(self, a: Index, b: Index) -> Index:
        """By giving the manager the coordinates of both.

        Its own `union_map` calls every union at a tensor stride "merge", and returns the first one
        for all that follow (MinkowskiEngine 0.5.4).
        """
        one, other = _managed(a), _managed(b)
        here, there = one.rows_in(other)
        new = torch.ones(len(other), dtype=torch.bool, device=other.device)
        new[there] = False
        if not new.any():
            return one
        both = torch.cat([one.coordinates, other.coordinates[new]]).int()
        key, (rows, _) = one.manager.insert_and_map(both, one.stride)
        place = torch.empty_like(rows)
        place[rows.long()] = torch.arange(len(rows), dtype=rows.dtype, device=rows.device)
        to_one, to_new = place.long().split([len(one), len(both) - len(one)])
        of_one = torch.arange(len(one), device=one.device)
        of_other = torch.cat([there, new.nonzero()[:, 0]])
        to_other = torch.cat([to_one[here], to_new])
        shared = (one.key, of_one, to_one), (other.key, of_other, to_other)
        return replace(one.at(key), shared=shared)

    def select(self, index: Index, keep: Tensor) -> Index:
        """By pruning the numbers of the rows: MinkowskiEngine does not keep their order."""
        whole = _managed(index)
        key = whole.new_key()
        numbers = torch.arange(len(whole), dtype=torch.float64, device=keep.device).unsqueeze(1)
        prune = self._function("PruningForward", numbers)
        kept = prune(numbers, keep, whole.key, key, whole.manager._manager).squeeze(1).long()
        here = torch.arange(len(kept), device=kept.device)
        return replace(whole.at(key), shared=((whole.key, kept, here),))

    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        rows, to = _managed(source).rows_in(_managed(target))
        if onto is None:
            out = features.new_zeros(len(target), features.shape[1])
            return out.index_copy_(0, to, features[rows])
        return onto.index_add_(0, to, features[rows])

    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        here, there = _of_one_input(source, target)
        return self._forward(features, kernel, relation, here, there.key)

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        kernel = features.new_zeros(relation.size**3, features.shape[1], gradient.shape[1])
        return self._backward(features, kernel, gradient, relation, source, target)[1]

    def differentiate(
        self,
        features: Tensor,
        kernel: Tensor,
        gradient: Tensor,
        relation: Relation,
        source: Index,
        target: Index,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """MinkowskiEngine computes both at once."""
        return self._backward(features, kernel, gradient, relation, source, target)

    def _forward(
        self,
        features: Tensor,
        kernel: Tensor,
        relation: Relation,
        source: ManagedIndex,
        key: Any,
        *,
        expand: bool = False,
    ) -> Tensor:
        """`expand` makes the coordinates that are reached, under a new key."""
        apply = self._function(f"Convolution{_kind(relation)}Forward", features)
        region = self._region(relation)
        out: Tensor = apply(
            features.contiguous(),
            kernel.contiguous(),
            *region,
            expand,
            self.compiled.ConvolutionMode.DEFAULT,
            source.key,
            key,
            source.manager._manager,
        )
        return out

    def _backward(
        self,
        features: Tensor,
        kernel: Tensor,
        gradient: Tensor,
        relation: Relation,
        source: Index,
        target: Index,
    ) -> tuple[Tensor, Tensor]:
        here, there = _of_one_input(source, target)
        apply = self._function(f"Convolution{_kind(relation)}Backward", features)
        to_features, to_kernel = apply(
            features.contiguous(),
            gradient.contiguous(),
            kernel.contiguous(),
            *self._region(relation),
            self.compiled.ConvolutionMode.DEFAULT,
            here.key,
            there.key,
            here.manager._manager,
        )
        return to_features, to_kernel

    def _region(self, relation: Relation) -> tuple[Any, ...]:
        """Size, stride, dilation, shape and offsets of a kernel."""
        stride = 1 if relation == SAME else 2
        cube = self.engine.RegionType.HYPER_CUBE
        return [relation.size] * 3, [stride] * 3, [1] * 3, cube, torch.IntTensor()

    def _function(self, name: str, features: Tensor) -> Any:
        return getattr(self.compiled, name + ("GPU" if features.is_cuda else "CPU"))


def _kind(relation: Relation) -> str:
    return "Transpose" if relation.scale < 0 else ""


def _managed(index: Index) -> ManagedIndex:
    assert isinstance(index, ManagedIndex)
    return index


def _of_one_input(*indices: Index) -> tuple[ManagedIndex, ManagedIndex]:
    one, other = map(_managed, indices)
    if one.manager is not other.manager:
        raise BackendError("backend minkowski combines only tensors that come from one input")
    return one, other
