"""The shape of one cranial defect: its outline around a normal, its waves and jags, in millimetres.

Points are (N, 3) in mm along right, anterior and superior. Only operations that IEEE 754 rounds
exactly are used, so that a defect takes the same voxels on every machine.
"""

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]

LOWEST_RISE = -0.15  # how far below the cranial centre a defect may reach: mm down per mm out
THICKEST_BONE = 14.0  # mm
HEAD_RADIUS = 75.0  # mm, for how far the vault falls away from a tangent plane
JAG_CELL = 6.0  # mm from one jag of the edge to the next
LATTICE = 16  # values along an edge of the noise's lattice, after which it repeats
PHASE = 8.37  # cells: the noise has no symmetry about the middle of a defect


@dataclass(frozen=True)
class Defect:
    """A hole in millimetres: where it is, how it is turned, and its outline around the normal."""

    shape: str
    cranial_centre: Doubles  # (3,)
    middle: Doubles  # (3,), on the outer surface of the vault
    axes: Doubles  # (3, 3) rows: two tangents, then the outward normal
    radii: tuple[float, float]  # half-widths along the tangents
    corner: float  # radius of a box's corners
    waviness: float  # share of the radius by which a blob's outline moves
    jaggedness: float  # mm by which the edge moves from one few millimetres to the next
    lattice: Doubles  # (16, 16, 16) noise in [-1, 1]

    @property
    def reach(self) -> float:
        """How far from the normal through its middle the defect may extend, in mm."""
        # A box's corner lies at 1.41 times its half-width.
        return 1.45 * max(self.radii) + self.jaggedness

    @property
    def depth(self) -> float:
        """How far below the tangent plane bone is removed, in mm: through the vault at the rim."""
        rim = min(self.reach, 0.85 * HEAD_RADIUS)  # further out the head is no sphere
        return THICKEST_BONE + HEAD_RADIUS - float(np.sqrt(HEAD_RADIUS * HEAD_RADIUS - rim * rim))

    @property
    def area(self) -> float:
        """What its outline encloses, in mm^2: an ellipse, which a box exceeds by a quarter."""
        return math.pi * self.radii[0] * self.radii[1]

    def mask(self, points: Doubles) -> Bools:
        """Which of the points, (N, 3) in mm, the defect removes: bool (N,)."""
        near, edge = self._near_edge(points)
        removed = np.zeros(len(points), bool)
        removed[near] = edge < 0
        return removed

    def share(self, points: Doubles, width: float) -> Doubles:
        """The share (N,) of voxels at the points (N, 3) that the defect removes, from 0 to 1.

        `width` is the edge of a voxel in mm, over which the share falls from 1 to 0.
        """
        near, edge = self._near_edge(points)
        removed = np.zeros(len(points))
        removed[near] = np.clip(0.5 - edge / width, 0, 1)
        return removed

    def _near_edge(self, points: Doubles) -> tuple[Bools, Doubles]:
        """Which points (N, 3) the defect can reach, bool (N,), and for these M `_edge`, (M,)."""
        outward = points - self.cranial_centre
        flat = np.sqrt(outward[:, 0] * outward[:, 0] + outward[:, 1] * outward[:, 1])
        u, v, w = (_project(points - self.middle, axis) for axis in self.axes)
        vault = outward[:, 2] > LOWEST_RISE * flat
        near: Bools = vault & (w > -self.depth) & (u * u + v * v < self.reach * self.reach)
        return near, self._edge(u[near], v[near], w[near])

    def _edge(self, u: Doubles, v: Doubles, w: Doubles) -> Doubles:
        """Signed distance in mm, roughly, to the side wall with its waves and jags."""
        edge = self._outline(u, v, w)
        if self.waviness:
            radius = max(self.radii)
            edge = edge + self.waviness * radius * lattice_noise(self.lattice, (u, v, w), radius)
        if self.jaggedness:
            edge = edge + self.jaggedness * lattice_noise(self.lattice, (v, w, u), JAG_CELL)
        return edge

    def _outline(self, u: Doubles, v: Doubles, w: Doubles) -> Doubles:
        """Signed distance in mm, roughly, to the smooth side wall."""
        a, b = self.radii
        if self.shape == "box":
            u, v = np.abs(u) - (a - self.corner), np.abs(v) - (b - self.corner)
            outside: Doubles = np.sqrt(np.maximum(u, 0.0) ** 2 + np.maximum(v, 0.0) ** 2)
            return outside + np.minimum(np.maximum(u, v), 0.0) - self.corner
        if self.shape == "sphere":
            radius: Doubles = np.sqrt(u * u + v * v + w * w)
            return radius - a
        ellipse: Doubles = np.sqrt(u * u / (a * a) + v * v / (b * b))
        return (ellipse - 1.0) * min(a, b)


def lattice_noise(
    lattice: Doubles, coordinates: tuple[Doubles, Doubles, Doubles], cell: float
) -> Doubles:
    """Trilinear value noise, in [-1, 1], at coordinates (N,) each: (N,)."""
    positions = [c / cell + PHASE for c in coordinates]
    floors = [np.floor(p) for p in positions]
    shares = [p - f for p, f in zip(positions, floors, strict=True)]
    near = [f.astype(int) % LATTICE for f in floors]
    total = np.zeros(len(coordinates[0]))
    for corner in np.ndindex(2, 2, 2):
        weights = (share if bit else 1.0 - share for bit, share in zip(corner, shares, strict=True))
        values = lattice[tuple((n + bit) % LATTICE for bit, n in zip(corner, near, strict=True))]
        total = total + values * reduce(np.multiply, weights)
    return total


# Written out, as a matrix product adds up in an order that depends on the machine.


def _project(points: Doubles, axis: Doubles) -> Doubles:
    projected: Doubles = points[:, 0] * axis[0] + points[:, 1] * axis[1] + points[:, 2] * axis[2]
    return projected


def dot(a: Doubles, b: Doubles) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def cross(a: Doubles, b: Doubles) -> Doubles:
    x = a[1] * b[2] - a[2] * b[1]
    y = a[2] * b[0] - a[0] * b[2]
    z = a[0] * b[1] - a[1] * b[0]
    return np.array([x, y, z])


def unit(vector: Doubles) -> Doubles:
    return vector / math.sqrt(dot(vector, vector))
