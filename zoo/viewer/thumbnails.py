"""Small pictures for a notebook, at the price of three slices and a coarse surface."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo.models import Prediction
from zoo.pictures import IMPLANT, PALETTE, SLICES, Bools, Floats, bounding_box, facing_views, render
from zoo.pictures import slice_picture as drawn_slice
from zoo.viewer.cases import kind_of
from zoo.volumes import Volume, pooled

LONGEST = 96  # voxels along an axis of what a surface is drawn from
HEIGHT, GAP, COLOURS = 200, 8, 64  # pixels; colours in the picture
Index = tuple[slice, slice, slice]


def of_volume(volume: Volume) -> Image.Image:
    """A volume: a surface, unless it is a scan or labels, and a slice along each axis."""
    canonical = volume.canonical()
    if kind_of(volume) == "scan":
        return _beside(_slices(canonical, None, _coarse(canonical) != 0))
    if kind_of(volume) == "labels":
        return _beside(_slices(None, canonical, _coarse(canonical) != 0))
    coarse, spacing = _pooled(canonical)
    surface = render(coarse[bounding_box(coarse)], spacing, "oblique")
    return _beside([surface, *_slices(None, canonical, coarse)])


def of_prediction(prediction: Prediction) -> Image.Image:
    """A prediction: the shape with its implant in colour, or labels in slices of their scan."""
    predicted = prediction.volume.canonical()
    if prediction.probabilities:
        seen = prediction.probabilities.resampled.source.canonical()
        scan = seen if seen.shape == predicted.shape else None  # a sheared one has another grid
        return _beside(_slices(scan, predicted, _coarse(predicted) != 0))
    if prediction.implant is None:
        return of_volume(prediction.volume)
    implant = prediction.implant.canonical()
    (after, spacing), (change, _) = _pooled(predicted), _pooled(implant)
    box = bounding_box(after, change)
    surface = render(after[box], spacing, facing_views(after, change)[0], change[box])
    shown = change if change.any() else after
    return _beside([surface, *_slices(None, predicted, shown, implant)])


def embedded(picture: Image.Image) -> str:
    """A picture as the address of itself, for HTML."""
    content = BytesIO()
    picture.convert("RGB").quantize(COLOURS).save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _factor(volume: Volume) -> int:
    return math.ceil(max(volume.shape) / LONGEST)


def _coarse(volume: Volume) -> NDArray[Any]:
    """Every so many-th voxel."""
    step = _factor(volume)
    return volume.array[::step, ::step, ::step]


def _pooled(volume: Volume) -> tuple[Bools, tuple[float, float, float]]:
    """What is occupied on a coarse grid, and its spacing."""
    factor = _factor(volume)
    i, j, k = volume.spacing
    return pooled(volume.array != 0, factor), (i * factor, j * factor, k * factor)


def _slices(
    scan: Volume | None, shapes: Volume | None, shown: Bools, implant: Volume | None = None
) -> list[NDArray[np.uint8]]:
    """A slice along each axis, where it cuts most of what is shown on a coarse grid."""
    volume = shapes if scan is None else scan
    assert volume is not None
    low, high = (0.0, 1.0) if scan is None else np.percentile(_coarse(scan), (1, 99.5))
    pictures = []
    for name, axis in SLICES.items():
        counts = np.count_nonzero(shown, axis=tuple({0, 1, 2} - {axis}))
        place = min(int(counts.argmax()) * _factor(volume), volume.shape[axis] - 1)
        here: Index = tuple(  # type: ignore[assignment]
            slice(place, place + 1) if n == axis else slice(None) for n in range(3)
        )
        parts: list[tuple[Bools, Floats]] = []
        if shapes is not None:
            plane = shapes.array[here]
            given = np.asarray(plane != 0)
            if kind_of(shapes) == "labels" or scan is not None:
                values = np.unique(plane[plane != 0]).astype(int).tolist()
                parts = [(plane == value, PALETTE[value % len(PALETTE)]) for value in values]
        if scan is not None:
            bright = (scan.array[here].astype(np.float32) - low) / max(high - low, 1e-6)
            given = np.clip(bright, 0, 1)
        if implant is not None:
            parts = [(implant.array[here] != 0, IMPLANT)]
        pictures.append(drawn_slice(given, parts, volume.spacing, name, 0))
    return pictures


def _beside(pictures: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """Pictures side by side, of one height."""
    images = [Image.fromarray(picture) for picture in pictures]
    scaled = [
        image.resize((max(1, round(image.width * HEIGHT / image.height)), HEIGHT))
        for image in images
    ]
    width = sum(image.width for image in scaled) + GAP * (len(scaled) - 1)
    sheet = Image.new("RGB", (width, HEIGHT), "white")
    left = 0
    for image in scaled:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    return sheet
