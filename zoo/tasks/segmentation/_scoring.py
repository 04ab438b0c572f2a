"""Scores segmentation: Dice, surface Dice and HD95 of every structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import create_model

from zoo.cards import Card
from zoo.datasets import Case, CaseKind, load_labels, structures_of
from zoo.errors import ConfigError, ReadError
from zoo.evaluation import COST, Measure, Measures, Score, Settings, cost
from zoo.models import Model, Prediction
from zoo.tasks.segmentation._options import SegmentationSettings
from zoo.volumes import (
    Volume,
    dice,
    greatest_percentile,
    identifier,
    surface_dice,
    surface_distances,
)

Values = dict[str, float | None]
KINDS = ("dice", "surface_dice", "hd95")  # of scores, each of every structure


class SegmentationScoring:
    """Compares labels with the ground truth, on the scan's own grid, structure by structure.

    Structures are matched by name where the data set has names, or else by their order; those that
    were merged for training are merged again where the data set has all of their parts. One that
    the data set does not label, or that is in neither, has no score. One that is in only one of
    them has a Dice and a surface Dice of 0 and an infinite distance. Means of a case are over the
    structures that have scores.
    """

    case_kind: CaseKind = "labels"

    def __init__(self, card: Card, settings: Settings) -> None:
        if settings.threshold is not None:
            raise ConfigError(f"{card.name} takes intensities as they are; leave --threshold out")
        self.labels = card.labels
        self.settings = SegmentationSettings(**settings.model_dump())
        self.merged = card.merged
        self.measures = _measures(card.labels)
        names = [name for name in self.measures if name not in COST]
        columns: dict[str, Any] = dict.fromkeys(names, (float | None, ...))
        self.score_class: type[Score] = create_model(
            "SegmentationScore", __base__=Score, **columns, voxels=(int, ...)
        )

    def score(self, model: Model, case: Case) -> tuple[Prediction, Score]:
        prediction, truth, labelled = self._labelled(model, case)
        return prediction, self.compare(case.name, prediction, truth, labelled)

    def compared(self, model: Model, case: Case) -> tuple[Prediction, Volume]:
        prediction, truth, labelled = self._labelled(model, case)
        known = [value for value, name in enumerate(self.labels, 1) if name in labelled]
        labels = prediction.volume.array * np.isin(prediction.volume.array, known)
        return replace(prediction, volume=prediction.volume.with_array(labels)), truth

    def _labelled(self, model: Model, case: Case) -> tuple[Prediction, Volume, list[str]]:
        """The prediction, the ground truth, and the structures that are labelled in that."""
        known = structures_of(case)
        structures = {label: self._parts(label, known) for label in self.labels}
        labelled = [label for label, parts in structures.items() if parts]
        if not labelled:
            raise ReadError(
                f"{case.target}: wanted some of the model's structures {', '.join(self.labels)},"
                f" got {', '.join(known)}; a table of cases has labels by their order"
            )
        scan, truth = load_labels(case, structures)
        prediction = model.predict(scan, largest_component=self.settings.largest_component)
        return prediction, truth, labelled

    def _parts(self, label: str, known: Sequence[str]) -> tuple[int | str, ...]:
        """What the data set calls the parts of a structure; empty if it does not label them all."""
        if label in known:
            return (label,)
        parts = self.merged.get(label, ())
        if known:
            return parts if set(parts) <= set(known) else ()
        return parts if parts and all(isinstance(part, int) for part in parts) else (label,)

    def compare(
        self, name: str, prediction: Prediction, truth: Volume, labelled: Sequence[str] = ()
    ) -> Score:
        """Compare the labels of a prediction with those of the ground truth.

        Args:
            name: the case's name.
            prediction: what a model made of its scan.
            truth: the model's labels on the scan's grid.
            labelled: the structures that are labelled in it at all; all if left out.
        """
        predicted, wanted = prediction.volume.array, truth.array
        found: dict[str, Values] = {
            identifier(label): self._values(predicted == value, wanted == value, truth.spacing)
            if label in (labelled or self.labels)
            else dict.fromkeys(KINDS)
            for value, label in enumerate(self.labels, 1)
        }
        facts: dict[str, Any] = {
            f"{kind}_{key}": values[kind] for key, values in found.items() for kind in KINDS
        }
        means = {kind: _mean(values[kind] for values in found.values()) for kind in KINDS}
        facts |= {
            "case": name,
            "mean_dice": means["dice"],
            "mean_surface_dice": means["surface_dice"],
            "hd95": means["hd95"],
            "voxels": int(np.count_nonzero(predicted)),
            **cost(prediction),
        }
        return self.score_class.model_validate(facts)

    def _values(self, one: Any, other: Any, spacing: tuple[float, float, float]) -> Values:
        """The scores of one structure, from its masks; of each None if both are empty."""
        if not one.any() and not other.any():
            return dict.fromkeys(KINDS)
        distances = surface_distances(one, other, spacing)
        return {
            "dice": dice(one, other),
            "surface_dice": surface_dice(distances, self.settings.tolerance),
            "hd95": greatest_percentile(distances, 95),
        }

    def is_empty(self, score: Any) -> bool:
        return bool(score.voxels == 0)


def _measures(labels: Iterable[str]) -> Measures:
    """The means of a case and, of every structure, the columns of each kind."""
    keys = {identifier(label): label for label in labels}
    return {
        "mean_dice": Measure("mean Dice", high=True),
        **{f"dice_{key}": Measure(label, high=True) for key, label in keys.items()},
        "mean_surface_dice": Measure("mean surface Dice", high=True),
        **{
            f"surface_dice_{key}": Measure(f"{label}, surface Dice", high=True, minor=True)
            for key, label in keys.items()
        },
        "hd95": Measure("mean HD95 mm", unit="mm"),
        **{
            f"hd95_{key}": Measure(f"{label}, HD95 mm", unit="mm", minor=True)
            for key, label in keys.items()
        },
        **COST,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that there are; None without any."""
    given = [value for value in values if value is not None]
    return sum(given) / len(given) if given else None
