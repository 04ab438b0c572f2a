"""Cut cranial defects into any binary skull: round, boxy or ragged holes in the vault.

Arrays are (I, J, K), axes RAS, with cubic voxels of `spacing` mm; voxel (i, j, k) is centred at
(i + 0.5, j + 0.5, k + 0.5) * spacing. A defect is drawn in millimetres, so that one defect can be
applied to the same skull at several resolutions.
"""

import math
from dataclasses import dataclass
from functools import reduce
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from zoo.data.solids import rounded_uniform
from zoo.errors import VolumeError

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Box = tuple[slice, slice, slice]

ATTEMPTS = 12
SECOND_DEFECT_SHARE = 0.15
LARGEST_SHARE = 0.5  # of the skull that defects may take
SMALLEST_VOLUME = 500.0  # mm^3 of bone
SMALLEST_COUNT = 8  # voxels of bone, however coarse
LOWEST_RISE = -0.15  # how far below the cranial centre a defect may reach: mm down per mm out
THICKEST_BONE = 14.0  # mm
HEAD_RADIUS = 75.0  # mm, for how far the vault falls away from a tangent plane
UPPER_HEAD = 70.0  # mm below the top: what the width of the head is measured on
ASIDE = 0.2  # rise per run of the four rays around the first, which give the normal
LEAST_FACING = 0.6  # cosine: where the surface is steeper, a ray slipped through a hole
JAG_CELL = 6.0  # mm from one jag of the edge to the next
LATTICE = 16  # values along an edge of the noise's lattice, after which it repeats
PHASE = 8.37  # cells: the noise has no symmetry about the middle of a defect
SHAPES = ("sphere", "cylinder", "box", "blob")


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

    def mask(self, points: Doubles) -> Bools:
        """Which of the points, (N, 3) in mm, the defect removes: bool (N,)."""
        outward = points - self.cranial_centre
        flat = np.sqrt(outward[:, 0] * outward[:, 0] + outward[:, 1] * outward[:, 1])
        u, v, w = (_project(points - self.middle, axis) for axis in self.axes)
        vault = outward[:, 2] > LOWEST_RISE * flat
        near: Bools = vault & (w > -self.depth) & (u * u + v * v < self.reach * self.reach)
        removed = np.zeros(len(points), bool)
        removed[near] = self._edge(u[near], v[near], w[near]) < 0
        return removed

    def _edge(self, u: Doubles, v: Doubles, w: Doubles) -> Doubles:
        """Signed distance in mm, roughly, to the side wall with its waves and jags."""
        edge = self._outline(u, v, w)
        if self.waviness:
            radius = max(self.radii)
            edge = edge + self.waviness * radius * _noise(self.lattice, (u, v, w), radius)
        if self.jaggedness:
            edge = edge + self.jaggedness * _noise(self.lattice, (v, w, u), JAG_CELL)
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


@dataclass(frozen=True)
class _Draft:
    """A defect that has no place yet: all that is drawn at random, whatever the resolution."""

    direction: Doubles  # (3,), from the cranial centre
    turn: Doubles  # (3,), not along the direction: what the first tangent is square to
    shape: str
    radii: tuple[float, float]
    corner: float
    waviness: float
    jaggedness: float
    lattice: Doubles


