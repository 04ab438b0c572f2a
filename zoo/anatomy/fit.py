"""Whether an implant is any good: its size, thickness, fit to the bone, and symmetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.anatomy.cranium import Triple
from zoo.anatomy.implants import sheet
from zoo.anatomy.symmetry import plane_of_symmetry
from zoo.volumes import Volume, bounds, roughness

Bools = NDArray[np.bool_]

MARGIN = 15.0  # mm of bone around the implant that is looked at
FINE = 0.6  # mm: on smaller voxels, every second one will do
RIM = 6.0  # mm from the bone, within which an implant's rim lies
FACING = 0.7  # cosine between the rim's normal and the way to the bone
COMPARED = 10.0  # mm: what is farther from the mirrored skull has no counterpart
# What a report warns of.
THIN = 2.0  # mm
GAP = 1.5  # mm, on average
ASYMMETRIC = 5.0  # mm, 95 %
ROUGH = 0.4  # mm, or of the largest voxel's edge if that is more


def assess(implant: Volume, skull: Volume) -> tuple[dict[str, Any], list[str]]:
    """Measures of an implant, for a report, and warnings in words.

    Args:
        implant: a mask with axes in any orientation, of which a voxel must be set.
        skull: the defective skull on the same grid.

    Returns:
        `volume_ml`; `area_cm2` of its surface; `thickness_mm`: `mean` and `min` (the 5th
        percentile) at its middle sheet; `gap_mm`: `mean` and `p95` from its rim to the bone;
        `overlap_ml` with the bone; `roughness_mm`, of its surface from itself smoothed over 3 mm;
        and `mirror_mm`: `mean` and `p95` of the distance from its surface to the skull mirrored at
        its plane of symmetry, and the `share` of its surface that has a counterpart; None where
        less than half has.
    """
    given, added = skull.canonical(), implant.canonical()
    bone, mask = (np.asarray(each.array, dtype=bool) for each in (given, added))
    spacing = added.spacing
    box, step = _part(mask, spacing)
    part, around = mask[box][step], bone[box][step]
    coarse = _times(spacing, step)
    _, thickness = sheet(part, coarse)
    gaps = _gaps(part, around, coarse)
    mirrored = _mirrored(mask, bone, spacing)
    ml = float(np.prod(spacing)) / 1000
    facts: dict[str, Any] = {
        "volume_ml": round(float(np.count_nonzero(mask) * ml), 2),
        "area_cm2": round(_area(part, coarse) / 100, 1),
        "thickness_mm": _summary(thickness, {"mean": None, "min": 5}),
        "gap_mm": _summary(gaps, {"mean": None, "p95": 95}),
        "overlap_ml": round(float(np.count_nonzero(mask & bone) * ml), 2),
        "roughness_mm": round(roughness(part, around, coarse), 3),
        "mirror_mm": mirrored,
    }
    return facts, _warnings(facts, max(ROUGH, ROUGH * max(spacing)))


def _part(mask: Bools, spacing: Triple) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of what is around an implant, and those that leave out every second fine voxel."""
    box = []
    for low, high, length in zip(*bounds(mask), spacing, strict=True):
        reach = int(MARGIN / length) + 1
        box.append(slice(max(int(low) - reach, 0), int(high) + reach + 1))
    step = tuple(slice(None, None, 2 if length < FINE else 1) for length in spacing)
    return tuple(box), step


def _times(spacing: Triple, step: tuple[slice, ...]) -> Triple:
    i, j, k = (length * (part.step or 1) for length, part in zip(spacing, step, strict=True))
    return i, j, k


def _area(mask: Bools, spacing: Triple) -> float:
    """The area in mm2 of a mask's surface, by marching cubes of it smoothed by a voxel.

    A mask that is too thin for that has the area of its voxels' surface.
    """
    from scipy import ndimage
    from skimage.measure import marching_cubes, mesh_surface_area

    padded = np.pad(mask, 2).astype(np.float32)
    smooth = ndimage.gaussian_filter(padded, 1.0)
    if smooth.max() <= 0.5:
        smooth = padded
    points, triangles, *_ = marching_cubes(smooth, 0.5, spacing=spacing)
    return float(mesh_surface_area(points, triangles))


