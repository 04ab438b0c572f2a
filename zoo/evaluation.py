"""Scoring a model on cases with known answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from zoo.data.datasets import Case, Pair, load_pair
from zoo.errors import ConfigError, ZooError
from zoo.metrics import (
    border_dice,
    dice,
    greatest_percentile,
    reconstruction_error,
    surface_distances,
)
from zoo.model import Model
from zoo.prediction import Prediction

HIGH_IS_GOOD = ("implant_dice", "border_dice", "complete_dice", "input_kept")
LOW_IS_GOOD = ("hausdorff_distance", "hd95", "reconstruction_error", "seconds", "peak_memory")
UNITS = {
    "hausdorff_distance": "mm",
    "hd95": "mm",
    "reconstruction_error": "%",
    "seconds": "s",
    "peak_memory": "bytes",
}


class Score(BaseModel):
    """How well one case was predicted; the measures are those of `zoo.metrics`.

    Attributes:
        case: its name.
        implant_dice, border_dice: of the implant.
        hausdorff_distance, hd95: of the implant, mm; infinite if one of the two implants is empty.
        complete_dice: of the complete shape.
        reconstruction_error: of the complete shape, percent of the grid's voxels.
        input_kept: share of the input's occupied voxels that the answer has.
        implant_voxels: how many the predicted implant has.
        seconds: that the prediction took, without reading the files.
        peak_memory: bytes, of the process so far; None where nobody counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    implant_dice: float
    border_dice: float
    hausdorff_distance: float
    hd95: float
    complete_dice: float
    reconstruction_error: float
    input_kept: float
    implant_voxels: int
    seconds: float
    peak_memory: int | None


def evaluate(
    model: Model, cases: Sequence[Case], *, threshold: float | None = None, seed: int = 0
) -> Iterator[tuple[Case, Score | ZooError]]:
    """Score case after case; a failing one is handed over as its error.

    Args:
        model: does completion.
        cases: from `zoo.data.datasets.find_cases`.
        threshold: voxels of a scan above it are occupied.
        seed: of the defects that are cut into cases without a defective volume.

    Raises:
        ConfigError: the model is for another task.
    """
    if model.card.task != "completion":
        raise ConfigError(
            f"wanted a model for completion, got {model.card.name} for {model.card.task};"
            " `zoo list --task completion` lists some"
        )
    for case in cases:
        try:
            yield case, score_case(model, case, threshold, seed)
        except ZooError as error:
            yield case, error
        except (MemoryError, RuntimeError, ValueError) as error:
            failure = ZooError(f"unexpected {type(error).__name__}: {error}; --debug shows where")
            failure.__cause__ = error
            yield case, failure


def score_case(model: Model, case: Case, threshold: float | None, seed: int) -> Score:
    """Read a case, predict it and compare."""
    pair = load_pair(case, seed=seed, threshold=threshold)
    return score(case.name, model.predict(pair.defective), pair)


def score(name: str, prediction: Prediction, pair: Pair) -> Score:
    """Compare a prediction on `pair.defective` with the truth."""
    assert prediction.implant is not None
    complete, implant = prediction.volume.array, prediction.implant.array
    truth, spacing = pair.implant.array, pair.defective.spacing
    distances = surface_distances(implant, truth, spacing)
    kept = np.count_nonzero(np.logical_and(complete, pair.defective.array))
    return Score(
        case=name,
        implant_dice=dice(implant, truth),
        border_dice=border_dice(implant, truth, pair.defective.array, spacing),
        hausdorff_distance=greatest_percentile(distances, 100),
        hd95=greatest_percentile(distances, 95),
        complete_dice=dice(complete, pair.complete.array),
        reconstruction_error=reconstruction_error(complete, pair.complete.array),
        input_kept=int(kept) / int(np.count_nonzero(pair.defective.array)),
        implant_voxels=int(np.count_nonzero(implant)),
        seconds=sum(prediction.report["timings"].values()),
        peak_memory=prediction.report["peak_memory"],
    )


def summarise(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Mean, median and worst of every measure over cases, and how many cases count.

    Infinite distances count for the worst alone.
    """
    return {name: _summary(scores, name) for name in (*HIGH_IS_GOOD, *LOW_IS_GOOD)}


def _summary(scores: Sequence[Score], name: str) -> dict[str, float]:
    given = [value for each in scores if (value := getattr(each, name)) is not None]
    values = np.array(given, dtype=float)
    finite = values[np.isfinite(values)]
    worst = min if name in HIGH_IS_GOOD else max
    return {
        "mean": float(finite.mean()) if len(finite) else float("inf"),
        "median": float(np.median(finite)) if len(finite) else float("inf"),
        "worst": float(worst(given, default=float("inf"))),
        "cases": len(finite),
    }