def cut_defect(complete: Bools, spacing: float, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Draw one defect, now and then two, and cut: bool (defective, implant) of the same shape.

    Raises:
        VolumeError: `complete` holds nothing that looks like a cranial vault.
    """
    return apply_defects(complete, spacing, plan_defects(complete, spacing, rng))


def apply_defects(
    complete: Bools, spacing: float, defects: tuple[Defect, ...]
) -> tuple[Bools, Bools]:
    """Cut the defects: bool (defective, implant), disjoint, their union is `complete`."""
    complete = complete.astype(bool)
    implant = np.zeros_like(complete)
    for defect in defects:
        window = _window(defect, complete.shape, spacing)
        corner = np.array([edge.start for edge in window])
        voxels = np.argwhere(complete[window])
        removed = voxels[defect.mask((voxels + corner + 0.5) * spacing)] + corner
        implant[tuple(removed.T)] = True
    return complete & ~implant, implant


def plan_defects(complete: Bools, spacing: float, rng: np.random.Generator) -> tuple[Defect, ...]:
    """Draw the defects that fit this skull; always the same number of draws from `rng`.

    Raises:
        VolumeError: `complete` holds nothing that looks like a cranial vault.
    """
    if complete.ndim != 3 or not complete.any():
        raise VolumeError(
            "a defect needs a volume (I, J, K) with bone in it, "
            f"got shape {complete.shape} with {np.count_nonzero(complete)} voxels set"
        )
    centre, reach = _cranial_centre(complete, spacing)
    wanted = 2 if rng.uniform() < SECOND_DEFECT_SHARE else 1
    drafts = [_draw(rng) for _ in range(ATTEMPTS)]
    placed = (_place(draft, complete, spacing, centre, reach) for draft in drafts)
    limit = LARGEST_SHARE / wanted * np.count_nonzero(complete)
    smallest = max(SMALLEST_VOLUME / spacing**3, SMALLEST_COUNT)

    def fits(defect: Defect) -> bool:
        _, implant = apply_defects(complete, spacing, (defect,))
        return bool(smallest <= np.count_nonzero(implant) <= limit)

    fitting = (defect for defect in placed if defect and fits(defect))
    defects = tuple(islice(fitting, wanted))
    if not defects:
        raise VolumeError(
            f"no defect could be cut in {ATTEMPTS} attempts: the volume of shape {complete.shape} "
            f"at {spacing} mm has no vault around {np.round(centre).tolist()} mm; axes must be RAS"
        )
    return defects


def _draw(rng: np.random.Generator) -> _Draft:
    uniform = rounded_uniform(rng)
    direction = np.array([uniform(-1, 1), uniform(-1, 1), uniform(0.08, 1)])
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    size = uniform(15, 42)  # small ones as often as large ones, up to 12 cm with the aspect below
    aspect = uniform(0.7, 1.43)
    turn = np.array([uniform(-1, 1), uniform(-1, 1), uniform(-1, 1)])
    jaggedness = max(uniform(-3, 3.5), 0.0)
    wave = uniform(0.4, 0.9) if shape == "blob" else 0.0
    lattice = np.round(rng.uniform(-1, 1, (LATTICE,) * 3), 6)
    radii = (size * aspect, size / aspect)
    corner = uniform(0.05, 0.5) * min(radii)
    return _Draft(direction, turn, shape, radii, corner, wave, jaggedness, lattice)


def _place(
    draft: _Draft, complete: Bools, spacing: float, centre: Doubles, reach: float
) -> Defect | None:
    """Set a draft on the outer surface, its normal from four more rays; None if they miss."""
    direction = _unit(draft.direction)
    first = _unit(_cross(direction, draft.turn))
    second = _cross(direction, first)
    aside = (0 * first, ASIDE * first, -ASIDE * first, ASIDE * second, -ASIDE * second)
    rays = [_outermost(complete, spacing, centre, _unit(direction + step), reach) for step in aside]
    hits = [hit for hit in rays if hit is not None]
    if len(hits) < len(rays):
        return None
    normal = _unit(_cross(hits[1] - hits[2], hits[3] - hits[4]))
    if _dot(normal, direction) < LEAST_FACING:
        return None
    first = _unit(_cross(normal, _cross(first, normal)))
    axes = np.array([first, _cross(normal, first), normal])
    return Defect(
        shape=draft.shape,
        cranial_centre=centre,
        middle=hits[0],
        axes=axes,
        radii=draft.radii,
        corner=draft.corner,
        waviness=draft.waviness,
        jaggedness=draft.jaggedness,
        lattice=draft.lattice,
    )


def _cranial_centre(complete: Bools, spacing: float) -> tuple[Doubles, float]:
    """Middle of the braincase and the length of a ray from it that leaves the head, both in mm.

    The middle is as far below the top as the upper head is wide to each side.
    """
    top = np.flatnonzero(complete.any((0, 1)))[-1]
    upper = complete[:, :, max(top - int(UPPER_HEAD / spacing), 0) :]
    left, right = np.flatnonzero(upper.any((1, 2)))[[0, -1]]
    back, front = np.flatnonzero(upper.any((0, 2)))[[0, -1]]
    half_width = (right - left + 1) / 2
    middle = [(left + right + 1) / 2, (back + front + 1) / 2, top + 1 - half_width]
    centre: Doubles = np.array(middle) * spacing
    return centre, float(2 * max(half_width, (front - back + 1) / 2) * spacing)


def _outermost(
    complete: Bools, spacing: float, centre: Doubles, direction: Doubles, reach: float
) -> Doubles | None:
    """The outermost bone along a ray from the centre, in mm; None if there is none."""
    steps = np.arange(0.0, reach, spacing / 2)
    points = centre + steps[:, None] * direction
    voxels = np.floor(points / spacing).astype(int)
    inside = np.all((voxels >= 0) & (voxels < complete.shape), axis=1)
    hits = np.flatnonzero(complete[tuple(voxels[inside].T)])
    return points[inside][hits[-1]] if len(hits) else None


def _window(defect: Defect, shape: tuple[int, ...], spacing: float) -> Box:
    """Slices of the voxels that the defect can reach."""
    reach = float(np.hypot(defect.reach, defect.depth))
    low = np.clip(np.floor((defect.middle - reach) / spacing), 0, shape).astype(int)
    high = np.clip(np.ceil((defect.middle + reach) / spacing), 0, shape).astype(int)
    i, j, k = map(slice, low, high)
    return i, j, k


def _noise(lattice: Doubles, coordinates: tuple[Doubles, Doubles, Doubles], cell: float) -> Doubles:
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


def _dot(a: Doubles, b: Doubles) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _cross(a: Doubles, b: Doubles) -> Doubles:
    x = a[1] * b[2] - a[2] * b[1]
    y = a[2] * b[0] - a[0] * b[2]
    z = a[0] * b[1] - a[1] * b[0]
    return np.array([x, y, z])


def _unit(vector: Doubles) -> Doubles:
    return vector / math.sqrt(_dot(vector, vector))
