"""Cranial defects as surgeons and accidents leave them, for cutting into any skull.

Where a `Defect` is a solid that takes what lies in it, these follow the vault: an outline is drawn
on the sphere of directions from the middle of the braincase, and the bone behind it is removed
along these directions, as a saw held square to the skull does. Points are (N, 3) in mm along right,
anterior and superior. A decompressive hemicraniectomy is at least 12 cm long, as the guidelines of
the Brain Trauma Foundation recommend (Hawryluk et al., Neurosurgery 87:427, 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.phantoms.defect_shape import LATTICE, Bools, Doubles, cross, lattice_noise, unit

THICKEST_VAULT = 22.0  # mm below the outermost bone that a saw goes, frontal sinus included
BINS = 72  # along each axis of the map of outermost bone
JAG_CELL = 5.0  # mm from one jag of the edge to the next
SEVERAL = (0.82, 0.14, 0.04)  # probabilities of one, two and three openings
WITH_REMNANT = 0.15  # probability of bone left inside of an opening
BURR_RADII = (5.5, 7.5)  # mm
Pair = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """Where openings of one kind are, and how large; all ranges are drawn from uniformly.

    Attributes:
        weight: how often it is drawn, beside the others.
        azimuth: degrees from anterior, to either side.
        elevation: degrees above the level of the middle of the braincase.
        half_length, half_height: mm along and across the horizontal.
        vertices: fewest and most vertices of the polygon.
        lowest: how far below that level bone is removed: mm down per mm outwards.
        burr_holes: probability of a burr hole at a vertex.
    """

    weight: float
    azimuth: Pair
    elevation: Pair
    half_length: Pair
    half_height: Pair
    vertices: tuple[int, int]
    lowest: float = -0.15
    burr_holes: float = 0.0


KINDS = {
    "craniotomy": Kind(4, (0, 180), (10, 85), (16, 42), (16, 42), (4, 7), burr_holes=0.4),
    "parietal": Kind(3, (90, 180), (35, 80), (18, 40), (18, 40), (4, 4)),
    "bifrontal": Kind(1, (0, 8), (25, 50), (42, 65), (22, 40), (6, 9), burr_holes=0.2),
    "pterional": Kind(1.5, (45, 75), (0, 22), (24, 40), (22, 36), (5, 8), -0.25, 0.3),
    "frontoorbital": Kind(1.5, (10, 45), (-8, 18), (20, 42), (18, 34), (4, 8), -0.5),
    "hemicraniectomy": Kind(1.5, (70, 110), (15, 42), (58, 76), (42, 58), (7, 10)),
    "burr holes": Kind(0.7, (0, 180), (10, 80), (5, 20), (5, 20), (3, 4), burr_holes=0.7),
    "fracture": Kind(2, (0, 180), (5, 85), (14, 50), (14, 40), (5, 9)),
}


@dataclass(frozen=True)
class Vault:
    """The outside of a skull's vault, as seen from the middle of the braincase.

    Attributes:
        centre: (3,) mm, the middle of the braincase.
        outermost: (BINS, BINS) mm from there to the outermost bone, by direction: on Lambert's
            azimuthal equal-area projection around superior, which covers -2 to 2.
    """

    centre: Doubles
    outermost: Doubles

    @classmethod
    def of(cls, points: Doubles, centre: Doubles) -> Vault:
        """The vault of a skull's bone, given as points (N, 3) in mm."""
        radii, directions = _polar(points - centre)
        outermost = np.zeros((BINS, BINS))
        np.maximum.at(outermost, _bins(directions), radii)
        for axis in (0, 1):  # voxels may leave a bin empty: the nearest is as good
            ahead, behind = np.roll(outermost, 1, axis), np.roll(outermost, -1, axis)
            outermost = np.maximum(outermost, np.maximum(ahead, behind) * (outermost == 0))
        return cls(centre, outermost)


