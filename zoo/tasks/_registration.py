"""Skulls in the shape of other skulls: a case, moved onto another one by a smooth displacement.

Training on such shapes won the first AutoImplant challenge (Ellis and Aizenberg, "Deep learning
using augmentation via registration", 2020). There every pair of cases is registered; here, each
case is registered onto one of them, the template, and any two are linked through it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from zoo.volumes import bounds

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Triple = tuple[float, float, float]

VOXEL = 3.2  # mm, of the frame in which skulls are compared
FRAME = (72, 84, 80)  # its voxels
PARTS = 3  # along an edge of one of them, at least, that are looked at
ABOVE = 6  # of them, above a skull
VAULT = 100.0  # mm from the top of a skull, by which it is centred
REACH = 8  # voxels from bone, up to which the distance from it counts
RADIUS = 7  # voxels around each, which move alike
SMOOTH = 1.5  # voxels, standard deviation: few folds survive it
ROUNDS = 10  # in which a displacement is inverted
SAMPLES = 4  # along each edge of a model's voxel
SLAB = 16  # slices that are moved at a time
MARGIN = 100.0  # mm around a skull, within which it stays


def origin(skull: Bools, spacing: Triple) -> Doubles:
    """Where the frame begins, in mm from the corner of a skull's grid (I, J, K), axes RAS."""
    top = bounds(skull)[1][2] + 1
    vault = skull[:, :, max(top - round(VAULT / spacing[2]), 0) : top]
    low, high = bounds(vault)
    i, j = (low[:2] + high[:2] + 1) / 2 * spacing[:2]
    size = np.multiply(FRAME, VOXEL)
    return np.array([i - size[0] / 2, j - size[1] / 2, top * spacing[2] + ABOVE * VOXEL - size[2]])


def framed(skull: Bools, spacing: Triple) -> Floats:
    """How near bone is, from 0 to 1, in every voxel of the frame."""
    start = origin(skull, spacing)
    parts = [int(np.ceil(length * PARTS / VOXEL)) for length in spacing]
    for axis, count in enumerate(parts):  # voxels are counted, so they have to be small
        skull = np.repeat(skull, count, axis)
    small = np.divide(spacing, parts)
    places = (np.argwhere(skull) + 0.5) * small - start
    cells = np.floor(places / VOXEL).astype(int)
    cells = cells[((cells >= 0) & (cells < FRAME)).all(axis=1)]
    counts = np.bincount(np.ravel_multi_index(tuple(cells.T), FRAME), minlength=np.prod(FRAME))
    share = counts.reshape(FRAME) * (np.prod(small) / VOXEL**3)
    distance = ndimage.distance_transform_edt(share < 0.5)
    near: Floats = (1 - np.minimum(distance, REACH) / REACH).astype(np.float32)
    return near


def register(skull: Floats, template: Floats) -> Floats:
    """Register a skull onto a template.

    Args:
        skull, template: what `framed` returns.

    Returns:
        (6, *FRAME), two displacements in voxels of the frame: what is at x in the template is at
        x + the first in the skull, and what is at y in the skull is at y + the second in the
        template.
    """
    from skimage.registration import optical_flow_ilk

    flow = optical_flow_ilk(template, skull, radius=RADIUS, dtype=np.float32)
    there: Floats = ndimage.gaussian_filter(flow, (0, SMOOTH, SMOOTH, SMOOTH))
    return np.concatenate([there, inverted(there)])


def inverted(there: Floats) -> Floats:
    """The displacement (3, *FRAME) that leads back, by fixed-point iteration."""
    back = -there
    for _ in range(ROUNDS):
        back = -beside(there, back)
    return back


def between(own: Floats, other: Floats) -> Floats:
    """From another case to one's own, both registered onto one template.

    Args:
        own, other: what `register` returns for the two.

    Returns:
        (3, *FRAME): what is at y in the other case is at y + this in one's own.
    """
    back = other[3:]
    return back + beside(own[:3], back)


def turned(displacement: Floats, degrees: Triple) -> Floats:
    """A displacement, followed by a rotation around the middle of the frame.

    Args:
        displacement: (3, *FRAME), in voxels of the frame, as for `moved`.
        degrees: of the rotation around the axes to the right (a positive one tips the face up),
            forwards and upwards, one after the other.
    """
    rotation = Rotation.from_euler("xyz", degrees, degrees=True)
    places = np.indices(FRAME).reshape(3, -1).T - (np.array(FRAME) - 1) / 2
    way = (rotation.apply(places, inverse=True) - places).T.reshape(displacement.shape)
    step: Floats = way.astype(np.float32)
    return step + beside(displacement, step)


