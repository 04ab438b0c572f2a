"""Training pairs: shapes as bits on the way from the workers, sparse tensors for the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse import Backend, SparseTensor
from zoo.volumes import bounds, centring_shift

Bools = NDArray[np.bool_]
Triple = tuple[int, int, int]


class Shape(NamedTuple):
    """A binary shape as the bits of its bounding box, which is compact to pass between processes.

    Attributes:
        bits: uint8, the voxels of the bounding box (I, J, K) in raster order, eight to a byte.
        size: I, J, K.
        low: coordinate of the first voxel of the bounding box.
    """

    bits: Tensor
    size: Triple
    low: Triple

    @classmethod
    def cut_out(cls, grid: Bools, shift: NDArray[np.int64]) -> Shape:
        """Crop bool (I, J, K) to its occupied part; the grid begins at coordinate `shift`."""
        low, high = bounds(grid)
        part = grid[tuple(map(slice, low, high + 1))]
        return cls(torch.from_numpy(np.packbits(part)), _triple(part.shape), _triple(low + shift))

    @property
    def grid(self) -> Bools:
        """The voxels of the bounding box, bool (I, J, K)."""
        flat = np.unpackbits(self.bits.numpy(), count=int(np.prod(self.size)))
        return flat.reshape(self.size).view(bool)

    @property
    def coordinates(self) -> Tensor:
        """The coordinates (N, 3) of the occupied voxels, in raster order."""
        return torch.from_numpy(np.argwhere(self.grid) + self.low)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are saved of a batch when a run stops over it."""
        return {"coordinates": self.coordinates}


Sample = tuple[Shape, Shape]
Batch = tuple[list[Any], list[Any]]  # inputs and targets of a task, each with a method `tensors`


def place_pair(defective: Bools, complete: Bools, offset: NDArray[np.int64], cell: int) -> Sample:
    """Crop both shapes, with the defective one `offset` voxels from the centre of its cells.

    Args:
        defective: bool (I, J, K).
        complete: bool (I, J, K), contains `defective`.
        offset: (3,), voxels.
        cell: voxels along an edge of the network's coarsest voxel.
    """
    shift = centring_shift(*bounds(defective), cell) + offset
    return Shape.cut_out(defective, shift), Shape.cut_out(complete, shift)


def sparse_input(items: Sequence[Shape], backend: Backend, device: torch.device) -> SparseTensor:
    """Make the network's input from a batch of shapes.

    Args:
        items: the shapes, one per item of the batch.
        backend: backend of the sparse tensor.
        device: device of the sparse tensor.

    Returns:
        Features (N, 1), all of them 1, on the occupied voxels.
    """
    low = np.min([item.low for item in items], axis=0)
    grids = [np.pad(item.grid, [(n, 0) for n in item.low - low]) for item in items]
    return SparseTensor.from_grids(grids, low=_triple(low), backend=backend, device=device)


def _triple(numbers: Sequence[int] | NDArray[np.int64]) -> Triple:
    i, j, k = (int(number) for number in numbers)
    return i, j, k
