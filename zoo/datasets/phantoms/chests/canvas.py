"""The canvas: a grid of tissues to paint on, and where its voxels lie in a body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.phantoms import solids
from zoo.datasets.phantoms.chests._curves import Knot
from zoo.datasets.phantoms.chests.tissues import NUMBER, Tissues
from zoo.datasets.phantoms.solids import Floats, Noise, Point, Uniform

Bools = NDArray[np.bool_]
BoundingBox = tuple[slice, slice, slice]

EXTENT = 384.0  # mm: 3 mm voxels at 128
BENDS = ((96.0, 9.0), (40.0, 3.5))  # mm along each axis: wavelength, roughly, and amplitude


@dataclass(frozen=True)
class Canvas:
    """A grid of tissues to paint on, and where its voxels lie in the frame of the tables."""

    tissues: Tissues
    axis: Floats  # scanner coordinates in mm, alike along x, y and z
    x: Floats  # mm in the body, (R, R, R) like the next two
    y: Floats
    z: Floats
    rotation: tuple[Point, Point, Point]  # rows, from the scanner to the body
    scale: Point
    centre: Point  # mm, where the body's origin lies in the scanner

    @classmethod
    def draw(cls, rng: np.random.Generator, uniform: Uniform, resolution: int) -> Canvas:
        """Place a body in the scanner: scaled, turned, shifted and bent."""
        size = uniform(0.85, 1.15)
        scale = size * uniform(0.96, 1.04), size * uniform(0.96, 1.04), size * uniform(0.96, 1.04)
        rotation = _rotation(uniform(-0.04, 0.04), uniform(-0.03, 0.03), uniform(-0.05, 0.05))
        # Heights from 130 above to 250 below the carina lie in the middle of the cube.
        centre = uniform(-10, 10), uniform(-8, 12), 60.0 * scale[2] + uniform(-15, 15)
        voxel = EXTENT / resolution
        axis = ((np.arange(resolution) + 0.5) * voxel - EXTENT / 2).astype(np.float32)
        x, y, z = (
            axis[:, None, None] - centre[0],
            axis[None, :, None] - centre[1],
            axis[None, None, :] - centre[2],
        )
        bent: list[Floats] = []
        for row, along in zip(rotation, scale, strict=True):
            straight = row[0] * x + row[1] * y + row[2] * z
            bends = [
                Noise.draw(rng, EXTENT, wavelength, amplitude).on_grid(axis, axis, axis)
                for wavelength, amplitude in BENDS
            ]
            bent.append((straight + reduce(np.add, bends)) / along)
        tissues = np.zeros((resolution,) * 3, np.uint8)
        return cls(tissues, axis, bent[0], bent[1], bent[2], rotation, scale, centre)

    def bounding_box(self, low: Point, high: Point) -> BoundingBox:
        """The voxels that may lie between two corners, which are points of the body's frame."""
        slack = sum(amplitude for _, amplitude in BENDS)
        pairs = list(zip(low, high, self.scale, strict=True))
        middle = [(a + b) / 2 * s for a, b, s in pairs]
        half = [(b - a) / 2 * s + slack for a, b, s in pairs]
        slices = []
        for column in range(3):
            share = [row[column] for row in self.rotation]
            centre = self.centre[column] + sum(m * r for m, r in zip(middle, share, strict=True))
            reach = sum(h * abs(r) for h, r in zip(half, share, strict=True))
            first, last = np.searchsorted(self.axis, (centre - reach, centre + reach))
            slices.append(slice(int(first), int(last)))
        return slices[0], slices[1], slices[2]

    def coordinates(self, box: BoundingBox) -> tuple[Floats, Floats, Floats]:
        """x, y and z in the body of the voxels in a bounding box."""
        return self.x[box], self.y[box], self.z[box]

    def tube(self, knots: list[Knot], flatness: float = 1.0) -> tuple[BoundingBox, Floats]:
        """A bounding box, and the distance in mm of its voxels to a chain of capsules.

        The distance is infinite far from the chain. `flatness` stretches the chain along x.
        """
        reach = max(knot[3] for knot in knots) + 6.0
        box = self.bounding_box(*_corners(knots, reach * flatness))
        distance = np.full(self.tissues[box].shape, np.inf, np.float32)
        for start, end in pairwise(knots):
            inner = self.bounding_box(*_corners([start, end], reach * flatness))
            x, y, z = self.coordinates(inner)
            first, last = ((k[0] / flatness, k[1], k[2]) for k in (start, end))
            capsule = solids.cone(x / flatness, y, z, first, last, start[3], end[3])
            part = distance[
                tuple(
                    slice(i.start - o.start, i.stop - o.start)
                    for i, o in zip(inner, box, strict=True)
                )
            ]
            np.minimum(part, capsule, out=part)
        return box, distance

    def paint(self, box: BoundingBox, where: Bools, tissue: str, over: str = "") -> None:
        """Set voxels of a bounding box to a tissue; `over` names the only one that it replaces."""
        tissues = self.tissues[box]
        if over:
            where = where & (tissues == NUMBER[over])
        tissues[where] = NUMBER[tissue]

    def paint_tube(self, knots: list[Knot], tissue: str, halo: float) -> None:
        """Paint a tube, and around it `halo` mm of fat, which keep the lung away from it."""
        box, distance = self.tube(knots)
        self.paint(box, distance < halo, "fat", over="lung")
        self.paint(box, distance < 0, tissue)


def _rotation(pitch: float, roll: float, yaw: float) -> tuple[Point, Point, Point]:
    """Rows of a small rotation about x, y and z; arguments are tangents of half the angles."""
    (cp, sp), (cr, sr), (cy, sy) = (
        ((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)) for t in (pitch, roll, yaw)
    )
    return (
        (cy * cr, cy * sr * sp - sy * cp, cy * sr * cp + sy * sp),
        (sy * cr, sy * sr * sp + cy * cp, sy * sr * cp - cy * sp),
        (-sr, cr * sp, cr * cp),
    )


def _corners(knots: list[Knot], reach: float) -> tuple[Point, Point]:
    xs, ys, zs, _ = zip(*knots, strict=True)
    return (
        (min(xs) - reach, min(ys) - reach, min(zs) - reach),
        (max(xs) + reach, max(ys) + reach, max(zs) + reach),
    )
