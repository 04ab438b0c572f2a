"""Scores segmentation: Dice of every structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import create_model

from zoo.cards import Card
from zoo.datasets import Case, CaseKind, load_labels
from zoo.errors import ConfigError
from zoo.evaluation import COST, Measure, Score, Settings, cost
from zoo.models import Model, Prediction
from zoo.volumes import Volume, dice, hd95


class SegmentationScoring:
    """Compares labels with the ground truth: Dice per structure, means of Dice and HD95."""

    case_kind: CaseKind = "labels"

    def __init__(self, card: Card, settings: Settings) -> None:
        if settings.threshold is not None:
            raise ConfigError(f"{card.name} takes intensities as they are; leave --threshold out")
        self.labels = card.labels
        self.measures = {
            "mean_dice": Measure("mean Dice", high=True),
            **{_key(label): Measure(label, high=True) for label in self.labels},
            "hd95": Measure("mean HD95 mm", unit="mm"),
            **COST,
        }
        shares: dict[str, Any] = {_key(label): (float, ...) for label in self.labels}
        self.score_class: type[Score] = create_model(
            "SegmentationScore",
            __base__=Score,
            mean_dice=(float, ...),
            **shares,
            hd95=(float, ...),
            voxels=(int, ...),
        )

    def score(self, model: Model, case: Case) -> tuple[Prediction, Score]:
        scan, truth = load_labels(case)
        prediction = model.predict(scan)
        return prediction, self.compare(case.name, prediction, truth)

    def compare(self, name: str, prediction: Prediction, truth: Volume) -> Score:
        """Compare labels; a structure that is in neither volume counts as found."""
        predicted, wanted = prediction.volume.array, truth.array
        found, far = {}, []
        for value, label in enumerate(self.labels, 1):
            one, other = predicted == value, wanted == value
            found[_key(label)] = dice(one, other)
            far.append(hd95(one, other, truth.spacing))
        facts = {
            "case": name,
            "mean_dice": sum(found.values()) / len(found),
            **found,
            "hd95": sum(far) / len(far),
            "voxels": int(np.count_nonzero(predicted)),
            **cost(prediction),
        }
        return self.score_class.model_validate(facts)

    def is_empty(self, score: Any) -> bool:
        return bool(score.voxels == 0)


def _key(label: str) -> str:
    return "dice_" + "".join(c if c.isalnum() else "_" for c in label)
