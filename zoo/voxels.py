"""Between dense grids and sparse tensors: conforming to a model's input contract, and back."""

from __future__ import annotations

import numpy as np
import torch

from zoo.sparse import Backend, SparseTensor

CELL = 64  # voxels along an edge of the coarsest voxel of a network with the paper's 7 levels


def cell_of(network: torch.nn.Module) -> int:
    """Voxels along an edge of a network's coarsest voxel: its `cell`, or the paper's 64."""
    cell: int = getattr(network, "cell", CELL)
    return cell


def centring_shift(low: np.ndarray, high: np.ndarray, cell: int) -> np.ndarray:
    """The shift (3,) that brings a box [low, high] of voxels to the middle of whole cells.

    `cell` is the edge, in voxels, of a network's coarsest voxel. So it sees a shape in the same
    place, however its scan was cropped or padded.
    """
    extent = high - low + 1
    cells = -(-extent // cell)
    shift: np.ndarray = cells * cell // 2 - (low + high + 1) // 2
    return shift


def complete_grid(
    network: torch.nn.Module, grid: np.ndarray, backend: Backend, device: torch.device
) -> np.ndarray:
    """The voxels that a completion network sees in place of bool (I, J, K) `grid`, same shape."""
    i, j, k = centring_shift(*bounds(grid), cell_of(network)).tolist()
    x = SparseTensor.from_grids([grid], low=(i, j, k), backend=backend, device=device)
    answer: SparseTensor = network(x).answer
    rows, columns, depth = grid.shape
    return answer.to_grid((i, j, k), (rows, columns, depth))


def bounds(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest index (3,) of a voxel that is not zero."""
    profiles = (grid.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    ends = [np.flatnonzero(profile)[[0, -1]] for profile in profiles]
    low, high = np.array(ends).T
    return low, high


def pooled(grid: np.ndarray, factor: int) -> np.ndarray:
    """Any-pooling: a voxel of the coarser bool grid is set if any of factor^3 in it is.

    The last voxels of an axis may be narrower.
    """
    for axis in range(3) if factor > 1 else ():
        leading = np.moveaxis(grid, axis, 0)
        coarse = leading[::factor].copy()
        for start in range(1, factor):
            part = leading[start::factor]
            coarse[: len(part)] |= part
        grid = np.moveaxis(coarse, 0, axis)
    return grid
