"""Grids whose axes are not at right angles, as a tilted gantry makes them: straight, and back."""

from __future__ import annotations

import numpy as np

from zoo.volumes.volume import Volume
from zoo.volumes.voxels import has_two_values

LEAST = 0.3  # degrees; less is rounding
ROUNDING = 1e-3  # of a voxel


def shear(volume: Volume) -> float:
    """By how many degrees the axes of a volume differ from right angles, at most.

    >>> import numpy as np
    >>> tilted = np.eye(4)
    >>> tilted[1, 2] = np.tan(np.radians(10))
    >>> round(shear(Volume(np.zeros((2, 2, 2)), tilted)), 3)
    10.0
    """
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    cosines = np.abs(directions.T @ directions - np.eye(3)).max()
    return float(np.degrees(np.arcsin(min(cosines, 1.0))))


def is_sheared(volume: Volume) -> bool:
    """Whether the axes of a volume are not at right angles."""
    return shear(volume) > LEAST


def straightened(volume: Volume) -> Volume:
    """A volume on a grid with axes at right angles that holds all of it, with the same spacing.

    The axes are the nearest ones at right angles. Intensities are interpolated linearly; a mask
    takes the nearest voxel. What lies outside of the volume has its least value.
    """
    from scipy import ndimage

    spacing = np.array(volume.spacing)
    left, _, right = np.linalg.svd(volume.affine[:3, :3] / spacing)
    axes = (left @ right) * spacing  # columns: a step along each axis, mm
    to_straight = np.linalg.inv(axes) @ volume.affine[:3, :3]
    ends = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in volume.shape], indexing="ij"), -1)
    corners = ends.reshape(-1, 3) @ to_straight.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.ceil(high - low - ROUNDING).astype(int)
    first = low + 0.5  # the first voxel's centre, in steps of the new axes
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = volume.affine[:3, 3] + axes @ first
    matrix = np.linalg.inv(to_straight)
    values, outside = volume.array, volume.array.min()
    mask = values.dtype == np.bool_ or has_two_values(values)
    array = ndimage.affine_transform(
        values.astype(np.uint8) if values.dtype == np.bool_ else values,
        matrix,
        matrix @ first,
        tuple(shape.tolist()),
        order=0 if mask else 1,
        cval=float(outside),
    )
    return Volume(array.astype(values.dtype), affine)


def laid_back(straight: Volume, volume: Volume) -> Volume:
    """The values of one grid at the nearest voxels of another: of a straight one, or back on it."""
    from scipy import ndimage

    to_index = np.linalg.inv(straight.affine) @ volume.affine
    array = ndimage.affine_transform(
        straight.array, to_index[:3, :3], to_index[:3, 3], volume.shape, order=0, mode="constant"
    )
    return volume.with_array(array)
