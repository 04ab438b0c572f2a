"""Training pairs on their way from the workers that make them to the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse import Backend, SparseTensor
from zoo.voxels import bounds, centring_shift

Bools = NDArray[np.bool_]
Triple = tuple[int, int, int]


class Shape(NamedTuple):
    """A binary shape, a bit a voxel: at 512 an eighth of a skull's box, or of its coordinates.

    Attributes:
        bits: uint8, the voxels of the box (I, J, K) in raster order, eight to a byte.
        size: I, J, K.
        low: coordinate of the box's first voxel.
    """

    bits: Tensor
    size: Triple
    low: Triple

    @classmethod
    def cut_out(cls, grid: Bools, shift: NDArray[np.int64]) -> Shape:
        """The occupied part of bool (I, J, K), the grid's first voxel being coordinate `shift`."""
        low, high = bounds(grid)
        box = grid[tuple(map(slice, low, high + 1))]
        return cls(torch.from_numpy(np.packbits(box)), _triple(box.shape), _triple(low + shift))

    @property
    def grid(self) -> Bools:
        """bool (I, J, K)."""
        flat = np.unpackbits(self.bits.numpy(), count=int(np.prod(self.size)))
        return flat.reshape(self.size).view(bool)

    @property
    def coordinates(self) -> Tensor:
        """(N, 3), in raster order."""
        return torch.from_numpy(np.argwhere(self.grid) + self.low)

    def tensors(self) -> dict[str, Tensor]:
        """What to keep of a batch that a run stumbles over."""
        return {"coordinates": self.coordinates}


Pair = tuple[Shape, Shape]
Batch = tuple[list[Any], list[Any]]  # inputs and targets of a task, each with its `tensors`


def place_pair(defective: Bools, complete: Bools, offset: NDArray[np.int64], cell: int) -> Pair:
    """Both shapes, the defective one `offset` (3,) voxels away from the middle of its cells."""
    shift = centring_shift(*bounds(defective), cell) + offset
    return Shape.cut_out(defective, shift), Shape.cut_out(complete, shift)


def sparse_input(items: Sequence[Shape], backend: Backend, device: torch.device) -> SparseTensor:
    """A batch of shapes with a feature of one per voxel."""
    low = np.min([item.low for item in items], axis=0)
    grids = [np.pad(item.grid, [(n, 0) for n in item.low - low]) for item in items]
    return SparseTensor.from_grids(grids, low=_triple(low), backend=backend, device=device)


def _triple(numbers: Sequence[int] | NDArray[np.int64]) -> Triple:
    i, j, k = (int(number) for number in numbers)
    return i, j, k
