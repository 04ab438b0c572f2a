"""The occupied part of volumes and of pictures, with a margin."""

from __future__ import annotations

import numpy as np

from zoo.pictures._types import Bools
from zoo.volumes import memory_order

BoundingBox = tuple[slice, slice, slice]


def profiles(occupied: Bools) -> tuple[Bools, Bools, Bools]:
    """Which indices along I, J and K hold an occupied voxel."""
    axes = memory_order(occupied)
    work = occupied.transpose(axes)
    plane = np.any(work, axis=0)
    found = np.any(work, axis=(1, 2)), np.any(plane, axis=1), np.any(plane, axis=0)
    i, j, k = (found[axes.index(axis)] for axis in range(3))
    return i, j, k


def bounding_box(*volumes: Bools) -> BoundingBox:
    """Slices of the occupied part with a margin of one voxel; everything if nothing is occupied."""
    i, j, k = (
        span(np.logical_or.reduce(alike)) for alike in zip(*map(profiles, volumes), strict=True)
    )
    return i, j, k


def span(profile: Bools) -> slice:
    """The slice of a profile that holds anything, and one more on each side; else all of it."""
    if not profile.any():
        return slice(0, len(profile))
    low, high = np.flatnonzero(profile)[[0, -1]]
    return slice(max(int(low) - 1, 0), min(int(high) + 2, len(profile)))
