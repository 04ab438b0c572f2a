"""Predicts the complete shape and the implant for a volume."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from zoo.models import Model, Prediction
from zoo.networks import generated_occupancy
from zoo.tasks.task import Bools, Stage
from zoo.volumes import Volume, binarise, laid_out_like, resample_mask, without_specks


def predict(model: Model, source: Volume, threshold: float | None, stage: Stage) -> Prediction:
    """Predict the complete volume, and the implant cleaned of specks, on the input's own grid."""
    with stage("conform"):
        occupied = binarise(source, threshold)
        resampled = resample_mask(source.with_array(occupied), model.card.input)
    with stage("network"):
        added = run(model, resampled.array) & ~resampled.array
    with stage("restore"):
        complete = resampled.back(added) | occupied
        implant = resampled.back(without_specks(added)) & ~occupied
    volume, implant_volume, given = (
        source.with_array(mask.view(np.uint8)) for mask in (complete, implant, occupied)
    )
    report = {"voxels_in": int(np.count_nonzero(occupied)), "grid": resampled.facts()}
    return Prediction(volume, implant_volume, given, report)


def trial(
    model: Model, source: Volume, threshold: float | None
) -> tuple[Bools, Callable[[Bools], object]]:
    """Prepare a trial run; see `Task.trial`."""
    occupied = source.with_array(binarise(source, threshold))
    return resample_mask(occupied, model.card.input).array, partial(run, model)


def run(model: Model, grid: Bools) -> Bools:
    """Run the network on bool (I, J, K) `grid`; the result is in the same memory order."""
    with torch.inference_mode():
        found = generated_occupancy(model.network, grid, model.backend, model.device)
    return laid_out_like(found, grid)
