"""Variants of a case: the same skull in other proportions, and as other scans would have it.

They are made of the voxels of the case's own files, and so are as sharp as the case is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.training import DatasetConfig

Bools = NDArray[np.bool_]
Triple = tuple[float, float, float]

SOME = 0.25  # share of variants that have thick slices, and of those that are cropped
BONE = (0.25, 0.5)  # shares of a thick slice from which it is bone


def settings(config: DatasetConfig) -> str:
    """What variants depend on, to be a part of a file's name."""
    name = f"{config.stretch:g}-{config.slice_thickness or 0:g}-{config.crop:g}"
    if config.registered or config.degrees:
        name += f"-{config.registered:g}"
    return f"{name}-{config.degrees:g}" if config.degrees else name


def varied(
    shapes: list[Bools],
    spacing: Triple,
    config: DatasetConfig,
    target: Triple,
    rng: np.random.Generator,
) -> tuple[list[Bools], Triple]:
    """A variant of several shapes on one grid.

    Args:
        shapes: bool (I, J, K), axes RAS; the others lie within the first, which is not empty.
        spacing: of their voxels, in mm.
        config: says how far to go.
        target: spacing of the model's grid, mm: variants lie on it in different ways.
        rng: the generator to draw with.

    Returns:
        The shapes, changed alike, and their spacing.
    """
    stretch = rng.uniform(1 - config.stretch, 1 + config.stretch, 3)
    i, j, k = (length * share for length, share in zip(spacing, stretch, strict=True))
    shift = rng.random(3) * target  # mm
    thick, cropped = rng.random(2) < SOME
    factor = max(round(rng.uniform(k, max(config.slice_thickness or k, k)) / k), 1)
    least = factor * rng.uniform(*BONE)
    bottom, top = rng.uniform(0, config.crop, 2)
    if thick and factor > 1:
        made = [_in_slices(shape, factor) > least for shape in shapes]
        if made[0].any():
            shapes, k = made, k * factor
    if cropped:
        count = shapes[0].shape[2]
        made = [shape[:, :, int(bottom * count) : count - int(top * count)] for shape in shapes]
        if made[0].any():
            shapes = made
    moved = (shift / (i, j, k)).astype(int)
    return [np.pad(shape, [(n, 0) for n in moved]) for shape in shapes], (i, j, k)


def _in_slices(shape: Bools, factor: int) -> NDArray[Any]:
    """How many voxels are set in each of slices that are so many voxels thick; the last may end."""
    starts = np.arange(0, shape.shape[2], factor)
    return np.add.reduceat(shape, starts, axis=2, dtype=np.uint16)
