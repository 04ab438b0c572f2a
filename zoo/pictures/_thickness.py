"""A map of an implant's thickness: seen from outside, with a scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from zoo.anatomy import sheet
from zoo.pictures._bounding import bounding_box
from zoo.pictures._ramp import coloured
from zoo.pictures._types import Bools, Triple

SIZE, MARGIN, SCALE = 480, 16, 90  # pixels: of the map, around it, of the scale beside it


def thickness_map(implant: Bools, spacing: Triple) -> Image.Image | None:
    """Draw the thickness along the axis that the implant is thinnest along.

    Args:
        implant: bool (I, J, K), axes RAS, of which a voxel must be set.
        spacing: mm along each axis.

    Returns:
        A picture; None for an implant without a middle sheet.
    """
    box = bounding_box(implant)
    part = implant[box]
    found, values = sheet(part, spacing)
    if not len(values):
        return None
    axis = int(np.argmin(_extents(part, spacing)))
    depth = np.zeros(part.shape, np.float32)
    depth[found] = values
    seen, covered = depth.max(axis=axis), np.asarray(part.any(axis=axis))
    others = [n for n in range(3) if n != axis]
    step = min(spacing[n] for n in others)
    shape = tuple(max(1, round(seen.shape[m] * spacing[n] / step)) for m, n in enumerate(others))
    seen = _spread(seen)
    index = [
        np.minimum(np.arange(n) * s // n, s - 1) for n, s in zip(shape, seen.shape, strict=True)
    ]
    seen, covered = seen[np.ix_(*index)], covered[np.ix_(*index)]
    low, high = np.percentile(values, (2, 98))
    colours = coloured(seen, float(low), float(high))
    colours[~covered] = 255
    picture = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 0, 2)[::-1]))
    scale = SIZE / max(picture.size)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
    )
    drawn = Image.new("RGB", (SIZE + SCALE + 3 * MARGIN, SIZE + 2 * MARGIN), "white")
    drawn.paste(picture, (MARGIN, MARGIN))
    _draw_scale(drawn, float(low), float(high))
    return drawn


def _extents(part: Bools, spacing: Triple) -> NDArray[np.floating]:
    """How thick a shell is along each axis, mm: its volume by the area that it covers."""
    count = np.count_nonzero(part)
    lines = [np.count_nonzero(part.any(axis=n)) for n in range(3)]
    return np.array([count / n * length for n, length in zip(lines, spacing, strict=True)])


def _spread(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every value where there is none, from the nearest one."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(
        values == 0, return_distances=False, return_indices=True
    )
    spread: NDArray[np.float32] = values[tuple(np.asarray(nearest))]
    return spread


def _draw_scale(picture: Image.Image, low: float, high: float) -> None:
    draw = ImageDraw.Draw(picture)
    left, top, height = SIZE + 2 * MARGIN, MARGIN, SIZE
    values = np.linspace(high, low, height, dtype=np.float32)[:, None]
    bar = np.repeat(coloured(values, low, high), 18, axis=1)
    picture.paste(Image.fromarray(bar), (left, top))
    font = ImageFont.load_default(15)
    for share in (0.0, 0.5, 1.0):
        text = f"{high + share * (low - high):.1f} mm"
        draw.text((left + 24, top + share * (height - 16)), text, (40, 44, 52), font)
