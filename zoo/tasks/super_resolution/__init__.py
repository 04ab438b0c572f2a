"""Super-resolution: predicts the same shape on a grid of smaller voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo.anatomy import Threshold, occupied_in
from zoo.cards import Card
from zoo.evaluation import Scoring, Settings
from zoo.models import Model, Prediction
from zoo.tasks._plausibility import EMPTY, doubts_of_skull
from zoo.tasks._reference_inputs import vault
from zoo.tasks.super_resolution._chain import model_for_scans, predict_in_steps
from zoo.tasks.super_resolution._options import SuperResolutionOptions, SuperResolutionSettings
from zoo.tasks.super_resolution._plausibility import doubts_of_step
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
    derivatives = MappingProxyType({"volume": "desc-superres_mask"})

    def predict(
        self,
        model: Model,
        source: Volume,
        threshold: Threshold,
        options: SuperResolutionOptions,
        stage: Stage,
    ) -> Prediction:
        bone: dict[str, Any] = {}
        if isinstance(threshold, str):
            with stage("bone"):
                occupied, bone = occupied_in(source, threshold)
            source, threshold = source.with_array(occupied), None
        run = predict_in_steps if options.chain else predict
        used = model if threshold is None else model_for_scans(model)
        prediction = run(used, source, threshold, stage)
        warnings = bone.pop("warnings", [])
        if not options.chain:
            warnings += doubts_of_step(model.card, source, prediction.volume)
        facts: dict[str, Any] = {"warnings": warnings, **({"bone": bone} if bone else {})}
        if used is not model:
            facts["model_for_scans"] = {"name": used.card.name, "sha256": used.card.sha256}
            facts["notes"] = [f"{used.card.name} takes the values of the scan into account"]
        return replace(prediction, report={**prediction.report, **facts})

    def doubts(
        self, model: Model, source: Volume, threshold: Threshold, prediction: Prediction
    ) -> list[str]:
        if model.card.input.extent is None:
            return super().doubts(model, source, threshold, prediction)
        empty = [] if prediction.volume.array.any() else [EMPTY]
        return [*doubts_of_skull(source, threshold, prediction, model.card.input), *empty]

    def trial(
        self, model: Model, source: Volume, threshold: Threshold
    ) -> tuple[Bools, Callable[[Bools], object]]:
        if isinstance(threshold, str):
            source, threshold = source.with_array(occupied_in(source, threshold)[0]), None
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
