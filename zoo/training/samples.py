"""Training pairs: shapes as bits on the way from the workers, sparse tensors for the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse import Backend, SparseTensor
from zoo.volumes import bounds, centring_shift, dilated, from_bytes, pooled, to_bytes

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
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


class CoveredShape(NamedTuple):
    """The coverage of a bounding box, in steps of 1/255.

    Attributes:
        values: uint8 (I, J, K).
        low: coordinate of the first voxel of the bounding box.
    """

    values: Tensor
    low: Triple

    @classmethod
    def cut_out(cls, grid: Floats, shift: NDArray[np.int64]) -> CoveredShape:
        """Crop float32 (I, J, K) to what is covered; the grid begins at coordinate `shift`."""
        values = to_bytes(grid)
        low, high = bounds(values)
        part = np.ascontiguousarray(values[tuple(map(slice, low, high + 1))])
        return cls(torch.from_numpy(part), _triple(low + shift))

    @property
    def grid(self) -> Floats:
        """The coverage of the bounding box, float32 (I, J, K)."""
        return from_bytes(self.values.numpy())

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are saved of a batch when a run stops over it."""
        return {"values": self.values, "low": torch.tensor(self.low)}


class CoveredTarget(NamedTuple):
    """What a network should predict for a defective shape.

    Attributes:
        complete: the complete shape.
        zone: (M, 3), coordinates of the blocks around the defect, multiples of their edge.
    """

    complete: CoveredShape
    zone: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are saved of a batch when a run stops over it."""
        return self.complete.tensors()


Sample = tuple[Shape | CoveredShape, Shape | CoveredTarget]
Batch = tuple[list[Any], list[Any]]  # inputs and targets of a task, each with a method `tensors`


def place_pair(
    defective: NDArray[Any],
    complete: NDArray[Any],
    offset: NDArray[np.int64],
    cell: int,
    block: int = 1,
) -> Sample:
    """Crop both shapes, with the defective one `offset` voxels from the centre of its cells.

    Args:
        defective: bool (I, J, K), or float32 for coverage.
        complete: the same, contains `defective`.
        offset: (3,), voxels.
        cell: voxels along an edge of the network's coarsest voxel.
        block: voxels along an edge of the blocks that the zone around a defect is made of.
    """
    shift = centring_shift(*bounds(defective), cell) + offset
    if defective.dtype == np.bool_:
        return Shape.cut_out(defective, shift), Shape.cut_out(complete, shift)
    zone = _zone(complete > defective, shift, block)
    target = CoveredTarget(CoveredShape.cut_out(complete, shift), zone)
    return CoveredShape.cut_out(defective, shift), target


def _zone(implant: Bools, shift: NDArray[np.int64], block: int) -> Tensor:
    """The blocks (M, 3) that hold a part of the implant, and the 26 beside each of them."""
    before = shift % block
    aligned = np.pad(implant, [(n + block, block) for n in before])
    blocks = dilated(np.pad(pooled(aligned, block), 1))
    return torch.from_numpy((np.argwhere(blocks) - 2) * block + (shift - before))


def sparse_input(
    items: Sequence[Shape | CoveredShape], backend: Backend, device: torch.device
) -> SparseTensor:
    """Make the network's input from a batch of shapes.

        >>> import numpy as np
        >>> from zoo.sparse import select_backend
        >>> cube = Shape.cut_out(np.ones((2, 2, 2), bool), np.zeros(3, int))
        >>> cpu = torch.device("cpu")
        >>> sparse_input([cube, cube], select_backend("torch", cpu), cpu).features.shape
        torch.Size([16, 1])

    Args:
        items: the shapes, one per item of the batch.
        backend: backend of the sparse tensor.
        device: device of the sparse tensor.

    Returns:
        Features (N, 1) on the occupied voxels: their coverage, or 1 for shapes without any.
    """
    low = np.min([item.low for item in items], axis=0)
    grids = [np.pad(item.grid, [(n, 0) for n in item.low - low]) for item in items]
    return SparseTensor.from_grids(grids, low=_triple(low), backend=backend, device=device)


def _triple(numbers: Sequence[int] | NDArray[np.int64]) -> Triple:
    i, j, k = (int(number) for number in numbers)
    return i, j, k
