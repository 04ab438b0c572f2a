"""Models that a model's card names: the one before it in a chain, and the one for scans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zoo.errors import ConfigError
from zoo.models import Model, Prediction
from zoo.tasks._companions import companion
from zoo.tasks.super_resolution._prediction import factors_to, predict, refined
from zoo.tasks.task import Stage
from zoo.volumes import Volume, binarise


def model_for_scans(model: Model) -> Model:
    """The model that predicts on scans with a threshold: itself, if its card names no other."""
    name = model.card.scans
    if name is None:
        return model
    found = companion(model, name)
    if found.card.task != model.card.task or found.card.input.spacing != model.card.input.spacing:
        raise ConfigError(
            f"{model.card.name}: wanted `scans` to name a model for {model.card.task} with the same"
            f" voxels, got {found.card.name}; correct the card"
        )
    return found


def predict_in_steps(
    model: Model, source: Volume, threshold: float | None, stage: Stage
) -> Prediction:
    """Predict on a volume that the earlier models of this one's chain have refined."""
    given = source.with_array(binarise(source, threshold).view(np.uint8))
    finer = _by_coarser_models(model, given, stage)
    if finer is given:  # whose values the model may know
        return predict(model, source, threshold, stage)
    prediction = predict(model, finer, None, stage)
    # The report describes what was given, not the input of the last step.
    i, j, k = (n // m for n, m in zip(prediction.volume.shape, given.shape, strict=True))
    report = {
        "voxels_in": int(np.count_nonzero(given.array)),
        "grid": prediction.report["grid"] | {"spacing_in": list(given.canonical().spacing)},
    }
    return replace(prediction, occupied=refined(given, (i, j, k)), report=report)


def _by_coarser_models(model: Model, source: Volume, stage: Stage) -> Volume:
    if model.card.after is None:
        return source
    card, coarser = model.card, companion(model, model.card.after)
    if coarser.card.task != card.task or coarser.card.input.spacing[0] <= card.input.spacing[0]:
        raise ConfigError(
            f"{card.name}: wanted `after` to name a model for {card.task} with larger voxels, got"
            f" {coarser.card.name}; correct the card"
        )
    if factors_to(source.spacing, coarser.card.input) is None:
        return source
    with stage(coarser.card.name):
        return coarser.predict(source, chain=True).volume
