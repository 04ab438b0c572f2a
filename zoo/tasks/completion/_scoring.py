"""Scores completion: implants and complete shapes against the ground truth."""

from __future__ import annotations

import numpy as np

from zoo.datasets import Case, CaseKind, Pair, load_pair
from zoo.evaluation import COST, Measure, Measures, Score, Settings, cost
from zoo.models import Model, Prediction
from zoo.volumes import (
    border_dice,
    dice,
    greatest_percentile,
    reconstruction_error,
    surface_distances,
)


class CompletionScore(Score):
    """The score of one completed shape; `zoo.volumes.metrics` defines the measures.

    Attributes:
        implant_dice: Dice of the implant.
        border_dice: Dice of the implant near the input.
        hausdorff_distance, hd95: distances of the implant in mm; infinite if one of the two
            implants is empty.
        complete_dice: Dice of the complete shape.
        reconstruction_error: percentage of the grid's voxels where the complete shape is wrong.
        input_kept: share of the input's occupied voxels that are occupied in the prediction.
        implant_voxels: number of voxels of the predicted implant.
    """

    implant_dice: float
    border_dice: float
    hausdorff_distance: float
    hd95: float
    complete_dice: float
    reconstruction_error: float
    input_kept: float
    implant_voxels: int


MEASURES: Measures = {
    "implant_dice": Measure("implant Dice", high=True),
    "border_dice": Measure("border Dice", high=True),
    "hd95": Measure("HD95 mm", unit="mm"),
    "hausdorff_distance": Measure("HD mm", unit="mm"),
    "complete_dice": Measure("complete Dice", high=True),
    "reconstruction_error": Measure("error %", unit="%"),
    "input_kept": Measure("input kept", high=True),
    **COST,
}


class CompletionScoring:
    """Compares implants and complete shapes with the ground truth."""

    case_kind: CaseKind = "shape"
    score_class: type[Score] = CompletionScore
    measures = MEASURES

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def score(self, model: Model, case: Case) -> tuple[Prediction, CompletionScore]:
        pair = load_pair(case, seed=self.settings.seed, threshold=self.settings.threshold)
        prediction = model.predict(pair.defective)
        return prediction, completion_score(case.name, prediction, pair)

    def is_empty(self, score: CompletionScore) -> bool:
        return score.implant_voxels == 0


def completion_score(name: str, prediction: Prediction, pair: Pair) -> CompletionScore:
    """Compare a prediction on `pair.defective` with the ground truth."""
    assert prediction.implant is not None
    complete, implant = prediction.volume.array, prediction.implant.array
    truth, spacing = pair.implant.array, pair.defective.spacing
    distances = surface_distances(implant, truth, spacing)
    kept = np.count_nonzero(np.logical_and(complete, pair.defective.array))
    return CompletionScore(
        case=name,
        implant_dice=dice(implant, truth),
        border_dice=border_dice(implant, truth, pair.defective.array, spacing),
        hausdorff_distance=greatest_percentile(distances, 100),
        hd95=greatest_percentile(distances, 95),
        complete_dice=dice(complete, pair.complete.array),
        reconstruction_error=reconstruction_error(complete, pair.complete.array),
        input_kept=int(kept) / int(np.count_nonzero(pair.defective.array)),
        implant_voxels=int(np.count_nonzero(implant)),
        **cost(prediction),
    )