def _gaps(mask: Bools, bone: Bools, spacing: Triple) -> NDArray[np.floating]:
    """The distance in mm from each voxel of the rim to the bone; 0 where they touch."""
    from scipy import ndimage

    if not bone.any():
        return np.empty(0)
    away = np.asarray(ndimage.distance_transform_edt(~bone, sampling=spacing))
    shape = np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), 1.0))
    skin = mask & ~ndimage.binary_erosion(mask)
    skin &= away < RIM
    normals, ways = (
        np.stack([-np.asarray(slope)[skin] for slope in np.gradient(grid, *spacing)])
        for grid in (shape, away)
    )
    product = (normals * ways).sum(axis=0)
    lengths = np.linalg.norm(normals, axis=0) * np.linalg.norm(ways, axis=0)
    facing = product > FACING * np.maximum(lengths, 1e-6)
    gaps: NDArray[np.floating] = np.maximum(away[skin][facing] - max(spacing), 0)
    return gaps


def _mirrored(mask: Bools, bone: Bools, spacing: Triple) -> dict[str, float] | None:
    """How far the implant's surface is from the skull mirrored at its plane of symmetry."""
    from scipy import ndimage
    from scipy.spatial import cKDTree

    mirror = plane_of_symmetry(bone, spacing)
    low, high = bounds(mask)
    box = tuple(slice(max(int(a) - 1, 0), int(b) + 2) for a, b in zip(low, high, strict=True))
    part = mask[box]
    skin = np.argwhere(part & ~ndimage.binary_erosion(part)) + [each.start for each in box]
    points = (skin[:: max(1, len(skin) // 5000)] + 0.5) * spacing
    wanted = mirror.of(points)
    # Only the bone on the other side, near the mirrored implant.
    index = np.floor(wanted / spacing).astype(int)
    reach = np.ceil(COMPARED / np.array(spacing)).astype(int) + 1
    first = np.clip(index.min(axis=0) - reach, 0, bone.shape)
    last = np.clip(index.max(axis=0) + reach + 1, 0, bone.shape)
    other = bone[tuple(map(slice, first, last))]
    if not other.any():
        return None
    shell = np.argwhere(other & ~ndimage.binary_erosion(other)) + first
    tree = cKDTree((shell + 0.5) * spacing)
    distances = np.asarray(tree.query(wanted, distance_upper_bound=COMPARED)[0])
    compared = np.isfinite(distances)
    if compared.mean() < 0.5:
        return None
    found = _summary(distances[compared], {"mean": None, "p95": 95})
    return found and {**found, "share": round(float(compared.mean()), 2)}


def _summary(
    values: NDArray[np.floating], wanted: dict[str, int | None]
) -> dict[str, float] | None:
    """The mean (None) or percentiles of values, by name; None without any."""
    if not len(values):
        return None
    return {
        name: round(float(values.mean() if percent is None else np.percentile(values, percent)), 2)
        for name, percent in wanted.items()
    }


def _warnings(facts: dict[str, Any], rough: float) -> list[str]:
    thickness, gap, mirror = (facts[name] for name in ("thickness_mm", "gap_mm", "mirror_mm"))
    checks: tuple[tuple[Any, Callable[[], str]], ...] = (
        (
            thickness and thickness["min"] < THIN,
            lambda: f"the implant is thin in places: {thickness['min']:g} mm, under {THIN:g} mm",
        ),
        (
            gap and gap["mean"] > GAP,
            lambda: f"the implant does not reach the bone: a gap of {gap['mean']:g} mm on average",
        ),
        (
            mirror and mirror["p95"] > ASYMMETRIC,
            lambda: (
                f"the implant is not like the other side: {mirror['p95']:g} mm from it"
                f" (95 %), over {ASYMMETRIC:g} mm"
            ),
        ),
        (
            facts["roughness_mm"] > rough,
            lambda: f"the implant's surface is rough: {facts['roughness_mm']:g} mm",
        ),
    )
    return [said() for holds, said in checks if holds]
