"""The preview: a sheet with pictures of input, prediction and implant, written as a PNG."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from zoo.errors import VolumeError
from zoo.files import atomic_path
from zoo.prediction import Prediction
from zoo.rendering import VIEWS, Bools, Picture, Scene, Triple, coarse_enough
from zoo.slices import slice_picture, through

Box = tuple[slice, slice, slice]

BACKGROUND, INK, FAINT = (255, 255, 255), (40, 44, 52), (120, 126, 136)

WIDTH, MARGIN, HEADING, CAPTION, ROW = 1200, 24, 48, 48, 384  # pixels, of the sheet
LABEL = 36  # pixels kept free above each row
ANTIALIASING = 0.6  # pixels of a rendering, standard deviation


def draw_prediction(path: str | os.PathLike[str], prediction: Prediction, title: str) -> None:
    """`save_preview` of a prediction, in its input's own grid with axes RAS."""
    complete = prediction.volume.canonical()
    given = prediction.occupied.canonical().array
    implant = prediction.implant.canonical().array if prediction.implant else np.zeros_like(given)
    save_preview(path, given, complete.array, implant, complete.spacing, title)


def save_preview(
    path: str | os.PathLike[str],
    input: Bools,
    prediction: Bools,
    implant: Bools,
    spacing: Triple,
    title: str = "",
) -> None:
    """Write a PNG 1200 pixels wide: three columns (input, prediction, implant), two rows of views.

    The views are those that face the implant. The last column shows the implant enlarged, or says
    that there is none. Below, three slices through the middle of the implant, its contour drawn.

    Raises:
        VolumeError: the three volumes differ in shape.
        WriteError: the file cannot be written.
    """
    for volume in (prediction, implant):
        if volume.shape != input.shape:
            raise VolumeError(
                f"a preview needs volumes of one shape, got {input.shape} and {volume.shape}"
            )
    box = _box(input, prediction, implant)
    given, complete, added = (volume[box] for volume in (input, prediction, implant))
    coarser, (before, after, change) = coarse_enough(spacing, given, complete, added)
    views = facing_views(after, change)
    scenes = Scene.of(coarser, before), Scene.of(coarser, after, change)
    enlarged = _enlarged(implant, spacing) if change.any() else None
    columns: dict[str, list[Picture | None]] = {
        "input": [],
        "prediction, implant coloured": [],
        "implant, enlarged": [],
    }
    for view in views:
        pair = _trimmed([scene.picture(view) for scene in scenes])
        alone = _trimmed([enlarged.picture(view)]) if enlarged else [None]
        for pictures, picture in zip(columns.values(), [*pair, *alone], strict=True):
            pictures.append(picture)
    cuts = through(added if enlarged else complete)
    slices = {
        name: slice_picture(given, added, spacing, name, index) for name, index in cuts.items()
    }
    with atomic_path(path) as temporary:
        _sheet(columns, views, slices, title).save(temporary, format="PNG")


def facing_views(occupied: Bools, implant: Bools) -> tuple[str, str]:
    """An oblique and a straight view from the side of `occupied` that the implant lies on."""
    if not implant.any():
        return "oblique", "left"
    box = _box(occupied)
    middle = np.array([np.mean(np.flatnonzero(profile)) for profile in _profiles(implant)])
    start, stop = np.array([(edge.start, edge.stop) for edge in box]).T
    outward = (middle + 0.5 - start) / (stop - start) - 0.5
    facing = {name: float(np.dot(direction, outward)) for name, direction in VIEWS.items()}
    oblique = max((name for name in VIEWS if "oblique" in name), key=facing.__getitem__)
    straight = max(("left", "right", "front", "back", "top"), key=facing.__getitem__)
    return oblique, straight


def _enlarged(implant: Bools, spacing: Triple) -> Scene:
    """The implant alone, at the best resolution that is drawn."""
    finer, (close,) = coarse_enough(spacing, implant[_box(implant)])
    return Scene.of(finer, close, close)


def _profiles(occupied: Bools) -> tuple[Bools, Bools, Bools]:
    """Which indices along I, J and K hold anything."""
    plane: Bools = np.any(occupied, axis=0)
    return np.any(occupied, axis=(1, 2)), np.any(plane, axis=1), np.any(plane, axis=0)


def _box(*volumes: Bools) -> Box:
    """Slices of the occupied part with a margin of one voxel; everything if nothing is occupied."""
    i, j, k = (
        _span(np.logical_or.reduce(alike)) for alike in zip(*map(_profiles, volumes), strict=True)
    )
    return i, j, k


def _span(profile: Bools) -> slice:
    if not profile.any():
        return slice(0, len(profile))
    low, high = np.flatnonzero(profile)[[0, -1]]
    return slice(max(int(low) - 1, 0), min(int(high) + 2, len(profile)))


def _sheet(
    columns: dict[str, list[Picture | None]],
    views: tuple[str, ...],
    slices: dict[str, Picture],
    title: str,
) -> Image.Image:
    """Lay the pictures out on a page; `columns` maps a heading to one picture for each view."""
    sheet = Image.new("RGB", (WIDTH, HEADING + (len(views) + 1) * ROW + CAPTION), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    cell = (WIDTH - (len(columns) + 1) * MARGIN) // len(columns)
    rows = [*zip(*columns.values(), strict=True), tuple(slices.values())]
    for row, pictures in enumerate(rows):
        level = HEADING + row * ROW + (LABEL + ROW) // 2
        for column, picture in enumerate(pictures):
            middle = _middle(column, cell)
            if picture is None:
                draw.text((middle, level), "no implant", FAINT, ImageFont.load_default(17), "mm")
                continue
            image = _fit(picture, cell, ROW - LABEL)
            sheet.paste(image, (middle - image.width // 2, level - image.height // 2))
    for column, (heading, name) in enumerate(zip(columns, slices, strict=True)):
        middle = _middle(column, cell)
        draw.text((middle, HEADING / 2), heading, INK, ImageFont.load_default(20), "mm")
        corner = middle - cell // 2, HEADING + len(views) * ROW + 4
        draw.text(corner, name, FAINT, ImageFont.load_default(15))
    for row, view in enumerate(views):
        draw.text((MARGIN, HEADING + row * ROW + 4), view, FAINT, ImageFont.load_default(15))
    bottom = sheet.height - CAPTION / 2
    draw.text((WIDTH / 2, bottom), title, INK, ImageFont.load_default(17), "mm")
    return sheet


def _middle(column: int, cell: int) -> int:
    return MARGIN + column * (cell + MARGIN) + cell // 2


def _trimmed(pictures: Sequence[Picture]) -> list[Picture]:
    """Cut white borders off pictures of one size by one frame, so that they stay comparable."""
    ink = np.min(pictures, axis=(0, 3)) < 255
    if not ink.any():
        return list(pictures)
    rows, columns = _span(ink.any(axis=1)), _span(ink.any(axis=0))
    return [picture[rows, columns] for picture in pictures]


def _fit(picture: Picture, width: int, height: int) -> Image.Image:
    image = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(ANTIALIASING))
    scale = min(width / image.width, height / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
