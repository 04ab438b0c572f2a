"""Slices through a volume: bone as grey, the implant's contour drawn over it.

Volumes are (I, J, K), axes RAS, true where occupied; `spacing` is the size of a voxel in mm.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zoo.rendering import IMPLANT, Bools, Doubles, Floats, Picture, Triple

SLICES = {"sagittal": 0, "coronal": 1, "axial": 2}  # the axis that each looks along

PIXELS = 480  # along the longer side of a picture
LINE = 1.1  # pixels to either side of a contour
GIVEN = np.array([196, 200, 206], np.float32)
TINT = 0.35  # of the implant's colour inside its contour


def slice_picture(given: Bools, implant: Bools, spacing: Triple, name: str, index: int) -> Picture:
    """One slice as a radiologist sees it: uint8 (H, W, 3) on white, superior or anterior on top.

    Bone that was given is grey; the implant is tinted, with its contour. What is right of the head
    is drawn left, as seen from its feet or front; a sagittal slice has anterior on the right.

    Args:
        given: bool (I, J, K).
        implant: of the same shape.
        spacing: mm along each axis.
        name: of `SLICES`.
        index: of the slice, along the axis that it looks along.
    """
    axis = SLICES[name]
    across = [mm for n, mm in enumerate(spacing) if n != axis]
    planes = (np.take(grid, [index], axis).squeeze(axis) for grid in (given, implant))
    fields = [_upright(plane, name, across) for plane in planes]
    bone, piece = (np.clip(2 * field - 0.5, 0, 1)[..., None] for field in fields)
    picture = 255 + (GIVEN - 255) * bone
    picture += (IMPLANT - picture) * piece * TINT
    inside = fields[1] > 0.5
    if inside.any():
        away = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
        line = np.clip(LINE + 1 - away, 0, 1)[..., None]
        picture += (IMPLANT - picture) * line
    drawn: Picture = picture.round().astype(np.uint8)
    return drawn


def through(implant: Bools) -> dict[str, int]:
    """For every slice's name, the index at which it cuts most of the implant."""
    cut = {
        name: np.count_nonzero(implant, axis=tuple({0, 1, 2} - {axis}))
        for name, axis in SLICES.items()
    }
    return {name: int(counts.argmax()) for name, counts in cut.items()}


def _upright(plane: Bools, name: str, across: list[float]) -> Floats:
    """Occupancy of a slice, interpolated to square pixels: rows from the top, then columns."""
    scale: Doubles = np.array(across) * PIXELS / (np.array(plane.shape) * across).max()
    finer: Floats = ndimage.zoom(
        plane.astype(np.float32), scale, order=1, grid_mode=True, mode="nearest"
    )
    upright = finer.T[::-1]
    return upright if name == "sagittal" else upright[:, ::-1]
