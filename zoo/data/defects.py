"""Cut cranial defects into any binary skull: round, boxy or ragged holes in the vault.

Arrays are (I, J, K), axes RAS, with cubic voxels of `spacing` mm; the centre of voxel (i, j, k) is at
(i + 0.5, j + 0.5, k + 0.5) * spacing. A defect is drawn in millimetres, so that one defect can be
applied to the same skull at several resolutions.
"""

from dataclasses import dataclass
from functools import reduce
from itertools import islice

import numpy as np

from zoo.data.solids import rounded_uniform
from zoo.errors import VolumeError

ATTEMPTS = 12
SECOND_DEFECT_SHARE = 0.15
LARGEST_SHARE = 0.5  # of the skull that defects may take
SMALLEST_VOLUME = 500.0  # mm^3 of bone
LOWEST_RISE = -0.15  # how far below the cranial centre a defect may reach: mm down per mm out
THICKEST_BONE = 14.0  # mm
HEAD_RADIUS = 75.0  # mm, for how far the vault falls away from a tangent plane
SHAPES = ("sphere", "cylinder", "box", "blob")


@dataclass(frozen=True)
class Defect:
    """A hole in millimetres: where it is, how it is turned, and its outline around the normal."""

    shape: str
    cranial_centre: np.ndarray  # (3,)
    middle: np.ndarray  # (3,), on the outer surface of the vault
    axes: np.ndarray  # (3, 3) rows: two tangents, then the outward normal
    radii: tuple[float, float]  # half-widths along the tangents
    corner: float  # radius of a box's corners
    waviness: float  # share of the radius by which a blob's outline moves
    jaggedness: float  # mm by which the edge moves from one few millimetres to the next
    lattice: np.ndarray  # (16, 16, 16) noise in [-1, 1]

    @property
    def reach(self) -> float:
        """How far from the normal through its middle the defect may extend, in mm."""
        return 1.45 * max(self.radii) + self.jaggedness

    @property
    def depth(self) -> float:
        """How far below the tangent plane bone is removed, in mm: through the vault at the rim."""
        rim = min(self.reach, 0.85 * HEAD_RADIUS)
        return THICKEST_BONE + HEAD_RADIUS - float(np.sqrt(HEAD_RADIUS * HEAD_RADIUS - rim * rim))

    def mask(self, points: np.ndarray) -> np.ndarray:
        """Which of the points, (N, 3) in mm, the defect removes: bool (N,)."""
        outward = points - self.cranial_centre
        flat = np.sqrt(outward[:, 0] * outward[:, 0] + outward[:, 1] * outward[:, 1])
        u, v, w = (_project(points - self.middle, axis) for axis in self.axes)
        vault = outward[:, 2] > LOWEST_RISE * flat
        near = vault & (w > -self.depth) & (u * u + v * v < self.reach * self.reach)
        removed = np.zeros(len(points), bool)
        removed[near] = self._edge(u[near], v[near], w[near]) < 0
        return removed

    def _edge(self, u, v, w):
        """Signed distance in mm, roughly, to the side wall with its waves and jags."""
        edge = self._outline(u, v, w)
        if self.waviness:
            edge = edge + self.waviness * max(self.radii) * _noise(self.lattice, (u, v, w), max(self.radii))
        if self.jaggedness:
            edge = edge + self.jaggedness * _noise(self.lattice, (v, w, u), 6.0)
        return edge

    def _outline(self, u, v, w):
        """Signed distance in mm, roughly, to the smooth side wall."""
        a, b = self.radii
        if self.shape == "box":
            u, v = np.abs(u) - (a - self.corner), np.abs(v) - (b - self.corner)
            outside = np.sqrt(np.maximum(u, 0.0) ** 2 + np.maximum(v, 0.0) ** 2)
            return outside + np.minimum(np.maximum(u, v), 0.0) - self.corner
        if self.shape == "sphere":
            return np.sqrt(u * u + v * v + w * w) - a
        return (np.sqrt(u * u / (a * a) + v * v / (b * b)) - 1.0) * min(a, b)


