"""Augments a pair of shapes: flips, small rotations and scalings, noise at the surface.

Shapes are bool (I, J, K), axes RAS. Only occupied voxels and their neighbours are transformed, not
the whole grid.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zoo.training.config import AugmentationConfig, PoseConfig
from zoo.volumes import bounds, dilated

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Shapes = tuple[Bools, Bools]


def augment(
    defective: Bools, complete: Bools, config: AugmentationConfig, rng: np.random.Generator
) -> Shapes:
    """Augment a defective shape and the complete one, which contains it, in the same way.

    Args:
        defective: bool (I, J, K).
        complete: bool (I, J, K).
        config: what to draw.
        rng: the generator to draw with.

    Returns:
        Both shapes on a new grid that fits them; noise is only added to the defective one.
    """
    matrix = draw_matrix(config, rng)
    if (matrix == np.diag([-1, 1, 1])).all():
        defective, complete = defective[::-1], complete[::-1]
    elif (matrix != np.eye(3)).any():
        labels = transformed(complete.astype(np.uint8) + defective, matrix)
        defective, complete = labels == 2, labels > 0
    if config.noise:
        defective, complete = (np.pad(grid, 1) for grid in (defective, complete))
        defective = roughened(defective, config.noise, rng)
    return defective, complete


def draw_matrix(config: PoseConfig, rng: np.random.Generator) -> Doubles:
    """Draw a (3, 3) matrix for coordinates: flip, scale, stretch, then rotate about every axis."""
    flip = -1.0 if rng.random() < config.flip else 1.0
    matrix = np.diag([flip, 1.0, 1.0]) * rng.uniform(*config.scale)
    if config.stretch:
        matrix = matrix * rng.uniform(1 - config.stretch, 1 + config.stretch, 3)
    for axis, degrees in enumerate(rng.uniform(-config.degrees, config.degrees, 3)):
        matrix = _rotation(axis, math.radians(degrees)) @ matrix
    return matrix


def transformed(labels: NDArray[np.uint8], matrix: Doubles) -> NDArray[np.uint8]:
    """Map labels (I, J, K), 0 being empty, by a (3, 3) matrix about their middle.

    Every voxel takes the label of the voxel that its centre comes from, so enlarging leaves no
    holes. Shrinking would, as thin walls fall between centres; so then an empty voxel takes the
    label of a voxel whose centre is mapped into it, as in any-pooling. The returned grid fits the
    labels.
    """
    points = np.argwhere(labels)
    middle = np.add(*bounds(labels)) / 2
    targets = (points - middle) @ matrix.T + middle
    # Half the diagonal of a mapped voxel, and half a voxel for rounding.
    reach = math.floor(np.linalg.norm(matrix, 2) * math.sqrt(3) / 2 + 0.5)
    low = np.floor(targets.min(axis=0)).astype(int) - reach
    indices = tuple((np.rint(targets).astype(int) - low).T)
    near = np.zeros(np.ceil(targets.max(axis=0)).astype(int) + reach + 1 - low, bool)
    near[indices] = True
    candidates = np.argwhere(dilated(near, reach))
    sources = (candidates + low - middle) @ np.linalg.inv(matrix).T + middle
    origins = np.rint(sources).astype(int)
    inside = ((origins >= 0) & (origins < labels.shape)).all(axis=1)
    mapped = np.zeros(near.shape, np.uint8)
    mapped[tuple(candidates[inside].T)] = labels[tuple(origins[inside].T)]
    if abs(np.linalg.det(matrix)) < 1 - 1e-6:
        shrunk = np.zeros_like(mapped)
        shrunk[indices] = labels[tuple(points.T)]
        mapped = np.where(mapped, mapped, shrunk)
    return mapped


def roughened(grid: Bools, probability: float, rng: np.random.Generator) -> Bools:
    """Add noise at the surface: drop and add voxels on either side of it at random.

    The outermost voxels must be empty. Neighbours are the 6 that share a face.
    """
    rough = grid.copy()
    for occupied, value in ((grid, True), (~grid, False)):
        surface = np.flatnonzero(occupied & _beside(~occupied))
        rough.ravel()[surface[rng.random(len(surface)) < probability]] = not value
    return rough


def _beside(grid: Bools) -> Bools:
    """Mark the voxels that have an occupied neighbour among the 6 that share a face."""
    beside = np.zeros_like(grid)
    for axis in range(3):
        ahead, behind = _slices(axis, slice(1, None)), _slices(axis, slice(None, -1))
        beside[ahead] |= grid[behind]
        beside[behind] |= grid[ahead]
    return beside


def _slices(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if other == axis else slice(None) for other in range(3))


def _rotation(axis: int, angle: float) -> Doubles:
    """A (3, 3) matrix that rotates by an angle, in radians, about an axis."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[one, other], [one, other]] = math.cos(angle)
    matrix[one, other], matrix[other, one] = -math.sin(angle), math.sin(angle)
    return matrix
