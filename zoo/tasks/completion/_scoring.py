"""Scores completion: implants and complete shapes against the ground truth."""

from __future__ import annotations

import numpy as np

from zoo.datasets import Case, CaseKind, Pair, load_pair
from zoo.evaluation import COST, Measure, Measures, Score, cost
from zoo.models import Model, Prediction
from zoo.tasks.completion._options import CompletionSettings
from zoo.tasks.completion._plausibility import doubts_of_complete
from zoo.volumes import (
    Volume,
    border_dice,
    dice,
    greatest_percentile,
    pooled_percentile,
    reconstruction_error,
    roughness,
    surface_distances,
)


class CompletionScore(Score):
    """The score of one completed shape; `zoo.volumes.metrics` defines the measures.

    Attributes:
        implant_dice: Dice of the implant.
        border_dice: Dice of the implant near the input.
        hausdorff_distance, hd95, pooled_hd95: distances of the implant in mm, the last one as the
            script of the AutoImplant challenge takes it; infinite if one of the two implants is
            empty.
        roughness, true_roughness: of the surfaces of the implant and of the true one, in mm.
        complete_dice: Dice of the complete shape.
        reconstruction_error: percentage of the grid's voxels where the complete shape is wrong.
        input_kept: share of the input's occupied voxels that are occupied in the prediction.
        implant_voxels: number of voxels of the predicted implant.
        implant_ml: its volume.
    """

    implant_dice: float
    border_dice: float
    hausdorff_distance: float
    hd95: float
    pooled_hd95: float
    roughness: float
    true_roughness: float
    complete_dice: float
    reconstruction_error: float
    input_kept: float
    implant_voxels: int
    implant_ml: float


MEASURES: Measures = {
    "implant_dice": Measure("implant Dice", high=True),
    "border_dice": Measure("border Dice", high=True),
    "hd95": Measure("HD95 mm", unit="mm"),
    "pooled_hd95": Measure("pooled HD95 mm", unit="mm", minor=True),
    "hausdorff_distance": Measure("HD mm", unit="mm", minor=True),
    "implant_ml": Measure("implant ml", unit="ml"),
    "roughness": Measure("roughness mm", unit="mm"),
    "true_roughness": Measure("true roughness mm", unit="mm", minor=True),
    "complete_dice": Measure("complete Dice", high=True, minor=True),
    "reconstruction_error": Measure("error %", unit="%", minor=True),
    "input_kept": Measure("input kept", high=True, minor=True),
    **COST,
}


class CompletionScoring:
    """Compares implants and complete shapes with the ground truth."""

    case_kind: CaseKind = "shape"
    score_class: type[Score] = CompletionScore
    measures = MEASURES

    def __init__(self, settings: CompletionSettings) -> None:
        self.settings = settings

    def score(self, model: Model, case: Case) -> tuple[Prediction, CompletionScore]:
        pair = self._pair(case)
        prediction = self._predict(model, pair)
        if not case.has_defect:
            prediction.report["warnings"] += doubts_of_complete(pair.complete)
        return prediction, completion_score(case.name, prediction, pair)

    def compared(self, model: Model, case: Case) -> tuple[Prediction, Volume]:
        pair = self._pair(case)
        return self._predict(model, pair), pair.implant

    def _predict(self, model: Model, pair: Pair) -> Prediction:
        return model.predict(pair.defective, passes=self.settings.passes)

    def _pair(self, case: Case) -> Pair:
        return load_pair(
            case,
            seed=self.settings.seed,
            threshold=self.settings.threshold,
            defects=self.settings.defects,
        )

    def is_empty(self, score: CompletionScore) -> bool:
        return score.implant_voxels == 0


def completion_score(name: str, prediction: Prediction, pair: Pair) -> CompletionScore:
    """Compare a prediction on `pair.defective` with the ground truth."""
    assert prediction.implant is not None
    complete, implant = prediction.volume.array, prediction.implant.array
    truth, spacing = pair.implant.array, pair.defective.spacing
    distances = surface_distances(implant, truth, spacing)
    voxels = int(np.count_nonzero(implant))
    kept = np.count_nonzero(np.logical_and(complete, pair.defective.array))
    return CompletionScore(
        case=name,
        implant_dice=dice(implant, truth),
        border_dice=border_dice(implant, truth, pair.defective.array, spacing),
        hausdorff_distance=greatest_percentile(distances, 100),
        hd95=greatest_percentile(distances, 95),
        pooled_hd95=pooled_percentile(distances, 95),
        roughness=roughness(implant, pair.defective.array, spacing),
        true_roughness=roughness(truth, pair.defective.array, spacing),
        complete_dice=dice(complete, pair.complete.array),
        reconstruction_error=reconstruction_error(complete, pair.complete.array),
        input_kept=int(kept) / int(np.count_nonzero(pair.defective.array)),
        implant_voxels=voxels,
        implant_ml=voxels * float(np.prod(spacing)) / 1000,
        **cost(prediction),
    )
