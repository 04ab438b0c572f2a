"""Segmentation: predicts a label for every voxel whose intensity is in the model's windows."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from zoo.anatomy import Threshold
from zoo.cards import Card
from zoo.errors import ConfigError
from zoo.evaluation import Scoring, Settings
from zoo.models import Model, Options, Prediction
from zoo.tasks._plausibility import doubts_of_extent
from zoo.tasks._reference_inputs import chest
from zoo.tasks.segmentation._options import SegmentationOptions, SegmentationSettings
from zoo.tasks.segmentation._plausibility import doubts_of_labels, doubts_of_scan
from zoo.tasks.segmentation._prediction import predict, trial
from zoo.tasks.task import ANY_SPACING, Bools, Stage, Task, Workload
from zoo.volumes import Volume, identifier

if TYPE_CHECKING:
    from zoo.tasks.segmentation._training import LabelledVoxels, SegmentationTraining
    from zoo.training import Training

__all__ = ["TASK", "LabelledVoxels", "Segmentation", "SegmentationTraining"]

ANY_SCAN = ANY_SPACING.model_copy(
    update={"kind": "intensity", "windows": ((-200.0, 3000.0),)}  # Hounsfield units: no air
)


class Segmentation(Task):
    """Predicts a label per voxel on the input's own grid; 0 where there is no structure.

    Voxels of the model's grid that lie outside the windows are always 0; where a scan is finer,
    probabilities are interpolated between them.
    """

    prediction_options: ClassVar[type[Options]] = SegmentationOptions
    settings_class: ClassVar[type[Settings]] = SegmentationSettings
    pipeline_tag = "image-segmentation"
    derivatives = MappingProxyType({"volume": "dseg", "split": "label-*_mask"})

    def check_card(self, card: Card) -> None:
        if not card.input.windows or not card.labels:
            raise ConfigError(
                f"{card.name}: a model for segmentation needs input.windows and labels"
            )
        if len(set(map(identifier, card.labels))) < len(card.labels):
            raise ConfigError(
                f"{card.name}: wanted labels that differ in their letters and digits, got"
                f" {', '.join(card.labels)}; rename one"
            )
        classes = card.config.get("classes")
        if classes is not None and classes != len(card.labels) + 1:
            raise ConfigError(
                f"{card.name}: wanted a label for each of its {classes} classes but the first,"
                f" got {len(card.labels)}"
            )

    def untrained_facts(self, config: BaseModel) -> dict[str, Any]:
        classes = getattr(config, "classes", 2)
        labels = tuple(f"class {number}" for number in range(1, classes))
        return {"input": ANY_SCAN, "labels": labels}

    def predict(
        self, model: Model, source: Volume, threshold: Threshold, options: Any, stage: Stage
    ) -> Prediction:
        return predict(model, source, threshold, options, stage)

    def doubts(
        self, model: Model, source: Volume, threshold: Threshold, prediction: Prediction
    ) -> list[str]:
        return [
            *doubts_of_extent(prediction.occupied, model.card.input),
            *doubts_of_scan(source, model.card.input),
            *doubts_of_labels(prediction, model.card.labels),
        ]

    def trial(
        self, model: Model, source: Volume, threshold: Threshold
    ) -> tuple[Bools, Callable[[Bools], object]]:
        return trial(model, source, threshold)

    def reference_input(self, card: Card) -> Volume:
        return chest(card.input.spacing)

    def training(self) -> type[Training]:
        from zoo.tasks.segmentation._training import SegmentationTraining

        return SegmentationTraining

    def scoring(self, card: Card, settings: Settings) -> Scoring:
        from zoo.tasks.segmentation._scoring import SegmentationScoring

        return SegmentationScoring(card, settings)

    def benchmark(self, name: str) -> Workload:
        from zoo.tasks.segmentation._workload import ChestWorkload

        return ChestWorkload("sparse-segmentation")


TASK = Segmentation()


def __getattr__(name: str) -> Any:
    """What trains is imported when it is asked for: a prediction does without it."""
    if name not in __all__:
        raise AttributeError(f"module 'zoo.tasks.segmentation' has no attribute {name!r}")
    return getattr(import_module("zoo.tasks.segmentation._training"), name)