def cut_defect(complete: np.ndarray, spacing: float,
               rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one defect, now and then two, and cut: bool (defective, implant), both shaped like `complete`.

    Raises `VolumeError` if `complete` holds nothing that looks like a cranial vault.
    """
    return apply_defects(complete, spacing, plan_defects(complete, spacing, rng))


def apply_defects(complete: np.ndarray, spacing: float,
                  defects: tuple[Defect, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Cut the defects: bool (defective, implant), disjoint, their union is `complete`."""
    complete = complete.astype(bool)
    implant = np.zeros_like(complete)
    for defect in defects:
        window = _window(defect, complete.shape, spacing)
        corner = np.array([axis.start for axis in window])
        voxels = np.argwhere(complete[window])
        removed = voxels[defect.mask((voxels + corner + 0.5) * spacing)] + corner
        implant[tuple(removed.T)] = True
    return complete & ~implant, implant


def plan_defects(complete: np.ndarray, spacing: float,
                 rng: np.random.Generator) -> tuple[Defect, ...]:
    """Draw the defects that fit this skull; always the same number of draws from `rng`."""
    if complete.ndim != 3 or not complete.any():
        raise VolumeError(f"a defect needs a volume (I, J, K) with bone in it, got shape {complete.shape} "
                          f"with {np.count_nonzero(complete)} voxels set")
    centre, reach = _cranial_centre(complete, spacing)
    wanted = 2 if rng.uniform() < SECOND_DEFECT_SHARE else 1
    candidates = [_draw(rng) for _ in range(ATTEMPTS)]
    placed = (_place(candidate, complete, spacing, centre, reach) for candidate in candidates)
    limit = LARGEST_SHARE / wanted * np.count_nonzero(complete)
    smallest = max(SMALLEST_VOLUME / spacing**3, 8)
    size = lambda defect: np.count_nonzero(apply_defects(complete, spacing, (defect,))[1])
    fitting = (defect for defect in placed if defect and smallest <= size(defect) <= limit)
    defects = tuple(islice(fitting, wanted))
    if not defects:
        raise VolumeError(f"no defect could be cut in {ATTEMPTS} attempts: the volume of shape {complete.shape} "
                          f"at {spacing} mm has no vault around {np.round(centre).tolist()} mm; axes must be RAS")
    return defects


def _draw(rng):
    """The resolution-free part of a defect: direction, outline and noise."""
    uniform = rounded_uniform(rng)
    direction = np.array([uniform(-1, 1), uniform(-1, 1), uniform(0.08, 1)])
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    size = uniform(15, 42)  # small ones as often as large ones, up to 12 cm with the aspect below
    aspect = uniform(0.7, 1.43)
    turn = np.array([uniform(-1, 1), uniform(-1, 1), uniform(-1, 1)])
    jaggedness = max(uniform(-3, 3.5), 0.0)
    wave = uniform(0.4, 0.9) if shape == "blob" else 0.0
    lattice = np.round(rng.uniform(-1, 1, (16, 16, 16)), 6)
    radii = (size * aspect, size / aspect)
    outline = dict(shape=shape, radii=radii, corner=uniform(0.05, 0.5) * min(radii), waviness=wave,
                   jaggedness=jaggedness, lattice=lattice)
    return direction, outline, turn


def _place(candidate, complete, spacing, centre, reach):
    """Set a drawn defect on the outer surface, its normal from four more rays; None if they miss."""
    direction, outline, turn = candidate
    direction = _unit(direction)
    first = _unit(_cross(direction, turn))
    second = _cross(direction, first)
    aside = (0 * first, 0.2 * first, -0.2 * first, 0.2 * second, -0.2 * second)
    hits = [_outermost(complete, spacing, centre, _unit(direction + step), reach) for step in aside]
    if any(hit is None for hit in hits):
        return None
    normal = _unit(_cross(hits[1] - hits[2], hits[3] - hits[4]))
    if _dot(normal, direction) < 0.6:  # a ray slipped through a hole: the surface cannot be this steep
        return None
    first = _unit(_cross(normal, _cross(first, normal)))
    axes = np.array([first, _cross(normal, first), normal])
    return Defect(cranial_centre=centre, middle=hits[0], axes=axes, **outline)


def _cranial_centre(complete, spacing):
    """Middle of the braincase in mm: as far below the top as the upper head is wide to each side."""
    top = np.flatnonzero(complete.any((0, 1)))[-1]
    upper = complete[:, :, max(top - int(70 / spacing), 0):]
    left, right = np.flatnonzero(upper.any((1, 2)))[[0, -1]]
    back, front = np.flatnonzero(upper.any((0, 2)))[[0, -1]]
    half_width = (right - left + 1) / 2
    centre = np.array([(left + right + 1) / 2, (back + front + 1) / 2, top + 1 - half_width]) * spacing
    return centre, float(2 * max(half_width, (front - back + 1) / 2) * spacing)


def _outermost(complete, spacing, centre, direction, reach):
    """The outermost bone along a ray from the centre, in mm; None if there is none."""
    steps = np.arange(0.0, reach, spacing / 2)
    points = centre + steps[:, None] * direction
    voxels = np.floor(points / spacing).astype(int)
    inside = np.all((voxels >= 0) & (voxels < complete.shape), axis=1)
    hits = np.flatnonzero(complete[tuple(voxels[inside].T)])
    return points[inside][hits[-1]] if len(hits) else None


def _window(defect, shape, spacing):
    """Slices of the voxels that the defect can reach."""
    reach = float(np.hypot(defect.reach, defect.depth))
    low = np.clip(np.floor((defect.middle - reach) / spacing), 0, shape).astype(int)
    high = np.clip(np.ceil((defect.middle + reach) / spacing), 0, shape).astype(int)
    return tuple(map(slice, low, high))


def _noise(lattice, coordinates, cell):
    """Trilinear value noise that repeats after 16 cells."""
    positions = [c / cell + 8.37 for c in coordinates]
    floors = [np.floor(p) for p in positions]
    shares = [p - f for p, f in zip(positions, floors)]
    near = [f.astype(int) % 16 for f in floors]
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        weights = (share if bit else 1.0 - share for bit, share in zip(corner, shares))
        values = lattice[tuple((n + bit) % 16 for bit, n in zip(corner, near))]
        total = total + values * reduce(np.multiply, weights)
    return total


def _project(points, axis):
    return points[:, 0] * axis[0] + points[:, 1] * axis[1] + points[:, 2] * axis[2]


def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a, b):
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _unit(vector):
    return vector / np.sqrt(_dot(vector, vector))
