"""The sheet: pictures in columns under headings, with a title and a legend, written as a PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from zoo.pictures._bounding import span
from zoo.pictures._types import Floats, Picture
from zoo.volumes import atomic_path

BACKGROUND, INK, FAINT = (255, 255, 255), (40, 44, 52), (120, 126, 136)

WIDTH, MARGIN, HEADING, CAPTION, ROW = 1200, 24, 48, 48, 384  # pixels, of the sheet
COMPRESSION = 4  # a fifth larger than at 6, in half the time
LABEL = 36  # pixels kept free above each row
ANTIALIASING = 0.6  # pixels of a rendering, standard deviation


@dataclass(frozen=True)
class Row:
    """One row of a sheet: pictures, or words instead of one, and a caption for each."""

    captions: list[str]
    pictures: list[Picture | str]


def save_sheet(
    path: str | os.PathLike[str],
    headings: tuple[str, ...],
    rows: Sequence[Row],
    title: str,
    legend: Sequence[tuple[str, Floats]] = (),
    band: Image.Image | None = None,
) -> None:
    """Write a sheet as a PNG, whole or not at all.

    Args:
        path: where to write it.
        headings: of the columns, above them.
        rows: one below the other.
        title: a line below them.
        legend: names and their colours, in place of headings that are empty.
        band: a picture as wide as the sheet, between the rows and the title.

    Raises:
        WriteError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        _sheet(headings, rows, title, legend, band).save(
            temporary, "PNG", compress_level=COMPRESSION
        )


def _sheet(
    headings: tuple[str, ...],
    rows: Sequence[Row],
    title: str,
    legend: Sequence[tuple[str, Floats]],
    band: Image.Image | None,
) -> Image.Image:
    """The pictures, laid out in columns under their headings."""
    end = HEADING + len(rows) * ROW
    extra = band.height if band else 0
    sheet = Image.new("RGB", (WIDTH, end + extra + CAPTION), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    width = (WIDTH - (len(headings) + 1) * MARGIN) // len(headings)
    for column, heading in enumerate(headings):
        middle = MARGIN + column * (width + MARGIN) + width // 2
        draw.text((middle, HEADING / 2), heading, INK, ImageFont.load_default(20), "mm")
        for number, row in enumerate(rows):
            top, picture = HEADING + number * ROW, row.pictures[column]
            corner = middle - width // 2, top + 4
            draw.text(corner, row.captions[column], FAINT, ImageFont.load_default(15))
            level = top + (LABEL + ROW) // 2
            if isinstance(picture, str):
                draw.text((middle, level), picture, FAINT, ImageFont.load_default(17), "mm")
                continue
            image = _fit(picture, width, ROW - LABEL)
            sheet.paste(image, (middle - image.width // 2, level - image.height // 2))
    for number, (name, colour) in enumerate(legend):
        middle = round(WIDTH * (number + 0.5) / len(legend))
        red, green, blue = (int(value) for value in colour)
        draw.text((middle, HEADING / 2), name, (red, green, blue), ImageFont.load_default(20), "mm")
    if band:
        sheet.paste(band, (0, end))
    bottom = sheet.height - CAPTION / 2
    draw.text((WIDTH / 2, bottom), title, INK, ImageFont.load_default(17), "mm")
    return sheet


def trimmed(pictures: Sequence[Picture]) -> list[Picture | str]:
    """Pictures of one size without their white borders; one frame for all keeps them comparable."""
    ink = np.min(pictures, axis=(0, 3)) < 255
    if not ink.any():
        return list(pictures)
    rows, columns = span(ink.any(axis=1)), span(ink.any(axis=0))
    return [picture[rows, columns] for picture in pictures]


def _fit(picture: Picture, width: int, height: int) -> Image.Image:
    """A picture scaled so that it just fits."""
    image = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(ANTIALIASING))
    scale = min(width / image.width, height / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