@dataclass(frozen=True)
class Opening:
    """One opening: a polygon with rounded corners around a direction, its wall and its edge.

    Attributes:
        vault: the skull that it is in.
        axes: (3, 3) rows: along the horizontal, across it, and outwards.
        radius: mm from the middle of the braincase to the outermost bone behind the opening.
        vertices: (V, 2) mm along the first two axes, convex, in order.
        corner: mm by which the polygon's corners are rounded.
        burr_holes: (B, 3) their middles, and their radii, in mm.
        remnant: (W, 2) vertices of bone left inside; None if there is none.
        bevel: mm by which the edge recedes with each mm of depth.
        jaggedness: mm by which the edge moves from one few millimetres to the next.
        lowest: see `Kind`.
        lattice: noise in [-1, 1], see `lattice_noise`.
    """

    vault: Vault
    axes: Doubles
    radius: float
    vertices: Doubles
    corner: float
    burr_holes: Doubles
    remnant: Doubles | None
    bevel: float
    jaggedness: float
    lowest: float
    lattice: Doubles

    def share(self, points: Doubles, width: float) -> Doubles:
        """The share (N,) of voxels at the points (N, 3) that is removed, from 0 to 1.

        `width` is the edge of a voxel in mm, over which the share falls from 1 to 0.
        """
        radii, directions = _polar(points - self.vault.centre)
        level = np.sqrt(directions[:, 0] ** 2 + directions[:, 1] ** 2)
        depth = self.vault.outermost[_bins(directions)] - radii
        along, across, outwards = (directions @ axis for axis in self.axes)
        near = (
            (depth < THICKEST_VAULT) & (directions[:, 2] > self.lowest * level) & (outwards > -0.5)
        )
        removed = np.zeros(len(points))
        scale = self.radius * np.sqrt(2 / (1 + outwards[near]))
        flat = np.stack([along[near] * scale, across[near] * scale], axis=1)
        edge = self._edge(flat, depth[near])
        removed[near] = np.clip(0.5 - edge / width, 0, 1)
        return removed

    def mask(self, points: Doubles) -> Bools:
        """Which of the points (N, 3) are removed."""
        removed: Bools = self.share(points, 1e-6) > 0.5
        return removed

    def _edge(self, flat: Doubles, depth: Doubles) -> Doubles:
        """Signed distance in mm, roughly, of points (N, 2) to the wall; negative in the opening."""
        edge = _polygon(flat, self.vertices) - self.corner
        for *middle, radius in self.burr_holes:
            edge = np.minimum(edge, np.linalg.norm(flat - np.array(middle), axis=1) - radius)
        edge = edge + self.bevel * (depth - 3.0)
        if self.remnant is not None:
            edge = np.maximum(edge, self.corner - _polygon(flat, self.remnant))
        if self.jaggedness:
            noise = lattice_noise(self.lattice, (flat[:, 0], flat[:, 1], depth), JAG_CELL)
            edge = edge + self.jaggedness * noise
        return edge


def draw_openings(vault: Vault, rng: np.random.Generator) -> tuple[Opening, ...]:
    """Draw one opening, sometimes two or three; they may overlap."""
    count = 1 + int(rng.choice(len(SEVERAL), p=SEVERAL))
    return tuple(draw_opening(vault, rng) for _ in range(count))


