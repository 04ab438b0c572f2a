"""Slices through a volume: the input in grey, with contours over it.

Volumes are (I, J, K), axes RAS; `spacing` is the size of a voxel in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.pictures._bounding import bounding_box
from zoo.pictures._types import Bools, Doubles, Floats, Picture, Triple

Parts = Sequence[tuple[Bools, Floats]]

SLICES = {"sagittal": 0, "coronal": 1, "axial": 2}  # the axis that each looks along

PIXELS = 480  # along the longer side of a picture
LINE = 1.1  # pixels to either side of a contour
GIVEN = np.array([196, 200, 206], np.float32)
TINT = 0.35  # of a part's colour inside its contour


def slice_picture(
    given: NDArray[Any],
    parts: Parts,
    spacing: Triple,
    name: str,
    index: int,
    tint: float = TINT,
) -> Picture:
    """One slice as a radiologist sees it: uint8 (H, W, 3), superior or anterior on top.

    A shape is grey on white, a scan is white where it is bright; every part is tinted, with its
    contour. The body's right is on the left, as seen from its feet or front; a sagittal slice has
    anterior on the right.

    Args:
        given: the input, (I, J, K), axes RAS: a shape as bool, or a scan as numbers in [0, 1].
        parts: what is drawn over it, bool (I, J, K), each with its colour.
        spacing: mm along each axis.
        name: one of `SLICES`.
        index: the slice's, along the axis that it looks along.
        tint: how much of a part's colour there is inside its contour.
    """
    axis = SLICES[name]
    across = [mm for n, mm in enumerate(spacing) if n != axis]

    def upright(grid: NDArray[Any]) -> Floats:
        return _upright(np.moveaxis(grid, axis, 0)[index], name, across)

    grey = upright(given)[..., None]
    if given.dtype == bool:
        picture = 255 + (GIVEN - 255) * np.clip(2 * grey - 0.5, 0, 1)
    else:
        picture = grey * np.full(3, 255, np.float32)
    for part, colour in parts:
        field = upright(part)
        picture += (colour - picture) * (np.clip(2 * field - 0.5, 0, 1) * tint)[..., None]
        inside = field > 0.5
        if inside.any():
            away = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
            picture += (colour - picture) * np.clip(LINE + 1 - away, 0, 1)[..., None]
    drawn: Picture = picture.round().astype(np.uint8)
    return drawn


def through(part: Bools) -> dict[str, int]:
    """By name, the index at which every slice cuts most of a part; the middle if there is none."""
    if not part.any():
        return {name: part.shape[axis] // 2 for name, axis in SLICES.items()}
    box = bounding_box(part)
    within = np.ascontiguousarray(part[box])
    cut = {
        name: np.count_nonzero(within, axis=tuple({0, 1, 2} - {axis}))
        for name, axis in SLICES.items()
    }
    return {name: box[SLICES[name]].start + int(counts.argmax()) for name, counts in cut.items()}


def _upright(plane: NDArray[Any], name: str, across: list[float]) -> Floats:
    """Occupancy of a slice, interpolated to square pixels: rows from the top, then columns."""
    scale: Doubles = np.array(across) * PIXELS / (np.array(plane.shape) * across).max()
    scale = np.maximum(scale, 1 / np.array(plane.shape))  # a pixel at least
    finer: Floats = ndimage.zoom(
        plane.astype(np.float32), scale, order=1, grid_mode=True, mode="nearest"
    )
    upright = finer.T[::-1]
    return upright if name == "sagittal" else upright[:, ::-1]