def moved(
    shapes: list[Bools], spacing: Triple, displacement: Floats, target: Triple
) -> tuple[list[Bools], Triple]:
    """Shapes, moved alike.

    Args:
        shapes: bool (I, J, K), axes RAS, of one grid; the first is a skull with the others in it.
        spacing: of their voxels, in mm.
        displacement: (3, *FRAME), in voxels of the frame, from where something comes to be to where
            it is now.
        target: spacing of the model's grid, mm: the result has at least SAMPLES voxels along each
            edge of one of its voxels, or voxels as large as the shapes'.

    Returns:
        The shapes on a grid that holds what comes to be within a margin of theirs, and its
        spacing; each voxel is as the nearest one to where its centre was.
    """
    codes: NDArray[np.uint8] = np.zeros(shapes[0].shape, np.uint8)
    for n, shape in enumerate(shapes):
        codes |= shape.astype(np.uint8) << n
    start = origin(shapes[0], spacing)
    steps = displacement * (VOXEL / np.array(spacing, np.float32))[:, None, None, None]
    factors = [max(int(t / SAMPLES / s), 1) for t, s in zip(target, spacing, strict=True)]
    places = [  # of voxels' centres, in voxels of the shapes
        np.arange(low, high - factor + 1, factor) + (factor - 1) / 2
        for (low, high), factor in zip(
            _reached(codes.shape, spacing, steps, start), factors, strict=True
        )
    ]
    codes = np.pad(codes, 1)  # what comes from beyond the grid comes from its empty border
    made = np.empty([len(own) for own in places], np.uint8)
    for first in range(0, len(made), SLAB):
        part = slice(first, first + SLAB)
        flat = np.zeros(made[part].shape, np.int64)
        came_from = _sources([places[0][part], *places[1:]], spacing, steps, start)
        for axis, count in enumerate(codes.shape):
            flat *= count
            flat += np.clip(np.rint(came_from[axis]) + 1, 0, count - 1).astype(np.int64)
        made[part] = codes.ravel()[flat]
    i, j, k = (length * factor for length, factor in zip(spacing, factors, strict=True))
    return [(made >> n & 1).astype(bool) for n in range(len(shapes))], (i, j, k)


def beside(field: Floats, displacement: Floats) -> Floats:
    """A field (3, *FRAME), displaced from every voxel."""
    places = np.indices(FRAME, np.float32) + displacement
    found = [ndimage.map_coordinates(each, places, order=1, mode="nearest") for each in field]
    return np.stack(found)


def _reached(
    size: tuple[int, ...], spacing: Triple, steps: Floats, start: Doubles
) -> list[tuple[int, int]]:
    """Where what is in a grid comes to be, from and to along each axis, in its voxels."""
    edges = [VOXEL / length for length in spacing]
    looked_at = [
        np.arange(-MARGIN / VOXEL, (count / edge) + MARGIN / VOXEL) * edge
        for count, edge in zip(size, edges, strict=True)
    ]
    inside = np.ones([len(own) for own in looked_at], bool)
    came_from = _sources(looked_at, spacing, steps, start)
    for own, count, edge in zip(came_from, size, edges, strict=True):
        inside &= (own > -edge) & (own < count + edge)
    return [
        (int(np.floor(own[low] - edge)), int(np.ceil(own[high] + edge)))
        for own, low, high, edge in zip(looked_at, *bounds(inside), edges, strict=True)
    ]


def _sources(places: list[NDArray[Any]], spacing: Triple, steps: Floats, start: Doubles) -> Floats:
    """Where what is at places came from, (3, I, J, K); all in voxels, places along each axis."""
    i, j, k = (
        _linear((own + 0.5) * length - first, count)
        for own, length, first, count in zip(places, spacing, start, FRAME, strict=True)
    )
    found: Floats = j @ np.einsum("ix,axyz->aiyz", i, steps, optimize=True) @ k.T
    for axis, own in enumerate(places):
        found[axis] += own.astype(np.float32).reshape([-1 if n == axis else 1 for n in range(3)])
    return found


def _linear(places: Doubles, count: int) -> Floats:
    """Weights (N, count) that interpolate between so many voxels, at N places in mm."""
    cells = np.clip(places / VOXEL - 0.5, 0, count - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(cells[:, None] - np.arange(count)))
    return weights.astype(np.float32)
