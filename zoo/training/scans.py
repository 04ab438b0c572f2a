"""Augments a scan with labels: field of view, pose, and what makes one scanner's image another's.

Scans are float32 (I, J, K), axes RAS, and their labels uint8 of the same shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.training.augmentation import draw_matrix
from zoo.training.config import ScanConfig

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
Doubles = NDArray[np.float64]

LATTICE = 4  # random gains or displacements along each axis, with smooth ones between


def augment_scan(
    scan: Floats,
    labels: Labels,
    config: ScanConfig,
    windows: tuple[float, float],
    spacing: float,
    rng: np.random.Generator,
    *,
    bright_air: bool = False,
) -> tuple[Floats, Labels]:
    """Augment a scan and its labels; what turns or moves into view is taken to be air.

    Args:
        scan: float32 (I, J, K).
        labels: uint8 (I, J, K).
        config: what to draw.
        windows: the lowest and the highest intensity of the model's windows.
        spacing: edge of a voxel in mm.
        rng: the generator to draw with.
        bright_air: whether air is as bright as the brightest voxel, not as dark as the darkest.

    Returns:
        Both, on a grid that is smaller where the field of view or the crop is.
    """
    shares = zip(scan.shape, config.field_of_view, strict=True)
    part = tuple(_part(count, least, rng) for count, least in shares)
    scan, labels = scan[part], labels[part]
    if config.crop:
        part = _crop(labels, np.divide(config.crop, spacing), rng)
        scan, labels = scan[part], labels[part]
    air = float(scan.max() if bright_air else scan.min())
    scan, labels = _posed(scan, labels, config, spacing, air, rng)
    return _exposed(scan, config, windows, rng), labels


def _part(length: int, least: float, rng: np.random.Generator) -> slice:
    """A random range of at least that share of an axis."""
    count = int(np.ceil(length * rng.uniform(least, 1)))
    start = int(rng.integers(length - count + 1))
    return slice(start, start + count)


def _crop(labels: Labels, extent: Doubles, rng: np.random.Generator) -> tuple[slice, ...]:
    """A range of so many voxels of each axis, around a random labelled voxel if there is one."""
    shape = np.array(labels.shape)
    size = np.clip(np.rint(extent).astype(int), 1, shape)
    labelled = np.flatnonzero(labels)
    share = rng.random()
    number = labelled[int(share * len(labelled))] if len(labelled) else int(share * labels.size)
    middle = np.array(np.unravel_index(number, labels.shape))
    start = np.clip(middle - (rng.random(3) * size).astype(int), 0, shape - size)
    return tuple(map(slice, start, start + size))


def _posed(
    scan: Floats,
    labels: Labels,
    config: ScanConfig,
    spacing: float,
    air: float,
    rng: np.random.Generator,
) -> tuple[Floats, Labels]:
    """Flip, turn, scale and deform both about the middle of their grid, which stays as large."""
    matrix = draw_matrix(config, rng)
    if config.deformation:
        return _deformed(scan, labels, matrix, config.deformation / spacing, air, rng)
    if (matrix == np.eye(3)).all():
        return scan, labels
    if (matrix == np.diag([-1, 1, 1])).all():
        return scan[::-1], labels[::-1]
    inverse = np.linalg.inv(matrix)
    middle = (np.array(scan.shape) - 1) / 2
    offset = middle - inverse @ middle
    return (
        ndimage.affine_transform(scan, inverse, offset, order=1, mode="constant", cval=air),
        ndimage.affine_transform(labels, inverse, offset, order=0, mode="constant", cval=0),
    )


def _deformed(
    scan: Floats,
    labels: Labels,
    matrix: Doubles,
    deviation: float,
    air: float,
    rng: np.random.Generator,
) -> tuple[Floats, Labels]:
    """Map by a (3, 3) matrix and by smooth random displacements of so many voxels."""
    sources = np.indices(scan.shape, np.float32)
    for axis, count in enumerate(scan.shape):
        sources[axis] -= (count - 1) / 2
    sources = np.tensordot(np.linalg.inv(matrix).astype(np.float32), sources, 1)
    zoom = np.divide(scan.shape, LATTICE)
    for axis, count in enumerate(scan.shape):
        moves = rng.normal(0, deviation, (LATTICE,) * 3).astype(np.float32)
        sources[axis] += (count - 1) / 2 + ndimage.zoom(
            moves, zoom, order=3, mode="nearest", grid_mode=True
        )
    return (
        ndimage.map_coordinates(scan, sources, order=1, mode="constant", cval=air),
        ndimage.map_coordinates(labels, sources, order=0, mode="constant", cval=0),
    )


def _exposed(
    scan: Floats, config: ScanConfig, windows: tuple[float, float], rng: np.random.Generator
) -> Floats:
    """Another scanner's image of the same: resolution first, then intensities, noise at last."""
    low, high = windows
    middle, width = (low + high) / 2, high - low
    blur, noise = rng.uniform(0, config.blur), rng.uniform(0, config.noise) * width
    axis, factor = int(rng.integers(3)), rng.uniform(1, config.coarse)
    gain = np.array(1 + rng.uniform(-config.contrast, config.contrast), np.float32)
    shift = rng.uniform(-config.brightness, config.brightness) * width
    if config.blur:
        scan = ndimage.gaussian_filter(scan, blur)
    if config.coarse > 1:
        scan = _thickened(scan, axis, factor)
    if config.bias:
        gains = rng.uniform(1 - config.bias, 1 + config.bias, (LATTICE,) * 3).astype(np.float32)
        for along, count in enumerate(scan.shape):
            gains = _zoomed(gains, along, count)
        gain = gain * gains
    if config.contrast or config.bias or config.brightness:
        scan = (scan - middle) * gain + (middle + shift)
    if config.noise:
        scan = scan + noise * rng.standard_normal(scan.shape, np.float32)
    return np.asarray(scan, dtype=np.float32)


def _thickened(scan: Floats, axis: int, factor: float) -> Floats:
    """Average over slices that are thicker by a factor, and interpolate between those again."""
    averaged = ndimage.gaussian_filter1d(scan, factor / np.sqrt(12), axis)
    count = scan.shape[axis]
    return _zoomed(_zoomed(averaged, axis, max(1, round(count / factor))), axis, count)


def _zoomed(scan: Floats, axis: int, count: int) -> Floats:
    """Interpolate so that an axis has that many voxels over the same extent."""
    zoom = [1.0, 1.0, 1.0]
    zoom[axis] = count / scan.shape[axis]
    zoomed: Floats = ndimage.zoom(scan, zoom, order=1, mode="nearest", grid_mode=True)
    return zoomed
