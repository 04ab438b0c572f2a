"""Which voxels of a volume are occupied, where there are two values or a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.errors import VolumeError
from zoo.volumes.volume import Volume

Bools = NDArray[np.bool_]


def binarise(volume: Volume, threshold: float | None) -> Bools:
    """Which voxels of a volume are occupied.

        >>> import numpy as np
        >>> scan = Volume(np.array([[[-1000, 40, 900]]]))
        >>> binarise(scan, 300).tolist()
        [[[False, False, True]]]

    Args:
        volume: the volume.
        threshold: voxels above it are occupied. None: the volume must have two values, and the one
            that is not zero is occupied, or the greater one where neither is zero.

    Returns:
        bool, of the volume's shape; of a uint8 mask of 0 and 1 a view of its memory.

    Raises:
        VolumeError: NaN, more than two values and no threshold, nothing occupied, or everything.
    """
    array = volume.array
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise VolumeError(
            f"wanted finite values, got {int(np.isnan(array).sum())} NaN voxels; replace them first"
        )
    if isinstance(threshold, str):
        raise VolumeError(f"wanted a number for the threshold of this model, got {threshold!r}")
    if threshold is not None:
        occupied = array > threshold
    elif array.dtype == np.uint8 and (low, high) == (0, 1):
        occupied = array.view(np.bool_)
    else:
        lower, occupied = array == low, array == high
        if low < high and np.count_nonzero(lower) + np.count_nonzero(occupied) < array.size:
            raise VolumeError(
                f"wanted a binary volume, got more than two values between {low:g} and {high:g};"
                " give threshold= (--threshold): voxels above it are occupied"
            )
        if high == 0:
            occupied = lower if low < 0 else ~lower
    if (count := np.count_nonzero(occupied)) in (0, occupied.size):
        wanted = "an empty voxel" if count else "an occupied voxel"
        raise VolumeError(
            f"wanted {wanted}, got none: values lie between {low:g} and {high:g};"
            " check file and threshold"
        )
    return occupied
