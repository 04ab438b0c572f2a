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


def generated_grid(
    network: torch.nn.Module,
    grid: np.ndarray,
    backend: Backend,
    device: torch.device,
    shift: np.ndarray | None = None,
) -> np.ndarray:
    """The voxels that a generative network sees in place of bool (I, J, K) `grid`, same shape.

    `shift` (3,) is the coordinate of the grid's first voxel; what is occupied lies in the middle of
    the network's cells if it is left out.
    """
    if shift is None:
        shift = centring_shift(*bounds(grid), cell_of(network))
    i, j, k = shift.tolist()
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


def pooled(grid: np.ndarray, factor: int | tuple[int, int, int]) -> np.ndarray:
    """Any-pooling: a voxel of the coarser bool grid is set if any one in its block is.

    `factor` is the edge of a block, or its length along each axis. The last voxels of an axis may
    be narrower.
    """
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    for axis, along in enumerate(factors):
        if along == 1:
            continue
        leading = np.moveaxis(grid, axis, 0)
        coarse = leading[::along].copy()
        for start in range(1, along):
            part = leading[start::along]
            coarse[: len(part)] |= part
        grid = np.moveaxis(coarse, 0, axis)
    return grid


def replicated(grid: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Every voxel as a block of factors[0] x factors[1] x factors[2] equal ones."""
    for axis, factor in enumerate(factors):
        grid = grid.repeat(factor, axis) if factor > 1 else grid
    return grid


def corner_shift(blocks: np.ndarray) -> np.ndarray:
    """The shift (3,) that brings the corner of what is occupied to the origin.

    Of a grid of equal blocks: they then begin at multiples of their size, wherever a scan was cut.
    """
    return -bounds(blocks)[0]
