"""The preview: a sheet with pictures of input, prediction and implant, written as a PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from zoo.errors import VolumeError
from zoo.files import atomic_path
from zoo.prediction import Prediction
from zoo.rendering import IMPLANT, VIEWS, Bools, Picture, Scene, Triple, coarse_enough
from zoo.slices import Parts, slice_picture, through
from zoo.volume import Volume

Box = tuple[slice, slice, slice]
Floats = NDArray[np.float32]

BACKGROUND, INK, FAINT = (255, 255, 255), (40, 44, 52), (120, 126, 136)

WIDTH, MARGIN, HEADING, CAPTION, ROW = 1200, 24, 48, 48, 384  # pixels, of the sheet
LABEL = 36  # pixels kept free above each row
ANTIALIASING = 0.6  # pixels of a rendering, standard deviation
PALETTE = np.array(
    [
        *([140, 110, 200], [222, 92, 64], [70, 130, 200], [230, 170, 50]),
        *([80, 160, 110], [200, 100, 160], [130, 120, 90], [60, 170, 180]),
    ],
    np.float32,
)


@dataclass(frozen=True)
class Row:
    """One row of a page: pictures, or words in their place, and a caption for each."""

    captions: list[str]
    pictures: list[Picture | str]


def draw_prediction(path: str | os.PathLike[str], prediction: Prediction, title: str) -> None:
    """Write a picture of a prediction, PNG, drawn with axes RAS; see `save_preview`."""
    answer = prediction.volume.canonical()
    given = np.asarray(prediction.occupied.canonical().array, dtype=bool)
    if prediction.probabilities:
        scan, labels = prediction.probabilities.seen()
        _save_labels(path, scan, labels, answer, title)
    elif prediction.implant:
        implant = np.asarray(prediction.implant.canonical().array, dtype=bool)
        save_preview(path, given, answer.array, implant, answer.spacing, title)
    else:
        _save_refined(path, given, np.asarray(answer.array, dtype=bool), answer.spacing, title)


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
    given, complete, added = (volume[box].astype(bool) for volume in (input, prediction, implant))
    coarser, (before, after, change) = coarse_enough(spacing, given, complete, added)
    views = facing_views(after, change)
    scenes = Scene.of(coarser, before), Scene.of(coarser, after, change)
    enlarged = _enlarged(implant, spacing) if change.any() else None
    rows = []
    for view in views:
        pair = _trimmed([scene.picture(view) for scene in scenes])
        alone = _trimmed([enlarged.picture(view)]) if enlarged else ["no implant"]
        rows.append(Row([view, "", ""], [*pair, *alone]))
    rows.append(_slices(given, [(added, IMPLANT)], added if enlarged else complete, spacing))
    headings = ("input", "prediction, implant coloured", "implant, enlarged")
    _save(path, headings, rows, title)


def _save_refined(
    path: str | os.PathLike[str], input: Bools, answer: Bools, spacing: Triple, title: str
) -> None:
    """Super-resolution: input and answer from two sides, a part of both, and slices."""
    box = _box(input, answer)
    before, after = input[box], answer[box]
    coarser, grids = coarse_enough(spacing, before, after)
    scenes = [Scene.of(coarser, grid) for grid in grids]
    # The octant that faces an oblique view, from below: of a head, half a face.
    i, j, k = (n // 2 for n in after.shape)
    facing = slice(i, None), slice(j, None), slice(0, k)
    closer, parts = coarse_enough(spacing, before[facing], after[facing])
    details = _trimmed([Scene.of(closer, part).picture("oblique") for part in parts])
    rows = [
        Row(
            [view, "", f"{part}, enlarged"],
            [*_trimmed([scene.picture(view) for scene in scenes]), detail],
        )
        for view, part, detail in zip(
            ("oblique", "left"), ("input", "answer"), details, strict=True
        )
    ]
    rows.append(_slices(before, [(after, IMPLANT)], after, spacing))
    _save(path, ("input", "answer", "a part of both"), rows, title)


def _save_labels(
    path: str | os.PathLike[str],
    scan: Floats,
    labels: tuple[str, ...],
    answer: Volume,
    title: str,
) -> None:
    """Segmentation: the structures from two sides with their names, and slices of the scan."""
    values = range(1, len(labels) + 1)
    parts = [(answer.array == value, PALETTE[value % len(PALETTE)]) for value in values]
    anything = np.logical_or.reduce([part for part, _ in parts])
    box = _box(anything)
    coarser, grids = coarse_enough(answer.spacing, *(part[box] for part, _ in parts))
    coloured = [(grid, colour) for grid, (_, colour) in zip(grids, parts, strict=True)]
    views = ("front", "left", "oblique back left")
    pictures: list[Picture | str] = ["nothing found"] * len(views)
    if anything.any():
        scene = Scene.coloured(coarser, np.zeros_like(grids[0]), coloured)
        pictures = [part for view in views for part in _trimmed([scene.picture(view)])]
    rows = [Row(list(views), pictures)]
    rows.append(_slices(scan, parts, anything, answer.spacing))
    legend = [(name, colour) for name, (_, colour) in zip(labels, parts, strict=True)]
    _save(path, ("", "", ""), rows, title, legend)


def _slices(given: NDArray[Any], parts: Parts, through_what: Bools, spacing: Triple) -> Row:
    cuts = through(through_what)
    pictures = [slice_picture(given, parts, spacing, name, at) for name, at in cuts.items()]
    return Row(list(cuts), [*pictures])


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


def _save(
    path: str | os.PathLike[str],
    headings: tuple[str, ...],
    rows: Sequence[Row],
    title: str,
    legend: Sequence[tuple[str, Floats]] = (),
) -> None:
    with atomic_path(path) as temporary:
        _sheet(headings, rows, title, legend).save(temporary, format="PNG")


def _sheet(
    headings: tuple[str, ...],
    rows: Sequence[Row],
    title: str,
    legend: Sequence[tuple[str, Floats]],
) -> Image.Image:
    """Lay the pictures out on a page, in columns under their headings."""
    sheet = Image.new("RGB", (WIDTH, HEADING + len(rows) * ROW + CAPTION), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    cell = (WIDTH - (len(headings) + 1) * MARGIN) // len(headings)
    for column, heading in enumerate(headings):
        middle = MARGIN + column * (cell + MARGIN) + cell // 2
        draw.text((middle, HEADING / 2), heading, INK, ImageFont.load_default(20), "mm")
        for number, row in enumerate(rows):
            top, picture = HEADING + number * ROW, row.pictures[column]
            corner = middle - cell // 2, top + 4
            draw.text(corner, row.captions[column], FAINT, ImageFont.load_default(15))
            level = top + (LABEL + ROW) // 2
            if isinstance(picture, str):
                draw.text((middle, level), picture, FAINT, ImageFont.load_default(17), "mm")
                continue
            image = _fit(picture, cell, ROW - LABEL)
            sheet.paste(image, (middle - image.width // 2, level - image.height // 2))
    for number, (name, colour) in enumerate(legend):
        middle = round(WIDTH * (number + 0.5) / len(legend))
        red, green, blue = (int(value) for value in colour)
        draw.text((middle, HEADING / 2), name, (red, green, blue), ImageFont.load_default(20), "mm")
    bottom = sheet.height - CAPTION / 2
    draw.text((WIDTH / 2, bottom), title, INK, ImageFont.load_default(17), "mm")
    return sheet


def _trimmed(pictures: Sequence[Picture]) -> list[Picture | str]:
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
