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
        predicted: float32 (I, J, K), the coverage that the network predicts.
        given: the coverage of the input.
        spacing, fine: mm; both grids begin at the same corner.
        shape: of the fine grid.

    Returns:
        A bounding box in the fine grid, and bool of its shape; None if nothing is missing.
    """
    added = np.where(predicted > given + LEAST, predicted - given, np.float32(0))
    zone = hole(added, spacing)
    if not zone.any():
        return None
    box = box_around(zone, spacing, fine, shape)
    inside = surface_voxels(given + added, spacing, fine, box)
    return box, inside & voxels_of(zone, spacing, fine, box)
