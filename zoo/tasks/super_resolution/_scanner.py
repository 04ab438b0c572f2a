"""Coarse shapes as a scanner makes them: averaged over its slices, and cut at a threshold later.

Any-pooling, by contrast, loses nothing: thin bone fills its voxel. A network that gets coarse
volumes of either kind sees values from 0 to 1: where the values of the scan are known, a half is
the threshold, 0 is what surrounds the bone, and 1 is as far above the threshold or farther; where
only a mask is, what is occupied is 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.volumes import Bools, Volume, binarise

Floats = NDArray[np.float32]
Factors = tuple[int, int, int]

LEAST = 0.25  # value above which a voxel may hold some of the shape: half way to the threshold
PROFILE = (0.6, 1.25)  # width of a slice's profile, from one with a gap to one with an overlap
THRESHOLD = (0.2, 0.55)  # of what bone alone would give
TEXTURE = 0.4  # by how much spongy bone may be less than solid bone
NOISE = 0.03  # standard deviation, of what bone alone would give
MASKS = 0.5  # share of scans of which only the mask is kept
CELL = 6  # voxels from one value of the texture to the next


def values_of(volume: Volume, threshold: float | None) -> Floats:
    """The values (I, J, K) of a coarse volume: a mask, or a scan with a threshold.

    What surrounds the bone is the median of the voxels beside it.

        >>> scan = Volume(np.array([[[-1000.0, 50.0, 60.0, 200.0, 400.0, 1000.0]]]))
        >>> [round(value, 2) for value in values_of(scan, 300.0)[0, 0].tolist()]
        [0.0, 0.0, 0.0, 0.0, 0.79, 1.0]

    Raises:
        VolumeError: as `binarise` does.
    """
    occupied = binarise(volume, threshold)
    if threshold is None:
        return occupied.astype(np.float32)
    array = volume.array
    beside = array[_beside(occupied) & ~occupied & np.isfinite(array)]
    around = float(np.median(beside))
    scaled = (array.astype(np.float32) - around) / (2 * (threshold - around))
    values: Floats = np.where(scaled > LEAST, np.minimum(scaled, 1), 0).astype(np.float32)
    return values


def scanned(fine: Bools, factors: Factors, rng: np.random.Generator) -> Floats:
    """The values of a coarse scan of a fine shape.

    Args:
        fine: bool (I, J, K), of which a voxel must be set.
        factors: fine voxels in a coarse one along each axis, of which the shape is a multiple.
        rng: draws profile, threshold, texture and noise, and whether only a mask is kept.

    Returns:
        float32 (I / f, J / g, K / h).
    """
    bone = fine * (1 - TEXTURE * _texture(fine.shape, rng))
    for axis, factor in enumerate(factors):
        if factor > 1:
            weights = _profiles(fine.shape[axis] // factor, factor, rng.uniform(*PROFILE))
            bone = np.moveaxis(np.tensordot(weights, bone, (1, axis)), 0, axis)
    bone = bone + rng.normal(0, NOISE, bone.shape)
    threshold = rng.uniform(*THRESHOLD)
    if rng.random() < MASKS:
        mask: Floats = (bone > min(threshold, 0.95 * bone.max())).astype(np.float32)
        return mask
    values: Floats = np.clip(bone / (2 * threshold), 0, 1).astype(np.float32)
    values[values <= min(LEAST, 0.95 * values.max())] = 0
    return values


def _profiles(count: int, factor: int, width: float) -> Floats:
    """The weights (count, count * factor) of fine voxels in slices whose profile is a box.

    It is `width` coarse voxels wide and has soft ends, as those of scanners.
    """
    centres = (np.arange(count) + 0.5) * factor
    distance = np.abs(np.arange(count * factor) + 0.5 - centres[:, None])
    weights = np.clip((width * factor / 2 - distance) / (0.2 * factor) + 0.5, 0, 1)
    shares: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Smooth noise from 0 to 1."""
    from scipy import ndimage

    coarse = rng.random([n // CELL + 2 for n in shape]).astype(np.float32)
    steps = np.meshgrid(*(np.arange(n, dtype=np.float32) / CELL for n in shape), indexing="ij")
    noise: Floats = ndimage.map_coordinates(coarse, steps, order=1)
    return noise


def _beside(mask: Bools) -> Bools:
    from scipy import ndimage

    grown: Bools = ndimage.binary_dilation(mask, iterations=2)
    return grown
