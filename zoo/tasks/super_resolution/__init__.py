"""Super-resolution: predicts the same shape on a grid of smaller voxels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zoo.cards import Card
from zoo.evaluation import Scoring, Settings
from zoo.models import Model, Prediction
from zoo.tasks._reference_inputs import vault
from zoo.tasks.super_resolution._chain import predict_in_steps
from zoo.tasks.super_resolution._options import SuperResolutionOptions, SuperResolutionSettings
from zoo.tasks.super_resolution._prediction import predict, trial
from zoo.tasks.task import Bools, Stage, Task, Workload
from zoo.volumes import Volume

if TYPE_CHECKING:
    from zoo.training import Training

__all__ = ["TASK", "SuperResolution"]


class SuperResolution(Task):
    """Predicts on the finer grid over the same field of view.

    The voxels are divided along each axis by the whole number that comes nearest to the model's
    spacing, so the corner of the first voxel stays where it was.
    """

    prediction_options = SuperResolutionOptions
    settings_class = SuperResolutionSettings

    def predict(
        self,
        model: Model,
        source: Volume,
        threshold: float | None,
        options: SuperResolutionOptions,
        stage: Stage,
    ) -> Prediction:
        if options.chain:
            return predict_in_steps(model, source, threshold, stage)
        return predict(model, source, threshold, stage)

    def trial(
        self, model: Model, source: Volume, threshold: float | None
    ) -> tuple[Bools, Callable[[Bools], object]]:
        return trial(model, source, threshold)

    def reference_input(self, card: Card) -> Volume:
        i, j, k = card.input.spacing
        return vault((2 * i, 2 * j, 2 * k))

    def training(self) -> type[Training]:
        from zoo.tasks.super_resolution._training import SuperResolutionTraining

        return SuperResolutionTraining

    def scoring(self, card: Card, settings: Settings) -> Scoring:
        assert isinstance(settings, SuperResolutionSettings)
        from zoo.tasks.super_resolution._scoring import SuperResolutionScoring

        return SuperResolutionScoring(settings)

    def benchmark(self, name: str) -> Workload:
        from zoo.tasks._workloads import ForcedWorkload

        return ForcedWorkload("sparse-super-resolution")


TASK = SuperResolution()
