"""The preview: a sheet with pictures of input, prediction and implant, written as a PNG."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.errors import VolumeError
from zoo.models import Prediction
from zoo.pictures._bounding import bounding_box
from zoo.pictures._camera import facing_views
from zoo.pictures._sheet import Row, save_sheet, trimmed
from zoo.pictures._slices import Parts, slice_picture, through
from zoo.pictures._surfaces import IMPLANT, Scene, coarse_enough
from zoo.pictures._types import Bools, Floats, Picture, Triple
from zoo.volumes import COLOURS, Volume, is_sheared, laid_back, straightened

Made = TypeVar("Made")
PALETTE = np.array(COLOURS, np.float32)


def draw_prediction(path: str | os.PathLike[str], prediction: Prediction, title: str) -> None:
    """Write a PNG that shows a prediction beside its input, axes RAS.

    A completion's is as `save_preview` describes; a super-resolution's shows both shapes and a part
    of them enlarged, a segmentation's the structures in colours and slices of the scan.

    Raises:
        WriteError: the file cannot be written.
    """
    if prediction.probabilities:
        scan, shapes, spacing = structures(prediction)
        return save_shapes(path, shapes, spacing, title, scan)
    predicted = straight(prediction.volume)
    given = np.asarray(straight(prediction.occupied).array, dtype=bool)
    if prediction.implant:
        implant = np.asarray(straight(prediction.implant).array, dtype=bool)
        save_preview(path, given, predicted.array, implant, predicted.spacing, title)
    else:
        _save_refined(
            path, given, np.asarray(predicted.array, dtype=bool), predicted.spacing, title
        )


def straight(volume: Volume) -> Volume:
    """A volume as it is drawn: axes RAS, at right angles."""
    return (straightened(volume) if is_sheared(volume) else volume).canonical()


def structures(
    prediction: Prediction, labels: Volume | None = None
) -> tuple[Floats, list[tuple[str, Bools, Floats]], Triple]:
    """A segmentation as it is drawn, on the grid of the scan that was seen, which is straight.

    Args:
        prediction: of a segmentation.
        labels: to be drawn instead of the predicted ones, on the same grid.

    Returns:
        The scan, brightness (I, J, K), axes RAS; each structure's name, mask and colour; mm.
    """
    found = prediction.volume if labels is None else labels
    assert prediction.probabilities is not None
    seen = prediction.probabilities.resampled.source
    laid = (laid_back(found, seen) if is_sheared(found) else found).canonical()
    scan, names = prediction.probabilities.seen()
    shapes = [
        (name, laid.array == value, PALETTE[value % len(PALETTE)])
        for value, name in enumerate(names, 1)
    ]
    return scan, shapes, laid.spacing


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
    that there is none. Below are three slices through most of the implant, with its contour.

    Args:
        path: where to write it.
        input: (I, J, K), axes RAS, occupied where not zero; so are the next two.
        prediction: the complete shape.
        implant: what the input lacks of it.
        spacing: mm along each axis.
        title: a line below the pictures.

    Raises:
        VolumeError: the three volumes differ in shape.
        WriteError: the file cannot be written.
    """
    for volume in (prediction, implant):
        if volume.shape != input.shape:
            raise VolumeError(
                f"a preview needs volumes of one shape, got {input.shape} and {volume.shape}"
            )
    box = bounding_box(input, prediction, implant)
    given, complete, added = (volume[box].astype(bool) for volume in (input, prediction, implant))
    coarser, (before, after, change) = coarse_enough(spacing, given, complete, added)
    views = facing_views(after, change)
    makers = [partial(Scene.of, coarser, before), partial(Scene.of, coarser, after, change)]
    if change.any():
        makers.append(partial(_enlarged, implant, spacing))
    rows = []
    for view, (first, second, *third) in zip(views, _seen(_made(makers), views), strict=True):
        alone = trimmed(third) if third else ["no implant"]
        rows.append(Row([view, "", ""], [*trimmed([first, second]), *alone]))
    shown = added if change.any() else complete
    rows.append(_slices(given, [(added, IMPLANT)], shown, spacing))
    headings = ("input", "prediction, implant coloured", "implant, enlarged")
    save_sheet(path, headings, rows, title)