def draw_opening(vault: Vault, rng: np.random.Generator, kind: str | None = None) -> Opening:
    """Draw an opening of a kind in `KINDS`, or of any."""
    if kind is None:
        weights = np.array([each.weight for each in KINDS.values()])
        kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    drawn = KINDS[kind]
    azimuth = math.radians(rng.uniform(*drawn.azimuth)) * rng.choice((-1, 1))
    elevation = math.radians(rng.uniform(*drawn.elevation))
    outwards = np.array(
        [
            math.cos(elevation) * math.sin(azimuth),
            math.cos(elevation) * math.cos(azimuth),
            math.sin(elevation),
        ]
    )
    along = unit(cross(np.array([0.0, 0.0, 1.0]), outwards))
    across = cross(outwards, along)
    turn = rng.normal(0, 0.25) if kind != "craniotomy" else rng.uniform(0, math.pi)
    axes = np.array(
        [
            math.cos(turn) * along + math.sin(turn) * across,
            math.cos(turn) * across - math.sin(turn) * along,
            outwards,
        ]
    )
    radius = float(vault.outermost[_bins(outwards[None])][0]) or float(np.median(vault.outermost))
    halves = rng.uniform(*drawn.half_length), rng.uniform(*drawn.half_height)
    corner = rng.uniform(0.1, 0.45) * min(halves)
    vertices = _vertices(rng, drawn.vertices, halves, corner)
    with_hole = rng.random(len(vertices)) < drawn.burr_holes
    holes = vertices[with_hole]
    radii = rng.uniform(*BURR_RADII, len(holes))
    remnant = None
    if rng.random() < WITH_REMNANT and kind != "burr holes":
        size = rng.uniform(0.25, 0.85)
        remnant = vertices * size + rng.uniform(-1, 1, 2) * (1 - size) * np.array(halves) * 0.6
    ragged = rng.uniform(0.5, 3.5) if kind == "fracture" else max(rng.uniform(-2.5, 2.0), 0.0)
    return Opening(
        vault=vault,
        axes=axes,
        radius=radius,
        vertices=vertices,
        corner=corner,
        burr_holes=np.column_stack([holes, radii]),
        remnant=remnant,
        bevel=float(rng.uniform(0.2, 1.2) if rng.random() < 0.2 else rng.uniform(-0.3, 0.3)),
        jaggedness=float(ragged),
        lowest=drawn.lowest,
        lattice=rng.uniform(-1, 1, (LATTICE,) * 3),
    )


def _vertices(
    rng: np.random.Generator, counts: tuple[int, int], halves: Pair, corner: float
) -> Doubles:
    """Vertices (V, 2) of a convex polygon within the half axes, less what rounding adds."""
    count = int(rng.integers(counts[0], counts[1] + 1))
    steps = (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count
    angles = 2 * math.pi * steps + rng.uniform(-0.2, 0.2) + math.pi / count
    # A polygon on an ellipse is convex; one with four vertices reaches its half axes as a box does.
    reach = min(1 / math.cos(math.pi / count), 1.41)
    inner = np.maximum(np.array(halves) - corner, 2.0) * reach
    return np.column_stack([np.cos(angles), np.sin(angles)]) * inner


def _polygon(points: Doubles, vertices: Doubles) -> Doubles:
    """Signed distance (N,) of points (N, 2) to a convex polygon, negative inside."""
    least = np.full(len(points), np.inf)
    inside = np.ones(len(points), bool)
    for start, end in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        side, away = end - start, points - start
        share = np.clip(away @ side / (side @ side), 0, 1)
        least = np.minimum(least, ((away - share[:, None] * side) ** 2).sum(axis=1))
        inside &= side[0] * away[:, 1] - side[1] * away[:, 0] >= 0
    distance: Doubles = np.sqrt(least)
    return np.where(inside, -distance, distance)


def _polar(points: Doubles) -> tuple[Doubles, Doubles]:
    """Distances (N,) from the origin and directions (N, 3)."""
    radii = np.sqrt((points * points).sum(axis=1))
    return radii, points / np.maximum(radii, 1e-9)[:, None]


def _bins(directions: Doubles) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The bins of a vault's map that the directions (N, 3) fall into."""
    scale = np.sqrt(2 / np.maximum(1 + directions[:, 2], 1e-9)) * BINS / 4
    i, j = (
        np.clip((directions[:, axis] * scale + BINS / 2).astype(np.intp), 0, BINS - 1)
        for axis in (0, 1)
    )
    return i, j
