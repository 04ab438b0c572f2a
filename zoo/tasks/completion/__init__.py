"""Completion: predicts the complete shape from a defective one.

What it adds, cleaned of specks, is the implant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo.evaluation import Scoring, Settings
from zoo.models import Card, Model, Prediction
from zoo.tasks._reference_inputs import vault
from zoo.tasks._workloads import ForcedWorkload
from zoo.tasks.completion._prediction import predict, trial
from zoo.tasks.completion._scoring import CompletionScoring
from zoo.tasks.completion._training import CompletionTraining
from zoo.tasks.task import Bools, Stage, Task, Workload
from zoo.training import Training
from zoo.volumes import Volume

__all__ = [
    "TASK",
    "Completion",
    "CompletionScoring",
    "CompletionTraining",
]


class Completion(Task):
    """Predicts the complete shape, which contains all of the input, on the input's own grid."""

    def predict(
        self, model: Model, source: Volume, threshold: float | None, options: Any, stage: Stage
    ) -> Prediction:
        return predict(model, source, threshold, stage)

    def trial(
        self, model: Model, source: Volume, threshold: float | None
    ) -> tuple[Bools, Callable[[Bools], object]]:
        return trial(model, source, threshold)

    def reference_input(self, card: Card) -> Volume:
        return vault(card.input.spacing)

    def training(self) -> type[Training]:
        return CompletionTraining

    def scoring(self, card: Card, settings: Settings) -> Scoring:
        return CompletionScoring(settings)

    def benchmark(self, name: str) -> Workload:
        return ForcedWorkload("sparse-completion", with_parts=True)


TASK = Completion()
