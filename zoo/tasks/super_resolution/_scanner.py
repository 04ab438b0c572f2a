"""Coarse shapes as a scanner makes them: averaged over its slices, and cut at a threshold later.

Any-pooling, by contrast, loses nothing: thin bone fills its voxel. A network that gets coarse
volumes of either kind sees values from 0 to 1 on the fine grid. Those of a scan are interpolated: 0
is what surrounds the bone, a half is the threshold, and they come the nearer to 1 the farther above
it they are. Where only a mask is known, its voxels are blocks of ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.volumes import Bools, Volume, binarise, replicated

Floats = NDArray[np.float32]
Factors = tuple[int, int, int]

LEAST = 0.5  # of the way from the surroundings to the threshold: less is nothing
PROFILE = (0.6, 1.25)  # width of a slice's profile, from one with a gap to one with an overlap
THRESHOLD = (0.2, 0.55)  # of what bone alone would give
TEXTURE = 0.6  # by how much spongy bone may be less than solid bone
BLUR = (0.5, 1.5)  # standard deviation of a scanner's blur, in fine voxels
NOISE = 0.03  # standard deviation, of what bone alone would give
MASKS = 0.5  # share of scans of which only the mask is kept
CELL = 6  # voxels from one value of the texture to the next


def values_of(volume: Volume, threshold: float | None, factors: Factors) -> Floats:
    """The values on a finer grid of a coarse volume: a mask, or a scan with a threshold.

    What surrounds the bone is the median of the voxels beside it.

        >>> scan = Volume(np.array([[[-1000.0, 50.0, 60.0, 200.0, 400.0, 1000.0]]]))
        >>> [round(value, 2) for value in values_of(scan, 300.0, (1, 1, 1))[0, 0].tolist()]
        [0.0, 0.0, 0.0, 0.0, 0.67, 0.97]

    Args:
        volume: (I, J, K).
        threshold: voxels above it are occupied; None for a mask. What has nothing below it counts
            as a mask.
        factors: fine voxels in a coarse one along each axis.

    Returns:
        float32 (f I, g J, h K).

    Raises:
        VolumeError: as `binarise` does.
    """
    occupied = binarise(volume, threshold)
    if threshold is not None:
        array = volume.array.astype(np.float32)
        beside = array[_beside(occupied) & ~occupied & np.isfinite(array)]
        around = float(np.median(beside)) if len(beside) else threshold
        if around < threshold:
            heights = (array - around) / (threshold - around)
            return _values(np.where(np.isfinite(heights), heights, 0), factors)
    return replicated(occupied.astype(np.float32), factors)


def scanned(fine: Bools, factors: Factors, rng: np.random.Generator) -> tuple[Floats, Bools]:
    """The values of a coarse scan of a shape on the fine grid, and what a fine scan shows of it.

    Both are cut at the same threshold, and blurred alike.

    Args:
        fine: bool (I, J, K), of which a voxel must be set.
        factors: fine voxels in a coarse one along each axis, of which the shape is a multiple.
        rng: draws blur, profile, threshold, texture and noise, and whether only a mask is kept.

    Returns:
        The values, float32 (I, J, K), and the shape, bool (I, J, K).
    """
    from scipy import ndimage

    solid = fine * (1 - TEXTURE * _texture(fine.shape, rng))
    bone = thin = ndimage.gaussian_filter(solid, rng.uniform(*BLUR), truncate=3)
    for axis, factor in enumerate(factors):
        if factor > 1:
            weights = _profiles(fine.shape[axis] // factor, factor, rng.uniform(*PROFILE))
            bone = np.moveaxis(np.tensordot(weights, bone, (1, axis)), 0, axis)
    bone = bone + rng.normal(0, NOISE, bone.shape)
    threshold = min(rng.uniform(*THRESHOLD), 0.95 * bone.max(), 0.95 * thin.max())
    if rng.random() >= MASKS:
        values = _values((bone / threshold).astype(np.float32), factors)
        if values.any():
            return values, thin > threshold
    return replicated((bone > threshold).astype(np.float32), factors), thin > threshold


def _values(heights: Floats, factors: Factors) -> Floats:
    """The values of a scan on a finer grid.

    Args:
        heights: float32 (I, J, K): 0 is what surrounds the bone, 1 is the threshold.
        factors: fine voxels in a coarse one along each axis.

    Returns:
        float32 (f I, g J, h K).
    """
    fine = interpolated(heights, factors)
    values: Floats = np.where(fine > LEAST, 1 - np.exp2(-fine), np.float32(0))
    return values


def interpolated(coarse: Floats, factors: Factors) -> Floats:
    """Interpolate trilinearly on a finer grid over the same field of view, slice by slice.

    >>> interpolated(np.array([[[0, 4]]], np.float32), (1, 1, 2)).tolist()
    [[[0.0, 1.0, 3.0, 4.0]]]
    """
    first, second, third = map(_shares, coarse.shape, factors)
    shape = [n * factor for n, factor in zip(coarse.shape, factors, strict=True)]
    fine = np.empty(shape, np.float32)
    for plane, shares in zip(fine, first, strict=True):
        (near,) = np.nonzero(shares)
        between = np.tensordot(shares[near], coarse[near], 1)
        plane[:] = second @ between @ third.T
    return fine


def _shares(count: int, factor: int) -> Floats:
    """The shares (count * factor, count) of coarse voxels in the finer ones between them."""
    places = np.clip((np.arange(count * factor) + 0.5) / factor - 0.5, 0, count - 1)
    distances = np.abs(places[:, None] - np.arange(count))
    shares: Floats = np.maximum(1 - distances, 0).astype(np.float32)
    return shares


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
