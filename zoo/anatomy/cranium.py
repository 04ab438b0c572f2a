"""The cranial cavity of a skull, which may have a hole: what head, vault and base are told by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.volumes import largest_component, pooled

Bools = NDArray[np.bool_]
Triple = tuple[float, float, float]

EDGE = 3.0  # mm, about: voxels that are large enough to be quick, and to close a suture
BALL = 18.0  # mm, radius: wider than the foramen magnum, narrower than the posterior fossa
LEAST = 150.0  # ml that such a ball must reach, for there to be a cranial cavity
OPEN = 500.0  # mm2 of the cavity on a face of the grid, for that to cut it
FACES = (
    *(("left", 0, 0), ("right", 0, -1), ("posterior", 1, 0), ("anterior", 1, -1)),
    ("superior", 2, -1),
)
ON_PLANE = 1e-3  # voxels from a facet of a convex hull, within which a centre counts as on it
FLAT = 1e-9  # component of a facet's unit normal along an axis that is parallel to the facet
ROUNDING = 1e-6
# How the vault is looked at from the middle of the cavity.
DIRECTIONS = 2000
LOWEST = 0.35  # sine of the elevation, above the orbits
NEAR = 0.07  # between unit vectors: 5 mm of bone, or one voxel and a half


@dataclass(frozen=True, eq=False)
class Cranium:
    """The cranial cavity on a coarse grid whose first corner is that of the skull's grid.

    Attributes:
        cavity: bool (I, J, K), axes RAS: what a ball of 18 mm reaches within the skull.
        hull: bool of the same shape: the convex hull of the skull.
        spacing: mm between the centres of voxels.
        centre: mm from the first corner: the middle of the cavity.
        foramen: mm from the first corner: the lowest place in it, which is the foramen magnum
            unless the scan ends above.
    """

    cavity: Bools
    hull: Bools
    spacing: Triple
    centre: Triple
    foramen: Triple

    @property
    def cut_by(self) -> list[str]:
        """The faces of the grid, but the lowest, that the cavity reaches: it goes on behind."""
        found = []
        for name, axis, end in FACES:
            plane = np.count_nonzero(self.cavity.take(end, axis))
            area = np.prod([length for n, length in enumerate(self.spacing) if n != axis])
            if plane * area > OPEN:
                found.append(name)
        return found

    @property
    def doubts(self) -> list[str]:
        """That the field of view ends in the vault, in words; empty if it does not."""
        faces = self.cut_by
        return [f"the field of view ends in the vault: {' and '.join(faces)}"] if faces else []


def cranium_of(skull: Bools, spacing: Triple) -> Cranium | None:
    """Find the cranial cavity of a skull, whatever hole there is in its vault.

    The hole is closed by the convex hull, and the foramen magnum and the orbits are too narrow for
    a ball of 18 mm: what such a ball reaches, from the place where the largest one fits, is the
    cavity.

    Args:
        skull: bool (I, J, K), axes RAS; neck and jaw may be there too.
        spacing: mm along each axis.

    Returns:
        None if there is no cavity as large as a head's.
    """
    from scipy import ndimage

    factors = tuple(max(1, round(EDGE / length)) for length in spacing)
    i, j, k = factors
    coarse = pooled(skull, (i, j, k))
    a, b, c = (n * length for n, length in zip(factors, spacing, strict=True))
    voxel = (a, b, c)
    hull = _convex_hull(coarse)
    if hull is None:
        return None
    # What lies outside of the hull counts as bone.
    distance = ndimage.distance_transform_edt(np.pad(hull & ~coarse, 1), sampling=voxel)
    distance = np.asarray(distance)[1:-1, 1:-1, 1:-1]
    inside = distance >= BALL
    if not inside.any():
        return None
    core = largest_component(inside, connectivity=6)
    cavity = hull & (np.asarray(ndimage.distance_transform_edt(~core, sampling=voxel)) <= BALL)
    if np.count_nonzero(cavity) * np.prod(voxel) < 1000 * LEAST:
        return None
    points = (np.argwhere(cavity) + 0.5) * voxel
    bottom = points[:, 2].min()
    lowest = points[points[:, 2] <= bottom + EDGE + ROUNDING].mean(axis=0)
    return Cranium(
        cavity,
        hull,
        voxel,
        _triple(points.mean(axis=0)),
        (float(lowest[0]), float(lowest[1]), float(bottom - voxel[2] / 2)),
    )


def doubts_of_view(skull: Bools, spacing: Triple) -> list[str]:
    """Whether the field of view ends in the vault, in words; empty if it does not.

    Args:
        skull: bool (I, J, K), axes RAS.
        spacing: mm along each axis.
    """
    for _, axis, end in FACES:
        wide = max(1, round(EDGE / spacing[axis]))
        slab = slice(-wide, None) if end else slice(wide)
        if skull[(slice(None),) * axis + (slab,)].any():
            cranium = cranium_of(skull, spacing)
            return cranium.doubts if cranium else []
    return []


def opening_of(skull: Bools, spacing: Triple) -> float:
    """How much of a vault is 5 mm or more from any bone, in cm2; 0 if there is no cranial cavity.

    Of directions spread evenly over what is above the middle of the cavity, it counts those in
    which nothing is occupied.

    Args:
        skull: bool (I, J, K), axes RAS.
        spacing: mm along each axis.
    """
    from scipy.spatial import cKDTree

    cranium = cranium_of(skull, spacing)
    if cranium is None:
        return 0.0
    factors = np.rint(np.divide(cranium.spacing, spacing)).astype(int)
    i, j, k = factors.tolist()
    bone = (np.argwhere(pooled(skull, (i, j, k))) + 0.5) * cranium.spacing - cranium.centre
    distances = np.linalg.norm(bone, axis=1)
    bone, distances = bone[distances > EDGE], distances[distances > EDGE]
    turns = np.arange(DIRECTIONS)
    heights = LOWEST + (1 - LOWEST) * (turns + 0.5) / DIRECTIONS
    widths = np.sqrt(1 - heights**2)
    angles = turns * np.pi * (3 - np.sqrt(5))  # a spiral by the golden angle
    directions = np.stack([widths * np.cos(angles), widths * np.sin(angles), heights], axis=1)
    away, _ = cKDTree(bone / distances[:, None]).query(directions)
    radius = distances[bone[:, 2] > LOWEST * distances].mean()
    share = np.count_nonzero(away > NEAR) / DIRECTIONS
    return float(share * 2 * np.pi * (1 - LOWEST) * radius**2 / 100)


def _triple(values: NDArray[np.floating]) -> Triple:
    i, j, k = values.tolist()
    return i, j, k


def _convex_hull(mask: Bools) -> Bools | None:
    """The voxels in the convex hull of a mask's voxels; None if that is flat."""
    from scipy.spatial import ConvexHull, QhullError

    points = np.argwhere(mask)
    if len(points) < 4:
        return None
    try:
        planes = ConvexHull(points).equations
    except QhullError:
        return None
    # Along every line (i, j), what lies below all planes that face up, and above those facing down.
    low, high = points.min(axis=0), points.max(axis=0) + 1
    i, j, k = (np.arange(start, stop) for start, stop in zip(low, high, strict=True))
    bottom = np.full((len(i), len(j)), -np.inf)
    top = np.full((len(i), len(j)), np.inf)
    for slope_i, slope_j, slope_k, offset in planes:
        room = ON_PLANE - offset - slope_i * i[:, None] - slope_j * j
        if abs(slope_k) < FLAT:
            top[room < 0] = -np.inf
        elif slope_k > 0:
            np.minimum(top, room / slope_k, out=top)
        else:
            np.maximum(bottom, room / slope_k, out=bottom)
    hull = np.zeros(mask.shape, bool)
    hull[tuple(map(slice, low, high))] = (bottom[..., None] <= k) & (k <= top[..., None])
    return hull
