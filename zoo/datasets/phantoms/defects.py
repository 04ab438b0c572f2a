"""Cut cranial defects into any binary skull: round, boxy or ragged holes in the vault.

Arrays are (I, J, K), axes RAS, with voxels of `spacing` mm, one number or one for each axis; voxel
(i, j, k) is centred at (i + 0.5, j + 0.5, k + 0.5) * spacing. A defect is drawn in millimetres, so
that one defect can be applied to the same skull at several resolutions.
"""

from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.ndimage import binary_fill_holes

from zoo.datasets.phantoms.defect_shape import LATTICE, Bools, Defect, Doubles, cross, dot, unit
from zoo.datasets.phantoms.solids import rounded_uniform
from zoo.errors import VolumeError

BoundingBox = tuple[slice, slice, slice]
Spacing = float | tuple[float, float, float]

ATTEMPTS = 12
SECOND_DEFECT_SHARE = 0.15
LARGEST_SHARE = 0.5  # of the skull that defects may take
SMALLEST_VOLUME = 500.0  # mm^3 of bone
SMALLEST_COUNT = 8  # voxels of bone, however coarse
UPPER_HEAD = 70.0  # mm below the top: what the width of the head is measured on
OPEN_CROWN = 0.25  # of the head's width: a wider opening in the topmost slice is a cut-off crown
ASIDE = 0.2  # rise per run of the four rays around the first, which give the normal
LEAST_FACING = 0.6  # cosine: where the surface is steeper, a ray slipped through a hole
SHAPES = ("sphere", "cylinder", "box", "blob")


@dataclass(frozen=True)
class _Draft:
    """A defect before it is put on a skull: what is drawn at random, whatever the resolution."""

    direction: Doubles  # (3,), from the cranial centre
    turn: Doubles  # (3,), not along the direction: what the first tangent is square to
    shape: str
    radii: tuple[float, float]
    corner: float
    waviness: float
    jaggedness: float
    lattice: Doubles


def cut_defect(
    complete: Bools, spacing: Spacing, rng: np.random.Generator, *, thinnest: float = 0.0
) -> tuple[Bools, Bools]:
    """Draw one defect, sometimes two, and cut: bool (defective, implant) of the same shape.

        >>> from zoo.datasets.phantoms.skulls import FIELD_OF_VIEW, complete_skull
        >>> skull = complete_skull(seed=0)
        >>> defective, implant = cut_defect(skull, FIELD_OF_VIEW / 64, np.random.default_rng(0))
        >>> bool((defective ^ implant == skull).all() and implant.any())
        True

    Args:
        complete: bool (I, J, K), axes RAS.
        spacing: mm between voxel centres, one number or one for each axis.
        rng: draws the defect.
        thinnest: mm of bone that a defect must take; see `plan_defects`.

    Raises:
        VolumeError: `complete` holds nothing that looks like a cranial vault.
    """
    defects = plan_defects(complete, spacing, rng, thinnest=thinnest)
    return apply_defects(complete, spacing, defects)


def apply_defects(
    complete: Bools, spacing: Spacing, defects: tuple[Defect, ...]
) -> tuple[Bools, Bools]:
    """Cut the defects: bool (defective, implant), disjoint, with `complete` as their union."""
    edges = _edges(spacing)
    complete = complete.astype(bool)
    implant = np.zeros_like(complete)
    for defect in defects:
        window = _window(defect, complete.shape, edges)
        corner = np.array([edge.start for edge in window])
        voxels = np.argwhere(complete[window])
        removed = voxels[defect.mask((voxels + corner + 0.5) * edges)] + corner
        implant[tuple(removed.T)] = True
    return complete & ~implant, implant


def plan_defects(
    complete: Bools, spacing: Spacing, rng: np.random.Generator, *, thinnest: float = 0.0
) -> tuple[Defect, ...]:
    """Draw the defects that fit this skull; always the same number of draws from `rng`.

    A defect fits if the bone that it takes, averaged over its outline, is `thinnest` mm thick:
    where a scan ends, or has gaps, a defect would take less.

    Raises:
        VolumeError: `complete` holds nothing that looks like a cranial vault.
    """
    if complete.ndim != 3 or not complete.any():
        raise VolumeError(
            "a defect needs a volume (I, J, K) with bone in it, "
            f"got shape {complete.shape} with {np.count_nonzero(complete)} voxels set"
        )
    edges = _edges(spacing)
    centre, reach = cranial_centre(complete, edges)
    wanted = 2 if rng.uniform() < SECOND_DEFECT_SHARE else 1
    drafts = [_draw(rng) for _ in range(ATTEMPTS)]
    candidates = (_put_on(draft, complete, edges, centre, reach) for draft in drafts)
    limit = LARGEST_SHARE / wanted * np.count_nonzero(complete)

    def fits(defect: Defect) -> bool:
        _, implant = apply_defects(complete, spacing, (defect,))
        volume = max(SMALLEST_VOLUME, thinnest * defect.area)
        smallest = max(volume / float(np.prod(edges)), SMALLEST_COUNT)
        return bool(smallest <= np.count_nonzero(implant) <= limit)

    fitting = (defect for defect in candidates if defect and fits(defect))
    defects = tuple(islice(fitting, wanted))
    if not defects:
        raise VolumeError(
            f"no defect could be cut in {ATTEMPTS} attempts: the volume of shape {complete.shape} "
            f"at {_said(edges)} mm has no vault around {np.round(centre).tolist()} mm;"
            " axes must be RAS"
        )
    return defects


