"""Sparse tensors: features on the occupied coordinates of a bounded grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import VolumeError

if TYPE_CHECKING:
    from zoo.sparse.backend import Backend

COORDINATE_LIMIT = 1 << 15


class Index(Protocol):
    """Which coordinates of one level are occupied, in the form that a backend computes with.

    `stride` is the tensor stride: 1 for the input grid, 2, 4, ... going down the encoder. An index
    whose rows are always in raster order may say so by `in_raster_order`, which saves a sort.
    """

    @property
    def backend(self) -> Backend: ...
    @property
    def stride(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def coordinates(self) -> Tensor:
        """(N, 4) int64: batch, i, j, k of every row, in voxels of the input grid."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class EmptyIndex:
    """No coordinate at all: what pruning everything away leaves, on any backend."""

    backend: Backend
    stride: int
    batch_size: int
    device: torch.device

    @property
    def coordinates(self) -> Tensor:
        return torch.empty(0, 4, dtype=torch.int64, device=self.device)

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class SparseTensor:
    """Features (N, C) on the N coordinates of an index; row n of one belongs to row n of the other.

    The backend that made the index computes everything that follows from it, so a network needs to
    know of none.
    """

    features: Tensor
    index: Index

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.index):
            raise ValueError(
                f"features must have shape ({len(self.index)}, channels), one row per coordinate; "
                f"got {tuple(self.features.shape)}"
            )

    @classmethod
    def from_coordinates(
        cls,
        coordinates: Tensor | Sequence[Tensor],
        features: Tensor | Sequence[Tensor] | None = None,
        *,
        backend: Backend,
        stride: int = 1,
    ) -> SparseTensor:
        """Build from the coordinates of one grid, or of several (a batch).

            >>> from zoo.sparse import select_backend
            >>> backend = select_backend("torch", torch.device("cpu"))
            >>> points = torch.tensor([[0, 0, 1], [0, 0, 0]])
            >>> x = SparseTensor.from_coordinates(points, backend=backend)
            >>> x.coordinates.tolist(), x.features.shape
            ([[0, 0, 0, 0], [0, 0, 0, 1]], torch.Size([2, 1]))

        Args:
            coordinates: (N, 3) integers i, j, k, multiples of `stride`, each once; or a sequence of
                such tensors, one per item of the batch.
            features: (N, C) floats in the same order; ones of shape (N, 1) if left out.
            backend: what computes on the result.
            stride: tensor stride of the coordinates.

        Returns:
            The sparse tensor, whose rows are in raster order.

        Raises:
            VolumeError: coordinates that are repeated, off the stride's lattice or out of range.
        """
        items = [coordinates] if isinstance(coordinates, Tensor) else list(coordinates)
        batched = batch_coordinates(items)
        check_coordinates(batched, stride)
        if features is None:
            values = torch.ones(len(batched), 1, device=batched.device)
        else:
            values = features if isinstance(features, Tensor) else torch.cat(list(features))
        if not len(batched):
            return cls(values, EmptyIndex(backend, stride, len(items), batched.device))
        keys = pack(batched)
        order = keys.argsort()
        if bool((keys[order].diff() == 0).any()):
            raise VolumeError("every coordinate must be given once; some are repeated")
        index, rows = backend.index(batched[order], batch_size=len(items), stride=stride)
        return cls(values[order][rows], index)

    @classmethod
    def from_grids(
        cls,
        grids: Sequence[NDArray[Any]],
        *,
        low: tuple[int, int, int] = (0, 0, 0),
        backend: Backend,
        device: torch.device | str = "cpu",
        unit: float | None = None,
    ) -> SparseTensor:
        """Build from what is not zero in dense grids, of which at least one voxel must be.

            >>> from zoo.sparse import select_backend
            >>> backend = select_backend("torch", torch.device("cpu"))
            >>> len(SparseTensor.from_grids([np.eye(3)[None]], backend=backend))
            3

        Args:
            grids: arrays (I, J, K), one per item of the batch.
            low: the coordinate of their first voxel.
            backend: what computes on the result.
            device: where it computes.
            unit: what the values are divided by; None: by nothing.

        Returns:
            Features (N, 1): the values of floating-point arrays, and 1 for others; with a unit, the
            values in that unit.
        """
        index = backend.index_from_grids(grids, low, torch.device(device))
        if grids[0].dtype.kind != "f" and unit is None:
            return cls(torch.ones(1, 1, device=device).expand(len(index), 1), index)
        ordered = map(np.ascontiguousarray, grids)  # which are read faster than other orders
        values = np.concatenate([grid[grid != 0] for grid in ordered], dtype=np.float32)
        if unit is not None:
            values /= np.float32(unit)
        features = torch.from_numpy(values)[:, None].to(device)
        if not getattr(index, "in_raster_order", False):  # by the rank of every row, then
            features = features[pack(index.coordinates).argsort().argsort()]
        return cls(features, index)

    def to_grid(self, low: tuple[int, int, int], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """A box of the first item as a dense grid.

            >>> from zoo.sparse import select_backend
            >>> backend = select_backend("torch", torch.device("cpu"))
            >>> x = SparseTensor.from_grids([np.eye(3)[None]], backend=backend)
            >>> x.to_grid((0, 1, 1), (1, 2, 2)).astype(int).tolist()
            [[[1, 0], [0, 1]]]

        Args:
            low: the coordinate of the box's first voxel.
            shape: (I, J, K), of the box.

        Returns:
            bool (I, J, K): which voxels are there.
        """
        if not len(self):
            return np.zeros(shape, dtype=bool)
        return self.index.backend.to_grid(self.index, low, shape)

    @property
    def coordinates(self) -> Tensor:
        return self.index.coordinates

    @property
    def stride(self) -> int:
        return self.index.stride

    @property
    def channels(self) -> int:
        return self.features.shape[1]

    def __len__(self) -> int:
        return len(self.index)

    def with_features(self, features: Tensor) -> SparseTensor:
        """Other features on the same coordinates.

            >>> from zoo.sparse import select_backend
            >>> backend = select_backend("torch", torch.device("cpu"))
            >>> x = SparseTensor.from_grids([np.eye(3)[None]], backend=backend)
            >>> x.with_features(torch.zeros(3, 8)).features.shape
            torch.Size([3, 8])

        Args:
            features: (N, C'), in the order of the coordinates.

        Returns:
            The new sparse tensor, with the same index.
        """
        return SparseTensor(features, self.index)


def batch_coordinates(items: Sequence[Tensor]) -> Tensor:
    """Join (N_b, 3) coordinates of B grids to (sum N_b, 4), the number of the grid in front."""
    for item in items:
        if item.ndim != 2 or item.shape[1] != 3 or item.is_floating_point():
            raise VolumeError(
                "coordinates must be integers of shape (N, 3);"
                f" got {item.dtype} {tuple(item.shape)}"
            )
    return torch.cat(
        [torch.nn.functional.pad(c.long(), (1, 0), value=b) for b, c in enumerate(items)]
    )


def check_coordinates(coordinates: Tensor, stride: int) -> None:
    if not len(coordinates):
        return
    if bool((coordinates[:, 1:].abs() >= COORDINATE_LIMIT // 2).any()):
        raise VolumeError(f"coordinates must lie within +-{COORDINATE_LIMIT // 2 - 1} voxels")
    if stride > 1 and bool((coordinates[:, 1:] % stride).any()):
        raise VolumeError(f"coordinates at tensor stride {stride} must be multiples of {stride}")


def pack(coordinates: Tensor) -> Tensor:
    """One key per coordinate, which increases in raster order.

    A displacement by (i, j, k) adds `pack_offset((i, j, k))` to a key, whatever the coordinate.

        >>> keys = pack(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]))
        >>> bool((keys.diff() > 0).all())
        True

    Args:
        coordinates: (N, 4) integers: item of the batch, i, j, k.

    Returns:
        int64 (N,): 16 bits an axis, offset so that every key is positive.
    """
    batch, i, j, k = coordinates.unbind(1)
    shifted = [axis + COORDINATE_LIMIT for axis in (i, j, k)]
    return (batch << 48) | (shifted[0] << 32) | (shifted[1] << 16) | shifted[2]


def pack_offset(offset: Sequence[int]) -> int:
    """What a displacement (i, j, k) adds to a packed coordinate."""
    i, j, k = offset
    return (i << 32) + (j << 16) + k


def unpack(keys: Tensor) -> Tensor:
    """The (N, 4) coordinates of packed keys."""
    axes = [((keys >> shift) & 0xFFFF) - COORDINATE_LIMIT for shift in (32, 16, 0)]
    return torch.stack([keys >> 48, *axes], dim=1)
