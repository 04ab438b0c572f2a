"""The plane about which a head is most symmetric: the mid-sagittal one.

It is found by iterated closest points (Besl and McKay, "A method for registration of 3-D shapes",
1992) between a shape and its mirror image, trimmed (Chetverikov et al. 2002), so that a hole does
not matter, and then from coverage (Lucas and Kanade 1981), as closest voxels alone are off by up to
half a voxel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.anatomy.cranium import Triple
from zoo.volumes import coverage, from_bytes

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

EDGE = 3.0  # mm: voxels of the head that its plane of symmetry is found from
OCCUPIED = 0.3  # coverage above which a voxel is a point of the shape
SAMPLED = 800  # points that are mirrored, out of all
CLOSEST_ROUNDS, REFINED_ROUNDS = 8, 6
BLUR = 1.0  # voxels, standard deviation
TRUSTED = 0.8  # share of these points, those that match best, that decide
FEWEST = 100  # points that make a shape


class Mirror(NamedTuple):
    """A plane of symmetry: the points whose product with the normal is the offset, in mm."""

    normal: Floats
    offset: float

    def of(self, points: Floats) -> Floats:
        """The mirrored points (N, 3)."""
        away = points @ self.normal - self.offset
        mirrored: Floats = points - 2 * away[:, None] * self.normal
        return mirrored


def plane_of_symmetry(skull: Bools, spacing: Triple) -> Mirror:
    """The plane at which a skull is most like itself mirrored, in spite of a hole.

    Args:
        skull: bool (I, J, K), axes RAS; something in it is set.
        spacing: mm along each axis.
    """
    grid = from_bytes(coverage(skull, spacing, (EDGE,) * 3))
    if not is_shape(grid):
        middle = (np.argwhere(skull).mean(axis=0) + 0.5) * spacing
        return Mirror(np.array([1.0, 0, 0]), float(middle[0]))
    matrix, offset = mirroring(grid)
    # The matrix is a reflection, then a turn about the plane's normal, which becomes its opposite.
    values, vectors = np.linalg.eig(matrix)
    normal = vectors[:, abs(values + 1).argmin()].real
    normal = normal if normal[0] > 0 else -normal
    middle = (offset / 2 + 0.5) * EDGE  # between the first voxel and its image
    return Mirror(normal, float(normal @ middle))


def is_shape(grid: NDArray[np.float32]) -> bool:
    """Whether coverage (I, J, K) has enough voxels to tell how it is symmetric."""
    return bool(np.count_nonzero(grid > OCCUPIED) >= FEWEST)


def mirroring(grid: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """The reflection, turned and moved as little as needed, that maps a shape onto itself.

    Args:
        grid: coverage (I, J, K), from 0 to 1; the first axis is roughly from left to right.

    Returns:
        A matrix (3, 3), orthogonal, of determinant -1, and an offset (3,): voxel p goes to
        matrix @ p + offset.
    """
    points = np.argwhere(grid > OCCUPIED).astype(float)
    sample = points[:: max(len(points) // SAMPLED, 1)]
    matrix = np.diag([-1.0, 1, 1])
    offset = np.array([2 * points[:, 0].mean(), 0, 0])
    return _refined(grid, sample, *_closest(points, sample, matrix, offset))


def _closest(
    points: Floats, sample: Floats, matrix: Floats, offset: Floats
) -> tuple[Floats, Floats]:
    """Bring the images of a sample onto the closest points, to within about a voxel."""
    from scipy.spatial import KDTree
    from scipy.spatial.transform import Rotation

    tree: Any = KDTree(points)
    for _ in range(CLOSEST_ROUNDS):
        images = np.round(sample @ matrix.T + offset, 6)  # so that ties are the same everywhere
        distances, nearest = tree.query(images)
        close = distances <= np.quantile(distances, TRUSTED)
        here, there = images[close], points[nearest[close]]
        middle, goal = here.mean(axis=0), there.mean(axis=0)
        turn, _ = Rotation.align_vectors(there - goal, here - middle)
        matrix, offset = _turned(turn, middle, goal, matrix, offset)
    return matrix, offset


def _refined(
    grid: NDArray[np.float32], sample: Floats, matrix: Floats, offset: Floats
) -> tuple[Floats, Floats]:
    """Bring blurred coverage onto its image by Gauss-Newton steps, to a fraction of a voxel."""
    from scipy import ndimage
    from scipy.spatial.transform import Rotation

    blurred = ndimage.gaussian_filter(grid, BLUR)
    fields = [blurred, *np.gradient(blurred)]

    def at(places: Floats) -> Floats:
        found = [ndimage.map_coordinates(field, places.T, order=1) for field in fields]
        return np.stack(found, axis=1).astype(float)

    wanted = at(sample)[:, 0]
    middle = sample.mean(axis=0)
    for _ in range(REFINED_ROUNDS):
        images = sample @ matrix.T + offset
        found = at(images)
        off, slope = found[:, 0] - wanted, found[:, 1:]
        close = abs(off) <= np.quantile(abs(off), TRUSTED)
        effect = np.concatenate([np.cross(images - middle, slope), slope], axis=1)
        step = np.linalg.lstsq(effect[close], -off[close], rcond=None)[0]
        turn = Rotation.from_rotvec(step[:3])
        matrix, offset = _turned(turn, middle, middle + step[3:], matrix, offset)
    return matrix, offset


def _turned(
    turn: Any, middle: Floats, goal: Floats, matrix: Floats, offset: Floats
) -> tuple[Floats, Floats]:
    """A map, then a turn about a point, which goes to another."""
    return turn.as_matrix() @ matrix, turn.apply(offset - middle) + goal
