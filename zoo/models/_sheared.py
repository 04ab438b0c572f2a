"""Predictions on volumes whose axes are not at right angles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.anatomy import Threshold, occupied_in
from zoo.models.prediction import Prediction
from zoo.volumes import Volume, laid_back, shear, straightened

if TYPE_CHECKING:
    from zoo.models.model import Model


def predict_straight(
    model: Model, source: Volume, threshold: Threshold, options: Any, stage: Any
) -> Prediction:
    """Predict on a sheared volume by way of a straight grid; what is finer than it stays there."""
    with stage("straighten"):
        straight = straightened(source)
    prediction: Prediction = model.task.predict(model, straight, threshold, options, stage)
    seen = prediction.probabilities

    def back(volume: Volume) -> Volume:
        if volume.shape != straight.shape:
            return volume
        return replace(laid_back(volume, source), about=volume.about)

    volume, occupied = back(prediction.volume), back(prediction.occupied)
    implant = prediction.implant and back(prediction.implant)
    report = dict(prediction.report)
    if implant is not None and not isinstance(threshold, str):
        # On the way to the straight grid and back voxels of the input are lost, and others appear
        # beside it; a completion removes none, and adds what the network added.
        given, _ = occupied_in(source, threshold)
        report["voxels_in"] = int(np.count_nonzero(given))
        added = (volume.array > 0) & (occupied.array == 0)
        occupied = occupied.with_array(given.view(np.uint8))
        volume = replace(volume.with_array((added | given).view(np.uint8)), about=volume.about)
        implant = replace(implant.with_array(implant.array & ~given), about=implant.about)
    said = (
        f"the axes are not at right angles, by {shear(source):.1f} degrees, as of a tilted gantry:"
        " resampled to a straight grid"
    )
    return replace(
        prediction,
        volume=volume,
        implant=implant,
        occupied=occupied,
        probabilities=seen and replace(seen, sheared=source),
        uncertainty=prediction.uncertainty and back(prediction.uncertainty),
        report={**report, "warnings": [said, *report.get("warnings", [])]},
    )
