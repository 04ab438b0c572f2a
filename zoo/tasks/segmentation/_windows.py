"""The windows that a data set asks for: the intensities that set its structures apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ConfigError
from zoo.volumes import InputContract, Windows, windowed

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

BINS = 100  # of the range of intensities
FARTHEST = 0.05  # percent of the voxels at either end of the range, which are left out
COVERED = 0.97  # share of a structure's voxels that lie in the windows
CLASSES = 256  # at most
LOST = 0.01  # share of a structure that may be called air around the body
MOST = 0.5  # of the borders of axial slices, on average over scans, is bright air
BESIDE = 1  # bins on either side of a window that belong to it, too: no two patients are alike


def find_windows(structures: Mapping[str, Floats], anywhere: Floats) -> Windows:
    """The windows that hold nearly all of every structure and as little else as possible.

    The bins of a histogram are ranked by the share of their voxels that belong to the structure,
    and taken in that order until they hold enough of it. So the windows of a structure with air and
    soft tissue in it leave out what lies between the two.

    Args:
        structures: (N,), intensities of each structure's voxels, by its name.
        anywhere: (M,), intensities of voxels from everywhere in the scans.

    Returns:
        Intervals in ascending order, to three decimals.

    Raises:
        ConfigError: there is no voxel of a structure.

    Water in fat and air; the windows end with bins, of which there are a hundred:

        >>> air, fat, water = (np.full(500, hu, np.float32) for hu in (-1000, -100, 0))
        >>> find_windows({"water": water}, np.concatenate([air, fat, water]))
        ((-20.0, 0.0),)
    """
    for name, values in structures.items():
        if not len(values):
            raise ConfigError(
                f"dataset.labels: wanted some voxels of {name} in the training cases, got none;"
                " correct its name or value, or leave it out"
            )
    pooled = np.concatenate([anywhere, *structures.values()])
    low, high = np.percentile(pooled, (FARTHEST, 100 - FARTHEST)).tolist()
    edges = np.linspace(low, high, BINS + 1)
    everything = np.histogram(anywhere, edges)[0] + 1
    taken = np.zeros(BINS, bool)
    for values in structures.values():
        own = np.histogram(values, edges)[0]
        order = np.argsort(-own / everything, kind="stable")
        enough = np.searchsorted(np.cumsum(own[order]), COVERED * own.sum()) + 1
        taken[order[:enough]] = True
    taken = np.convolve(taken, np.ones(2 * BESIDE + 1), mode="same") > 0
    changes = np.diff(np.concatenate([[0], taken.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return tuple(
        (round(float(edges[start]), 3), round(float(edges[end]), 3))
        for start, end in zip(starts, ends, strict=True)
    )


def in_words(windows: Windows | None) -> str:
    """Windows as a message has them, such as `-50 to 1000`."""
    return ", ".join(f"{low:g} to {high:g}" for low, high in windows or ())


def find_exterior(
    grid: InputContract, anywhere: Floats, scans: Iterable[tuple[Floats, Labels]]
) -> InputContract:
    """Say of a contract with windows what the air around the body is, if that can be told.

    Otsu's threshold parts air from the body. Air is bright if most of the borders of axial slices
    are; it is dark if that leaves out anything. Neither may take a structure along.

    Args:
        grid: the contract so far.
        anywhere: (M,), intensities of voxels from everywhere in the scans.
        scans: intensities (I, J, K), axes RAS, and classes of some scans.

    Returns:
        The contract, with `exterior` or `bright_exterior`, or as it was.
    """
    dark, bright = _threshold(anywhere), -_threshold(-anywhere)
    dark_air = grid.model_copy(update={"exterior": dark})
    bright_air = grid.model_copy(update={"bright_exterior": bright})
    border, whole = [], np.zeros(CLASSES, np.int64)
    lost = {dark_air: whole.copy(), bright_air: whole.copy()}
    for values, classes in scans:
        edges = np.concatenate([values[[0, -1]].ravel(), values[:, [0, -1]].ravel()])
        border.append(float(np.mean(edges > bright)))
        inside = windowed(values, grid)
        whole += np.bincount(classes[inside], minlength=CLASSES)
        for side, counts in lost.items():
            counts += np.bincount(classes[inside & ~windowed(values, side)], minlength=CLASSES)
    held = [side for side, counts in lost.items() if (counts[1:] <= LOST * whole[1:]).all()]
    if bright_air in held and np.mean(border) > MOST:
        return bright_air
    return dark_air if dark_air in held and lost[dark_air].any() else grid


def _threshold(values: Floats) -> float:
    """Otsu's threshold: of all that part a histogram equally well, the lowest."""
    from skimage import filters

    return round(float(filters.threshold_otsu(values)), 3)
