"""Completion: predicts the complete shape from a defective one.

What it adds, cleaned of specks, is the implant.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.anatomy import Threshold, assess, doubts_of_view
from zoo.cards import Card
from zoo.evaluation import Scoring, Settings
from zoo.models import Model, Prediction
from zoo.tasks._plausibility import doubts_of_skull
from zoo.tasks._reference_inputs import skull, vault
from zoo.tasks.completion._options import CompletionOptions, CompletionSettings
from zoo.tasks.completion._plausibility import doubts_of_implant
from zoo.tasks.completion._prediction import predict, trial
from zoo.tasks.task import Bools, Stage, Task, Workload
from zoo.volumes import Volume

if TYPE_CHECKING:
    from zoo.training import Training

__all__ = ["TASK", "Completion"]


class Completion(Task):
    """Predicts the complete shape, which contains all of the input, on the input's own grid."""

    prediction_options = CompletionOptions
    settings_class = CompletionSettings
    derivatives = MappingProxyType(
        {
            "volume": "desc-complete_mask",
            "implant": "desc-implant_mask",
            "uncertainty": "desc-implant_probseg",
        }
    )

    def predict(
        self, model: Model, source: Volume, threshold: Threshold, options: Any, stage: Stage
    ) -> Prediction:
        return predict(model, source, threshold, options, stage)

    def doubts(
        self, model: Model, source: Volume, threshold: Threshold, prediction: Prediction
    ) -> list[str]:
        if model.card.input.extent is None:
            return []
        doubts = doubts_of_skull(source, threshold, prediction, model.card.input)
        if not isinstance(threshold, str):  # with "auto", the bone's own warnings say it
            given = prediction.occupied.canonical()
            doubts += doubts_of_view(np.asarray(given.array, dtype=bool), given.spacing)
        return doubts + doubts_of_implant(prediction)

    def assess(self, prediction: Prediction) -> tuple[dict[str, Any], list[str]]:
        if prediction.implant is None or not prediction.implant.array.any():
            return {}, []
        facts, warnings = assess(prediction.implant, prediction.occupied)
        return {"implant": facts}, warnings

    def trial(
        self, model: Model, source: Volume, threshold: Threshold
    ) -> tuple[Bools, Callable[[Bools], object]]:
        return trial(model, source, threshold)

    def reference_input(self, card: Card) -> Volume:
        # A ball is no skull to a network that knows where in a voxel bone ends.
        return skull() if card.input.kind == "coverage" else vault(card.input.spacing)

    def training(self) -> type[Training]:
        from zoo.tasks.completion._training import CompletionTraining

        return CompletionTraining

    def scoring(self, card: Card, settings: Settings) -> Scoring:
        assert isinstance(settings, CompletionSettings)
        from zoo.tasks.completion._scoring import CompletionScoring

        return CompletionScoring(settings)

    def benchmark(self, name: str) -> Workload:
        from zoo.tasks._workloads import ForcedWorkload

        return ForcedWorkload("sparse-completion", with_parts=True)


TASK = Completion()
