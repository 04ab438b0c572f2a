"""Volumes of intensities: to a model's spacing, into its windows, to features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.cards import InputContract
from zoo.conform import Bools, Conformed, check_extent
from zoo.errors import VolumeError
from zoo.volume import Volume

Floats = NDArray[np.float32]
FACES = np.ones((3, 3))  # of exterior air, pixels connect within an axial slice by these


def resampled(volume: Volume, contract: InputContract) -> Conformed:
    """Bring intensities to RAS axes and, unless its spacing is acceptable, to the contract's.

    Linear interpolation; where voxels become larger, what they cover is averaged first.

    Raises:
        VolumeError: NaN, or a grid that would be larger than any patient.
    """
    canonical = volume.canonical()
    array = np.asarray(canonical.array, dtype=np.float32)
    if np.isnan(array.min()):
        raise VolumeError(
            f"wanted finite values, got {int(np.isnan(array).sum())} NaN voxels; replace them first"
        )
    if contract.accepts(canonical.spacing):
        return Conformed(volume, array, canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    ratios = np.divide(contract.spacing, canonical.spacing)  # voxels of the input in one of ours
    shape = np.ceil(np.array(canonical.shape) / ratios - 1e-6).astype(int)
    # A Gaussian as wide as the box that a larger voxel averages over.
    array = ndimage.gaussian_filter(array, np.where(ratios > 1, ratios / np.sqrt(12), 0))
    array = ndimage.affine_transform(
        array, ratios, 0.5 * ratios - 0.5, tuple(shape.tolist()), order=1, mode="nearest"
    )
    return Conformed(volume, array, contract.spacing, resampled=True)


def windowed(array: Floats, contract: InputContract) -> Bools:
    """Which voxels (I, J, K) lie in a window and, if the contract says so, in the body."""
    occupied = np.zeros(array.shape, bool)
    for low, high in contract.windows or ():
        occupied |= (array >= low) & (array <= high)
    if contract.exterior is not None:
        occupied &= ~_exterior(array < contract.exterior)
    return occupied


def normalised(values: Floats, contract: InputContract) -> Floats:
    """Intensities to features: -1 at the lowest end of the windows, 1 at the highest."""
    ends = [end for window in contract.windows or () for end in window]
    low, high = min(ends), max(ends)
    features: Floats = ((values - low) * (2 / (high - low)) - 1).astype(np.float32)
    return features


def _exterior(air: Bools) -> Bools:
    """What is connected, slice by slice, to the border of its axial slice."""
    structure = np.zeros((3, 3, 3), bool)
    structure[:, :, 1] = FACES
    pieces, count = ndimage.label(air, structure)
    border = np.zeros(count + 1, bool)
    for axis in (0, 1):
        for end in (0, -1):
            border[pieces.take(end, axis)] = True
    border[0] = False
    exterior: Bools = border[pieces]
    return exterior
