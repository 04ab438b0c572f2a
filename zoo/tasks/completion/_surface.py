"""The implant from coverage: which voxels of a fine grid lie in the hole that a network filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.volumes import Bools, box_around, dilated, surface_voxels, voxels_of, without_specks

Floats = NDArray[np.float32]
Triple = tuple[float, float, float]
BoundingBox = tuple[slice, slice, slice]

NEW = 0.5  # coverage that must be added to a voxel, for there to be a hole
LEAST = 0.2  # coverage that is added to a voxel, for it to be more than a network's inaccuracy
SMALLEST = 0.25  # ml of such voxels in one place, about a third of a burr hole
BLOCK = 1.6  # mm: on smaller voxels, a mean over blocks of that size decides where there is a hole


def hole(added: Floats, spacing: Triple) -> Bools:
    """Where a network found that something is missing: bool (I, J, K), with a margin of a voxel.

    Args:
        added: float32 (I, J, K), the coverage that the network adds.
        spacing: mm between the centres of voxels.
    """
    return dilated(without_specks(added > NEW, 1000 * SMALLEST / float(np.prod(spacing))))


def filled(
    predicted: Floats, given: Floats, spacing: Triple, fine: Triple, shape: tuple[int, ...]
) -> tuple[BoundingBox, Bools] | None:
    """Which voxels of a finer grid the implant takes, those of the input included.

    Args:
        predicted: float32 (I, J, K), the coverage that the network predicts; overwritten, as a
            fine grid takes much memory.
        given: the coverage of the input.
        spacing, fine: mm; both grids begin at the same corner.
        shape: of the fine grid.

    Returns:
        A bounding box in the fine grid, and bool of its shape; None if nothing is missing.
    """
    added = np.subtract(predicted, given, out=predicted)
    added[added <= LEAST] = 0
    edge = max(round(BLOCK / min(spacing)), 1)
    i, j, k = (edge * length for length in spacing)
    zone = hole(_block_means(added, edge), (i, j, k))
    if not zone.any():
        return None
    box = box_around(zone, (i, j, k), fine, shape)
    field = np.add(added, given, out=added)
    return box, surface_voxels(field, spacing, fine, box) & voxels_of(zone, (i, j, k), fine, box)


def _block_means(values: Floats, edge: int) -> Floats:
    """The means of blocks of edge x edge x edge voxels; those beyond the grid count as 0."""
    for axis in range(values.ndim):
        starts = np.arange(0, values.shape[axis], edge)
        values = np.add.reduceat(values, starts, axis)
    means: Floats = values / np.float32(edge**values.ndim)
    return means