def _save_refined(
    path: str | os.PathLike[str], input: Bools, predicted: Bools, spacing: Triple, title: str
) -> None:
    """Super-resolution: input and prediction from two sides, a part of both, and slices."""
    box = bounding_box(input, predicted)
    before, after = input[box], predicted[box]
    coarser, grids = coarse_enough(spacing, before, after)
    scenes = [Scene.of(coarser, grid) for grid in grids]
    # The octant that faces an oblique view, from below: of a head, half a face.
    i, j, k = (n // 2 for n in after.shape)
    facing = slice(i, None), slice(j, None), slice(0, k)
    closer, parts = coarse_enough(spacing, before[facing], after[facing])
    details = trimmed([Scene.of(closer, part).picture("oblique") for part in parts])
    views, names = ("oblique", "left"), ("input", "prediction")
    rows = [
        Row([view, "", f"{part}, enlarged"], [*trimmed(pair), detail])
        for view, part, pair, detail in zip(
            views, names, _seen(scenes, views), details, strict=True
        )
    ]
    rows.append(_slices(before, [(after, IMPLANT)], after, spacing))
    save_sheet(path, ("input", "prediction", "a part of both"), rows, title)


def save_shapes(
    path: str | os.PathLike[str],
    shapes: Sequence[tuple[str, Bools, Floats]],
    spacing: Triple,
    title: str,
    scan: Floats | None = None,
) -> None:
    """Write a PNG of shapes in colours from three sides, with their names, and of three slices.

    Args:
        path: where to write it.
        shapes: each with its name and its colour; bool (I, J, K), axes RAS.
        spacing: mm along each axis.
        title: a line below the pictures.
        scan: what the slices show besides, (I, J, K), brightness in [0, 1]; without a shape there
            must be one.

    Raises:
        WriteError: the file cannot be written.
    """
    parts = [(shape, colour) for _, shape, colour in shapes]
    nothing = np.zeros_like(parts[0][0] if scan is None else scan, bool)
    anything = np.logical_or.reduce([nothing, *(shape for shape, _ in parts)])
    views = ("front", "left", "oblique back left")
    pictures: list[Picture | str] = ["nothing found"] * len(views)
    if anything.any():
        box = bounding_box(anything)
        coarser, grids = coarse_enough(spacing, *(shape[box] for shape, _ in parts))
        coloured = [(grid, colour) for grid, (_, colour) in zip(grids, parts, strict=True)]
        scene = Scene.coloured(coarser, np.zeros_like(grids[0]), coloured)
        pictures = [part for view in views for part in trimmed([scene.picture(view)])]
    rows = [Row(list(views), pictures)]
    rows.append(_slices(anything if scan is None else scan, parts, anything, spacing))
    legend = [(name, colour) for name, _, colour in shapes]
    save_sheet(path, ("", "", ""), rows, title, legend)


def _seen(scenes: Sequence[Scene], views: Sequence[str]) -> list[list[Picture]]:
    """For every view a list with a picture of each scene."""
    pictures = _made([partial(scene.picture, view) for view in views for scene in scenes])
    return [pictures[n : n + len(scenes)] for n in range(0, len(pictures), len(scenes))]


def _made(makers: Sequence[Callable[[], Made]]) -> list[Made]:
    """What each of these returns; made side by side, on all cores."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(lambda make: make(), makers))


def _slices(given: NDArray[Any], parts: Parts, shown: Bools, spacing: Triple) -> Row:
    """A row of three slices, each where it cuts most of what is to be shown."""
    indices = through(shown)
    makers = [partial(slice_picture, given, parts, spacing, *named) for named in indices.items()]
    return Row(list(indices), [*_made(makers)])


def _enlarged(implant: Bools, spacing: Triple) -> Scene:
    """The implant alone, at the best resolution that is drawn."""
    finer, (close,) = coarse_enough(spacing, implant[bounding_box(implant)])
    return Scene.of(finer, close, close)
