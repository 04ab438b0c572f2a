"""The inputs of reference cases, computed from formulas alone: 40^3 voxels, or a skull of 64^3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.volumes import Volume

EDGE = 40  # voxels
SKULL, SKULL_EDGE = 1_000_001, 64  # seed, voxels
RADIUS, WALL = 70.0, 6.0  # mm: of the skull, and the thickness of its bone
AIR, LUNG, TISSUE, BLOOD, BONE = -1000, -850, 40, 180, 500  # Hounsfield units

Triple = tuple[float, float, float]
Doubles = NDArray[np.float64]


def vault(voxel: Triple) -> Volume:
    """The top of a skull vault with a hole, uint8 {0, 1}; `voxel` is the spacing in mm."""
    spacing = np.array(voxel)
    x, y, z = _centres(spacing)
    # The vault's top, which the z axis goes through, is at 4/5 of the height.
    height = z - (0.8 * EDGE * spacing[2] - RADIUS)
    wall = max(WALL, 2 * spacing.max())
    radius = np.sqrt(x**2 + 1.2 * y**2 + height**2)
    hole = np.hypot(x - 0.1 * RADIUS, y) < min(0.2 * EDGE * spacing.min(), 25)
    bone = (abs(radius - RADIUS + wall / 2) < wall / 2) & ~hole & (z > 2 * spacing[2])
    return _volume(bone.astype(np.uint8), spacing)


def skull() -> Volume:
    """A generated skull with a hole, uint8 {0, 1}, 64^3 voxels of 3.2 mm."""
    from zoo.datasets.phantoms import FIELD_OF_VIEW, skull_case

    spacing = np.full(3, FIELD_OF_VIEW / SKULL_EDGE)
    return _volume(skull_case(SKULL, SKULL_EDGE).defective.astype(np.uint8), spacing)


def chest(voxel: Triple) -> Volume:
    """The middle of a chest, int16 HU: heart, lungs, vessels, an airway, a spine; `voxel` in mm."""
    spacing = np.array(voxel)
    x, y, z = _centres(spacing)
    z = z - EDGE / 2 * spacing[2]
    grid = np.full(x.shape, LUNG)
    size = x.max() / 60  # scaled so that the chest fits the grid whatever the voxel size
    x, y, z = x / size, y / size, z / size
    grid[np.hypot(x / 30, (y + 5) / 45) < 1] = TISSUE
    grid[np.hypot(np.hypot(x + 8, y - 12), 0.8 * (z + 15)) < 38] = BLOOD
    grid[np.hypot(x + 15, y + 38) < 11] = BLOOD
    grid[np.hypot(x - 2, y + 15 - 0.1 * z) < 8] = AIR
    grid[np.hypot(x, y + 56) < 14] = BONE
    return _volume(grid.astype(np.int16), spacing)


def _centres(spacing: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Voxel centres in mm: x and y from the middle of the grid, z from its lower end."""
    x, y, z = spacing.reshape(3, 1, 1, 1) * (np.indices((EDGE,) * 3) + 0.5)
    return x - EDGE / 2 * spacing[0], y - EDGE / 2 * spacing[1], z


def _volume(array: NDArray[np.generic], spacing: Doubles) -> Volume:
    return Volume(array, np.diag([*spacing, 1.0]))
