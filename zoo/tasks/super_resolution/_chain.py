"""A chain of models: each predicts on the prediction of the one for the next coarser grid."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from zoo.errors import ConfigError
from zoo.models import Model, Prediction, load
from zoo.tasks.super_resolution._prediction import factors_to, predict, refined
from zoo.tasks.task import Stage
from zoo.volumes import Volume, binarise

COARSER = WeakKeyDictionary[Model, Model]()  # of models that were used in a chain


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
    coarser = COARSER.get(model) or _coarser(model, model.card.after)
    COARSER[model] = coarser
    if factors_to(source.spacing, coarser.card.input) is None:
        return source
    with stage(coarser.card.name):
        return coarser.predict(source, chain=True).volume


def _coarser(model: Model, name: str) -> Model:
    """The model before this one in its chain, which shows no progress of its own."""
    card, coarser = model.card, load(name, backend=model.backend.name, device=str(model.device))
    if coarser.card.task != card.task or coarser.card.input.spacing[0] <= card.input.spacing[0]:
        raise ConfigError(
            f"{card.name}: wanted `after` to name a model for {card.task} with larger voxels, got"
            f" {coarser.card.name}; correct the card"
        )
    coarser.shows_progress = False
    return coarser
