"""Procedural human skulls for training shape completion, and defects cut into them.

`complete_skull` and `skull_case` depend on their arguments alone: the same seed gives the same
bytes on every machine, and the same skull and defect at every resolution.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.phantoms.defects import apply_defects, plan_defects
from zoo.datasets.phantoms.skull_shape import Skull
from zoo.datasets.phantoms.solids import Floats, Noise, Point, rounded_uniform
from zoo.errors import VolumeError

Bools = NDArray[np.bool_]

FIELD_OF_VIEW = 204.8  # mm: 0.4 mm voxels at 512
FINEST_VOXEL = 0.4  # mm; coarser voxels are filled as if pooled from this
PLANNED_AT = 64  # the resolution at which defects are planned
CUTS = (-200, -78, -60, -60, -44, -44, -44)  # mm: below the jaw, through it, the base, the vault
TILT = np.float32(1.3)  # edges of a voxel that a plane at an angle to it takes to pass through it
BLOCK = 32  # voxels along an edge of the blocks that the grid is evaluated in
SMALLEST_GRID = 8  # voxels
BEND_CELL, BEND = 48.0, 7.0  # mm: how far apart, and by how much, a skull departs from symmetry
ROUGHNESS_CELL, ROUGHNESS = 3.2, 0.8  # mm, the same for its surface


@dataclass(frozen=True)
class SkullCase:
    """Bool (R, R, R), axes RAS; defective and implant are disjoint, and complete is their union."""

    complete: Bools
    defective: Bools
    implant: Bools


def complete_skull(seed: int, resolution: int = 64) -> Bools:
    """A skull, generated.

        >>> complete_skull(seed=0, resolution=32).shape
        (32, 32, 32)

    Args:
        seed: which skull.
        resolution: voxels R along an edge; they are FIELD_OF_VIEW / R mm large.

    Returns:
        bool (R, R, R), axes RAS. A voxel is set if there is bone anywhere in it, as if a finer
        skull were pooled.

    Raises:
        VolumeError: a resolution below 8 voxels.
    """
    _check_resolution(resolution)
    return _Scan.draw(seed).voxels(resolution)


def skull_coverage(seed: int, resolution: int = 64) -> Floats:
    """The same skull as coverage, float32 (R, R, R): the share of every voxel that is bone.

    It is about what a plane through the voxel would leave of it.
    """
    _check_resolution(resolution)
    return _Scan.draw(seed).coverage(resolution)


def _check_resolution(resolution: int) -> None:
    if resolution < SMALLEST_GRID:
        raise VolumeError(f"resolution must be at least {SMALLEST_GRID} voxels, got {resolution}")


def skull_case(seed: int, resolution: int = 64) -> SkullCase:
    """The skull of `complete_skull` with one or two defects cut out of its vault.

        >>> case = skull_case(seed=0, resolution=32)
        >>> bool(((case.defective | case.implant) == case.complete).all())
        True

    Args:
        seed: which skull, and which defects.
        resolution: voxels along an edge.

    Returns:
        The complete skull, the defective one and the implant, bool (R, R, R) each.

    Raises:
        VolumeError: a resolution below 8 voxels.
    """
    complete = complete_skull(seed, resolution)
    # Planned at one resolution, whichever is asked for, so that the defect is the same at all.
    planned = complete if resolution == PLANNED_AT else complete_skull(seed, PLANNED_AT)
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    defects = plan_defects(planned, FIELD_OF_VIEW / PLANNED_AT, rng)
    defective, implant = apply_defects(complete, FIELD_OF_VIEW / resolution, defects)
    return SkullCase(complete, defective, implant)


@dataclass(frozen=True)
class _Scan:
    """A skull as a scanner sees it: turned, bent out of symmetry, cut off below, its edge rough."""

    skull: Skull
    rotation: tuple[Point, Point, Point]  # rows
    scale: Point  # along x, y and z
    centre: Point  # mm, in scanner coordinates
    cut: Point  # (height in mm, rise per mm of x, rise per mm of y)
    bends: tuple[Noise, ...]  # mm along x, y and z
    roughness: Noise  # mm outwards

    @classmethod
    def draw(cls, seed: int) -> "_Scan":
        rng = np.random.Generator(np.random.PCG64(seed))
        uniform = rounded_uniform(rng)
        skull = Skull.draw(rng)
        scale = (uniform(0.87, 1.03), uniform(0.88, 1.03), uniform(0.88, 1.02))
        rotation = _rotation(uniform(-9, 9), uniform(-5, 5), uniform(-7, 7))
        slack = 101.0 - 95.0 * scale[1]  # mm: a skull of scale 1 reaches 95 of 102 to each side
        top = uniform(3, 14)  # mm of air above the vault, which is 80 above the skull's origin
        centre = (uniform(-6, 6), uniform(-slack, slack), FIELD_OF_VIEW / 2 - top - 80.0 * scale[2])
        lowest = CUTS[int(rng.integers(len(CUTS)))]
        height = uniform(lowest, lowest + 18)
        cut = (height * scale[2] + centre[2], uniform(-0.06, 0.06), uniform(-0.15, 0.15))
        bends = tuple(Noise.draw(rng, FIELD_OF_VIEW, BEND_CELL, BEND) for _ in range(3))
        roughness = Noise.draw(rng, FIELD_OF_VIEW, ROUGHNESS_CELL, ROUGHNESS)
        return cls(skull, rotation, scale, centre, cut, bends, roughness)

    def voxels(self, resolution: int) -> Bools:
        """Whether there is bone anywhere in a voxel."""
        voxel = FIELD_OF_VIEW / resolution
        # A tilted plane through a cube reaches 0.5 to 0.87 of its edge from the centre, 0.72
        # typically.
        reach = 0.72 * max(voxel - FINEST_VOXEL, 0.0)
        occupied = np.zeros((resolution,) * 3, bool)
        for block, distance in self._blocks(resolution):
            occupied[block] = distance < reach
        return occupied

    def coverage(self, resolution: int) -> Floats:
        """The share of every voxel that is bone."""
        voxel = np.float32(FIELD_OF_VIEW / resolution)
        covered = np.zeros((resolution,) * 3, np.float32)
        for block, distance in self._blocks(resolution):
            covered[block] = np.clip(0.5 - distance / (TILT * voxel), 0, 1)
        return covered

    def _blocks(self, resolution: int) -> Iterator[tuple[tuple[slice, ...], Floats]]:
        """Block by block the distance to bone in mm, without the blocks that none comes near."""
        voxel = FIELD_OF_VIEW / resolution
        centres = ((np.arange(resolution) + 0.5) * voxel - FIELD_OF_VIEW / 2).astype(np.float32)
        spans = [slice(s, s + BLOCK) for s in range(0, resolution, BLOCK)]
        middles: Floats = np.array(
            [(centres[s][0] + centres[s][-1]) / 2 for s in spans], np.float32
        )
        # Half a block's diagonal, a third more because distances are approximate, and the margins.
        near = self.distance(middles, middles, middles) < 1.17 * BLOCK * voxel + 4.0
        for i, j, k in np.argwhere(near):
            block = spans[i], spans[j], spans[k]
            yield block, self.distance(*(centres[s] for s in block))

    def distance(self, xs: Floats, ys: Floats, zs: Floats) -> Floats:
        """Distance to bone in mm on the tensor product of scanner coordinates in mm."""
        x, y, z = xs[:, None, None], ys[None, :, None], zs[None, None, :]
        height, slope_x, slope_y = self.cut
        below = height + slope_x * x + slope_y * y - z
        x, y, z = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        x, y, z = (
            (r[0] * x + r[1] * y + r[2] * z + bend.on_grid(xs, ys, zs)) / s
            for r, bend, s in zip(self.rotation, self.bends, self.scale, strict=True)
        )
        bone = self.skull.distance(x, y, z) * self.scale[0]
        cut_bone: Floats = np.maximum(bone + self.roughness.on_grid(xs, ys, zs), below)
        return cut_bone


def _rotation(pitch: float, roll: float, yaw: float) -> tuple[Point, Point, Point]:
    """Rows of the rotation by three angles in degrees about x, y and z, rounded to be portable."""
    angles = (math.radians(degrees) for degrees in (pitch, roll, yaw))
    (cp, sp), (cr, sr), (cy, sy) = ((math.cos(angle), math.sin(angle)) for angle in angles)
    return (
        _rounded(cy * cr, cy * sr * sp - sy * cp, cy * sr * cp + sy * sp),
        _rounded(sy * cr, sy * sr * sp + cy * cp, sy * sr * cp - cy * sp),
        _rounded(-sr, cr * sp, cr * cp),
    )


def _rounded(x: float, y: float, z: float) -> Point:
    return round(x, 9), round(y, 9), round(z, 9)