def _edges(spacing: Spacing) -> Doubles:
    """A voxel's edges (3,) in mm."""
    return np.broadcast_to(np.asarray(spacing, np.float64), 3)


def _said(edges: Doubles) -> str:
    return " x ".join(f"{edge:g}" for edge in edges)


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


def _put_on(
    draft: _Draft, complete: Bools, edges: Doubles, centre: Doubles, reach: float
) -> Defect | None:
    """Put a draft on the outer surface, its normal from four more rays; None if they miss."""
    direction = unit(draft.direction)
    first = unit(cross(direction, draft.turn))
    second = cross(direction, first)
    aside = (0 * first, ASIDE * first, -ASIDE * first, ASIDE * second, -ASIDE * second)
    rays = [_outermost(complete, edges, centre, unit(direction + step), reach) for step in aside]
    hits = [hit for hit in rays if hit is not None]
    if len(hits) < len(rays):
        return None
    square = cross(hits[1] - hits[2], hits[3] - hits[4])
    if not square.any() or dot(normal := unit(square), direction) < LEAST_FACING:
        return None
    first = unit(cross(normal, cross(first, normal)))
    axes = np.array([first, cross(normal, first), normal])
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


def cranial_centre(complete: Bools, edges: Doubles) -> tuple[Doubles, float]:
    """The middle of the braincase, and the length of a ray from it out of the head, both in mm.

    The middle is as far below the vertex as the upper head is wide to each side.
    """
    top = np.flatnonzero(complete.any((0, 1)))[-1]
    upper = complete[:, :, max(top - int(UPPER_HEAD / edges[2]), 0) :]
    left, right = np.flatnonzero(upper.any((1, 2)))[[0, -1]]
    back, front = np.flatnonzero(upper.any((0, 2)))[[0, -1]]
    half_width = (right - left + 1) / 2
    below_top = _below_top(complete[:, :, top], half_width) * (edges[0] / edges[2])
    middle = [(left + right + 1) / 2, (back + front + 1) / 2, top + 1 - below_top]
    centre: Doubles = np.array(middle) * edges
    return centre, float(2 * max(half_width * edges[0], (front - back + 1) / 2 * edges[1]))


def _below_top(topmost: Bools, half_width: float) -> float:
    """How far the middle of a round head is below its topmost slice (I, J), in voxels along I.

    Where the crown is cut off, the slice is a ring, and the middle is nearer.
    """
    opening = binary_fill_holes(topmost) & ~topmost
    open_width = np.ptp(np.flatnonzero(opening.any(1))) / 2 if opening.any() else 0.0
    if open_width < OPEN_CROWN * half_width:
        return half_width
    return float(np.sqrt(max(half_width**2 - open_width**2, 0.0)))


def _outermost(
    complete: Bools, edges: Doubles, centre: Doubles, direction: Doubles, reach: float
) -> Doubles | None:
    """The outermost bone along a ray from the centre, in mm; None if there is none."""
    steps = np.arange(0.0, reach, edges.min() / 2)
    points = centre + steps[:, None] * direction
    voxels = np.floor(points / edges).astype(int)
    inside = np.all((voxels >= 0) & (voxels < complete.shape), axis=1)
    hits = np.flatnonzero(complete[tuple(voxels[inside].T)])
    return points[inside][hits[-1]] if len(hits) else None


def _window(defect: Defect, shape: tuple[int, ...], edges: Doubles) -> BoundingBox:
    """Slices of the voxels that the defect can reach."""
    reach = float(np.hypot(defect.reach, defect.depth))
    low = np.clip(np.floor((defect.middle - reach) / edges), 0, shape).astype(int)
    high = np.clip(np.ceil((defect.middle + reach) / edges), 0, shape).astype(int)
    i, j, k = map(slice, low, high)
    return i, j, k
