"""Cuts defects of all kinds into the coverage of a skull: what training draws anew every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.phantoms.craniotomies import Opening, Vault, draw_openings
from zoo.datasets.phantoms.defect_shape import Bools, Defect, Doubles
from zoo.datasets.phantoms.defects import (
    LARGEST_SHARE,
    SMALLEST_VOLUME,
    cranial_centre,
    plan_defects,
)
from zoo.errors import VolumeError
from zoo.volumes import bounds, dilated, pooled, replicated

Floats = NDArray[np.float32]

ATTEMPTS = 6
OPENINGS = 0.6  # share of the cuts that are openings; the others are solids
PLANNED_AT = 3.0  # mm: of smaller voxels every n-th is enough to plan solids on
BLOCK = 1.7  # mm: on blocks up to that large, cuts are looked for before smaller voxels are cut


def cut_coverage(
    head: Floats, spacing: float, rng: np.random.Generator, *, thinnest: float = 0.0
) -> Floats:
    """Draw one to three defects into a skull's vault, and return what they take of every voxel.

        >>> from zoo.datasets.phantoms.skulls import complete_skull
        >>> skull = complete_skull(seed=0).astype(np.float32)
        >>> implant = cut_coverage(skull, 3.2, np.random.default_rng(0))
        >>> bool((implant <= skull).all() and implant.sum() > 20)
        True

    Args:
        head: float32 (I, J, K), coverage by the skull, axes RAS.
        spacing: edge of a voxel in mm.
        rng: draws the defects.
        thinnest: mm of bone that a solid must take, averaged over its outline.

    Returns:
        float32 (I, J, K), at most the head's coverage.

    Raises:
        VolumeError: there is nothing that looks like a cranial vault.
    """
    bone = head > 0.5
    if not bone.any():
        raise VolumeError("wanted a skull, got nothing that is more than half bone")
    limits = SMALLEST_VOLUME / spacing**3, LARGEST_SHARE * float(head.sum())
    for _ in range(ATTEMPTS):
        cuts: Sequence[Opening | Defect]
        if rng.random() < OPENINGS:
            centre, _ = cranial_centre(bone, np.full(3, spacing))
            cuts = draw_openings(Vault.of(_centres(np.argwhere(bone), spacing), centre), rng)
        else:
            try:
                cuts = _solids(bone, spacing, rng, thinnest)
            except VolumeError:  # none fitted; an opening may
                continue
        implant = _removed(head, spacing, cuts)
        if limits[0] <= implant.sum() <= limits[1]:
            return implant
    raise VolumeError(f"no defect could be cut in {ATTEMPTS} attempts; axes must be RAS")


def _solids(
    bone: Bools, spacing: float, rng: np.random.Generator, thinnest: float
) -> tuple[Defect, ...]:
    """Solids, planned on every n-th voxel where voxels are small: good enough, and much faster."""
    step = max(int(PLANNED_AT / spacing), 1)
    return plan_defects(bone[::step, ::step, ::step], spacing * step, rng, thinnest=thinnest)


def _removed(head: Floats, spacing: float, cuts: Sequence[Opening | Defect]) -> Floats:
    voxels = _near(head, spacing, cuts)
    share = _share(cuts, _centres(voxels, spacing), spacing)
    taken = np.flatnonzero(share)
    implant = np.zeros_like(head)
    where = tuple(voxels[taken].T)
    implant[where] = head[where] * share[taken]
    return implant


def _near(head: Floats, spacing: float, cuts: Sequence[Opening | Defect]) -> NDArray[np.intp]:
    """The voxels (N, 3) of a head that the cuts may reach: in blocks that they do, or beside."""
    edge = max(int(BLOCK / spacing), 1)
    if edge == 1:
        return np.argwhere(head)
    blocks = pooled(head > 0, edge)
    places = np.argwhere(blocks)
    reached = _share(cuts, _centres(places, edge * spacing), edge * spacing) > 0
    blocks[tuple(places[~reached].T)] = False
    near = dilated(blocks)
    if not near.any():
        return np.empty((0, 3), np.intp)
    low, high = bounds(near)
    part = head[tuple(map(slice, low * edge, (high + 1) * edge))]
    i, j, k = part.shape
    chosen = replicated(near[tuple(map(slice, low, high + 1))], (edge,) * 3)[:i, :j, :k]
    voxels: NDArray[np.intp] = np.argwhere((part > 0) & chosen) + low * edge
    return voxels


def _share(cuts: Sequence[Opening | Defect], points: Doubles, width: float) -> Doubles:
    share: Doubles = np.max([cut.share(points, width) for cut in cuts], axis=0)
    return share


def _centres(voxels: NDArray[np.intp], spacing: float) -> Doubles:
    """The centres (N, 3) of voxels in mm from the grid's first corner."""
    return np.asarray((voxels + 0.5) * spacing, dtype=np.float64)
