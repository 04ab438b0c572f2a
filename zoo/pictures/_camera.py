"""The preview's camera: the sides that a volume is seen from, and its projection by parallel rays.

Volumes are (I, J, K), axes RAS; `spacing` is the size of a voxel in mm along each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.pictures._bounding import bounding_box, profiles
from zoo.pictures._types import Bools, Doubles, Triple

# Directions from the body to the viewer, in RAS. Up in a picture is superior, or anterior where the
# viewer looks along the body.
VIEWS: dict[str, Triple] = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "front": (0.0, 1.0, 0.0),
    "back": (0.0, -1.0, 0.0),
    "top": (0.0, 0.0, 1.0),
    "bottom": (0.0, 0.0, -1.0),
    "oblique": (0.62, 0.72, 0.32),
    "oblique left": (-0.62, 0.72, 0.32),
    "oblique back": (0.66, -0.62, 0.42),
    "oblique back left": (-0.66, -0.62, 0.42),
}
PIXELS = 368  # along the longer side of a rendering: as many as the sheet shows
FINEST_STEP = 1.75  # pixels between samples on a ray


@dataclass(frozen=True)
class Camera:
    """Parallel rays through a field: from (row, column, depth) in pixels to its indices."""

    steps: Doubles  # (3, 3): field index moved by one pixel down, right and away
    offset: Doubles  # (3,): field index of the first pixel
    shape: tuple[int, int]  # rows, columns
    voxel: float  # pixels along a voxel's shortest edge
    diagonal: float  # pixels along a voxel's diagonal

    @classmethod
    def facing(cls, view: str, shape: tuple[int, ...], spacing: Doubles) -> Camera:
        """The camera that sees a field of that shape from one of `VIEWS`, all of it."""
        away = -np.array(VIEWS[view]) / np.linalg.norm(VIEWS[view])
        up = np.array([0.0, 1.0, 0.0]) if abs(away[2]) > 0.99 else np.array([0.0, 0.0, 1.0])
        right = np.cross(away, up)
        right /= np.linalg.norm(right)
        frame = np.array([np.cross(away, right), right, away])  # down, right, away in RAS
        extent = np.abs(frame) @ (np.array(shape) * spacing)
        pixel = float(extent[:2].max()) / PIXELS
        steps = frame.T * pixel / spacing[:, None]
        counts = np.ceil(extent / pixel).astype(int)
        offset = (np.array(shape) - 1) / 2 - steps @ ((counts - 1) / 2)
        rows, columns, _ = counts.tolist()
        diagonal = float(np.linalg.norm(spacing)) / pixel
        return cls(steps, offset, (rows, columns), float(spacing.min()) / pixel, diagonal)

    @property
    def step(self) -> float:
        """Pixels between samples on a ray: half a voxel, but no finer than the picture needs."""
        return max(self.voxel / 2, min(self.voxel, FINEST_STEP))

    def indices(self, pixels: Doubles) -> Doubles:
        """Field indices (3, N) of (row, column, depth), also (3, N)."""
        return self.steps @ pixels + self.offset[:, None]


def facing_views(occupied: Bools, implant: Bools) -> tuple[str, str]:
    """An oblique and a straight view from the side of `occupied` that the implant lies on."""
    if not implant.any():
        return "oblique", "left"
    box = bounding_box(occupied)
    middle = np.array([np.mean(np.flatnonzero(profile)) for profile in profiles(implant)])
    start, stop = np.array([(edge.start, edge.stop) for edge in box]).T
    outward = (middle + 0.5 - start) / (stop - start) - 0.5
    facing = {name: float(np.dot(direction, outward)) for name, direction in VIEWS.items()}
    oblique = max((name for name in VIEWS if "oblique" in name), key=facing.__getitem__)
    straight = max(("left", "right", "front", "back", "top"), key=facing.__getitem__)
    return oblique, straight
