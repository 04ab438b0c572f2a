"""Generated heads: grids of vessels, and of what must not be taken for them.

Millimetres; the origin is the middle of the grid. One seed is one head, on one grid. Heads of even
seeds have bone; those of odd ones have films instead, such as a subtraction of bone leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.plugins import solids
from zoo_vessels.trees import Segment, Skull, Vector, trees

Tissues = NDArray[np.uint8]
Spacing = tuple[float, float, float]  # mm

TISSUES = (  # a tissue's number is its index; every tree has a contrast of its own
    *("background", "artery", "thin artery", "sinus", "thin sinus", "vein", "thin vein"),
    *("spongy bone", "cortical bone", "film"),
)
NUMBER = {name: number for number, name in enumerate(TISSUES)}
VESSELS = range(NUMBER["artery"], NUMBER["thin vein"] + 1)

VOXEL = 0.7, 1.3  # mm: in a slice, and from slice to slice
THIN = 0.75  # voxels: a tube is drawn no thinner, so that it holds together, but fainter


@dataclass(frozen=True)
class Head:
    """Tissues uint8 (R, R, R), the voxels (M, 3) that centrelines pass, and the spacing in mm."""

    tissues: Tissues
    centrelines: NDArray[np.intp]
    spacing: Spacing


def head(seed: int, resolution: int = 128) -> Head:
    """Vessels, and what must not be taken for them, on a grid of `resolution` voxels an edge."""
    rng = np.random.Generator(np.random.PCG64(seed))
    in_slice, between = rng.uniform(*VOXEL, 2).tolist()
    spacing = (in_slice, in_slice, between)
    extent = resolution * np.array(spacing)
    skull = Skull(rng.uniform(-0.15, 0.15, 3) * extent, rng.uniform(55, 80, 3))
    tissues = np.zeros((resolution,) * 3, np.uint8)
    middles = [
        _draw(tissues, segment, kind, spacing)
        for kind, segments in trees(rng, skull, extent / 2).items()
        for segment in segments
    ]
    surround = _films if seed % 2 else _bone
    surround(tissues, skull, spacing, rng)
    passed = np.unique(np.concatenate(middles), axis=0)
    inside = ((passed >= 0) & (passed < resolution)).all(axis=1)
    return Head(tissues, passed[inside], spacing)


def _draw(tissues: Tissues, segment: Segment, kind: str, spacing: Spacing) -> NDArray[np.intp]:
    """Set the voxels whose centres lie in a segment; returns those that its axis passes (M, 3)."""
    thinnest = THIN * max(spacing)
    first, last = (max(radius, thinnest) for radius in segment.radii)
    voxel, middle = np.array(spacing), np.array(tissues.shape) / 2 - 0.5
    ends = np.stack([segment.start, segment.end])
    reach = max(first, last) + voxel
    low = np.floor((ends.min(0) - reach) / voxel + middle).astype(int).clip(0)
    high = np.ceil((ends.max(0) + reach) / voxel + middle).astype(int).clip(low, tissues.shape)
    box = tuple(map(slice, low, high))
    x, y, z = _centres(low, high, middle, voxel)
    (a, b, c), (d, e, f) = ends.tolist()
    inside = solids.cone(x, y, z, (a, b, c), (d, e, f), first, last) < 0
    thin = min(segment.radii) < thinnest
    part = tissues[box]
    part[inside & ~(thin & (part > 0))] = NUMBER[f"thin {kind}" if thin else kind]
    steps = np.linspace(0, 1, 2 + int(np.ptp(ends, axis=0).max() / voxel.min()))[:, None]
    axis = (ends[0] + steps * (ends[1] - ends[0])) / voxel + middle
    passed: NDArray[np.intp] = np.rint(axis).astype(np.intp)
    return passed


def _films(tissues: Tissues, skull: Skull, spacing: Spacing, rng: np.random.Generator) -> None:
    """Patches a voxel thick where the inside of the skull was."""
    _, outwards, noise = _around(tissues, skull, spacing, rng)
    patches = (abs(outwards) < 0.6 * max(spacing)) & (noise > rng.uniform(0, 0.4))
    tissues[patches & (tissues == 0)] = NUMBER["film"]


def _bone(tissues: Tissues, skull: Skull, spacing: Spacing, rng: np.random.Generator) -> None:
    """A shell around the brain, with lumps below; spongy within."""
    (x, y, z), outwards, noise = _around(tissues, skull, spacing, rng)
    bone: solids.Floats = np.maximum(outwards - rng.uniform(3, 6), -outwards)
    for _ in range(rng.integers(5, 20)):
        point = skull.on_surface(rng)
        point[2] = min(point[2], 2 * skull.middle[2] - point[2])
        size = rng.uniform(3, 10, 3)
        lump = solids.ellipsoid(x, y, z, tuple(point.tolist()), tuple(size.tolist()))
        bone = solids.union(bone, lump + 2 * noise, 3)
    free = tissues == 0
    tissues[(bone < 0) & free] = NUMBER["cortical bone"]
    tissues[(bone < -rng.uniform(1, 2.5)) & free] = NUMBER["spongy bone"]


def _around(
    tissues: Tissues, skull: Skull, spacing: Spacing, rng: np.random.Generator
) -> tuple[tuple[solids.Floats, solids.Floats, solids.Floats], solids.Floats, solids.Floats]:
    """Coordinates of all voxels, distances outwards from the brain, mm, and noise within +-1."""
    shape, voxel = np.array(tissues.shape), np.array(spacing)
    x, y, z = _centres(0 * shape, shape, shape / 2 - 0.5, voxel)
    extent = float((shape * voxel).max())
    noise = solids.Noise.draw(rng, extent, 18, 1).on_grid(x.ravel(), y.ravel(), z.ravel())
    (a, b, c), (d, e, f) = skull.middle.tolist(), skull.radii.tolist()
    return (x, y, z), solids.ellipsoid(x, y, z, (a, b, c), (d, e, f)) + 2.5 * noise, noise


def _centres(
    low: NDArray[np.intp], high: NDArray[np.intp], middle: Vector, voxel: Vector
) -> tuple[solids.Floats, solids.Floats, solids.Floats]:
    """Centres of the voxels low to high: x (I, 1, 1), y (1, J, 1) and z (1, 1, K), mm."""
    x, y, z = (
        ((np.arange(first, last) - origin) * size).astype(np.float32)
        for first, last, origin, size in zip(low, high, middle, voxel, strict=True)
    )
    return x[:, None, None], y[None, :, None], z[None, None, :]
