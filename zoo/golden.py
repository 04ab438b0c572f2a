"""Golden cases: a tiny input that goes with a model, and the answer it must give everywhere."""

from __future__ import annotations

import numpy as np

from zoo.cards import Card
from zoo.conform import Bools
from zoo.volume import Volume

INPUT, ANSWER = "golden-input.nii.gz", "golden-answer.nii.gz"
LARGEST_CASE = 2**18  # bytes of a file
EDGE = 40  # voxels
RADIUS, WALL = 70.0, 6.0  # mm, of a head and of its bone
AIR, LUNG, TISSUE, BLOOD, BONE = -1000, -850, 40, 180, 500  # Hounsfield units


def golden_input(card: Card) -> Volume:
    """A volume that a model accepts, made of formulas alone: 40^3 voxels of its own size.

    For shapes, the top of a vault with a hole in it; for intensities, the middle of a chest.
    For super-resolution the voxels are twice as large as those that it answers with.
    """
    spacing = np.array(card.input.spacing) * (2 if card.task == "super-resolution" else 1)
    affine = np.diag([*spacing, 1.0])
    # Of voxel centres, mm; the vault's top, which the z axis goes through, is at 4/5 of the height.
    x, y, z = spacing.reshape(3, 1, 1, 1) * (np.indices((EDGE,) * 3) + 0.5)
    x, y = x - EDGE / 2 * spacing[0], y - EDGE / 2 * spacing[1]
    if card.input.kind == "intensity":
        return Volume(_tissues(x, y, z - EDGE / 2 * spacing[2]), affine)
    return Volume(_vault(x, y, z, spacing).astype(np.uint8), affine)


def differing(one: Volume, other: Volume) -> int:
    """How many voxels of two volumes differ; all of them if their grids do."""
    if one.shape != other.shape:
        return max(one.array.size, other.array.size)
    return int(np.count_nonzero(one.array != other.array))


def _vault(x: np.ndarray, y: np.ndarray, z: np.ndarray, spacing: np.ndarray) -> Bools:
    height = z - (0.8 * EDGE * spacing[2] - RADIUS)
    wall = max(WALL, 2 * spacing.max())
    radius = np.sqrt(x**2 + 1.2 * y**2 + height**2)
    hole = np.hypot(x - 0.1 * RADIUS, y) < min(0.2 * EDGE * spacing.min(), 25)
    bone: Bools = (abs(radius - RADIUS + wall / 2) < wall / 2) & ~hole & (z > 2 * spacing[2])
    return bone


def _tissues(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """int16; as in the middle of a chest: a heart between lungs, vessels, an airway, a spine."""
    grid = np.full(x.shape, LUNG)
    size = x.max() / 60  # the chest fits the box, whatever the voxels
    x, y, z = x / size, y / size, z / size
    grid[np.hypot(x / 30, (y + 5) / 45) < 1] = TISSUE
    grid[np.hypot(np.hypot(x + 8, y - 12), 0.8 * (z + 15)) < 38] = BLOOD
    grid[np.hypot(x + 15, y + 38) < 11] = BLOOD
    grid[np.hypot(x - 2, y + 15 - 0.1 * z) < 8] = AIR
    grid[np.hypot(x, y + 56) < 14] = BONE
    return grid.astype(np.int16)
