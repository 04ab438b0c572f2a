"""Predicts the complete shape and the implant for a volume."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.models import Model, Prediction
from zoo.networks import GeneratedCoverage, generated_coverage, generated_occupancy
from zoo.tasks.completion._surface import filled
from zoo.tasks.task import Bools, Stage
from zoo.volumes import (
    STEPS,
    Resampled,
    Volume,
    binarise,
    laid_out_like,
    resample_coverage,
    resample_mask,
    without_specks,
)


def predict(model: Model, source: Volume, threshold: float | None, stage: Stage) -> Prediction:
    """Predict the complete volume, and the implant cleaned of specks, on the input's own grid."""
    if model.card.input.kind == "coverage":
        return _predict_coverage(model, source, threshold, stage)
    with stage("conform"):
        occupied = binarise(source, threshold)
        resampled = resample_mask(source.with_array(occupied), model.card.input)
    with stage("network"):
        added = run(model, resampled.array) & ~resampled.array
    with stage("restore"):
        complete = resampled.back(added) | occupied
        implant = resampled.back(without_specks(added)) & ~occupied
    return _made(source, complete, implant, occupied, resampled)


def _predict_coverage(
    model: Model, source: Volume, threshold: float | None, stage: Stage
) -> Prediction:
    """The same for a network that predicts coverage, whose surface is finer than its voxels."""
    with stage("conform"):
        occupied = binarise(source, threshold)
        given = source.with_array(occupied)
        resampled = resample_coverage(given, model.card.input)
    with stage("network"):
        predicted = cover(model, resampled.array)
    with stage("restore"):
        grid = given.canonical()
        implant = np.zeros_like(grid.array)  # in the same memory order
        found = filled(predicted, resampled.array, resampled.spacing, grid.spacing, grid.shape)
        if found is not None:
            box, inside = found
            implant[box] = inside & ~grid.array[box]
        implant = source.restore(implant)
    return _made(source, occupied | implant, implant, occupied, resampled)


def _made(
    source: Volume, complete: Bools, implant: Bools, occupied: Bools, resampled: Resampled
) -> Prediction:
    """The prediction from masks (I, J, K) on the source's own grid."""
    volume, added, given = (
        source.with_array(mask.view(np.uint8)) for mask in (complete, implant, occupied)
    )
    report = {"voxels_in": int(np.count_nonzero(occupied)), "grid": resampled.facts()}
    return Prediction(volume, added, given, report)


def cover(model: Model, covered: NDArray[np.uint8]) -> GeneratedCoverage:
    """Run the network on the coverage of a grid, uint8 (I, J, K) in steps of 1/255."""
    with torch.inference_mode():
        return generated_coverage(model.network, covered, model.backend, model.device)


def trial(
    model: Model, source: Volume, threshold: float | None
) -> tuple[Bools, Callable[[Bools], object]]:
    """Prepare a trial run; see `Task.trial`."""
    occupied = source.with_array(binarise(source, threshold))
    if model.card.input.kind == "coverage":
        covered = resample_coverage(occupied, model.card.input).array
        return covered > 0, lambda grid: cover(model, grid * np.uint8(STEPS))
    return resample_mask(occupied, model.card.input).array, partial(run, model)


def run(model: Model, grid: Bools) -> Bools:
    """Run the network on bool (I, J, K) `grid`; the result is in the same memory order."""
    with torch.inference_mode():
        found = generated_occupancy(model.network, grid, model.backend, model.device)
    return laid_out_like(found, grid)
