"""Defines scores and settings, and the interface that a task provides for scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from zoo.datasets import Case, CaseKind
    from zoo.models import Model, Prediction
    from zoo.volumes import Volume


@dataclass(frozen=True)
class Measure:
    """The meaning of a column of scores.

    Attributes:
        heading: the heading that the terminal shows.
        high: whether higher is better.
        unit: unit of the values; empty for shares of one.
        minor: whether the table of cases leaves it out, for there is only so much room.
    """

    heading: str
    high: bool = False
    unit: str = ""
    minor: bool = False

    def cell(self, value: float | None) -> str:
        """A value as tables show it.

            >>> Measure("HD95 mm", unit="mm").cell(None), Measure("Dice", high=True).cell(None)
            ('inf', '-')

        Args:
            value: None for an infinite distance, or for a score that there is none of.
        """
        if value is None:
            return "-" if self.high or self.unit == "bytes" else "inf"
        if self.unit == "bytes":
            return f"{value / 1e9:.2f}"
        return f"{value:.2f}" if self.unit in ("mm", "s") else f"{value:.4f}"


Measures = dict[str, Measure]
COST: Measures = {
    "seconds": Measure("s", unit="s"),
    "peak_memory": Measure("peak GB", unit="bytes", minor=True),
}


class Settings(BaseModel):
    """Everything that scores depend on besides the cases; every row of a score file repeats it.

    A task whose scores depend on more adds fields; each becomes an option of `zoo evaluate`.

    Attributes:
        model: name of the model.
        weights: sha256 of its weights, or of all weights of an ensemble.
        threshold: voxels of a scan above it are occupied; "auto" or "bone": those of the skull in a
            CT; None if the inputs are binary.
        seed: seed of the defects that were cut.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    weights: str | None
    threshold: float | Literal["auto", "bone"] | None = None
    seed: int = 0


class Score(BaseModel):
    """The score of one case: how good the prediction was, and what it cost.

    Attributes:
        case: name of the case.
        seconds: time of the prediction; reading the files of the case is not included.
        peak_memory: peak memory of the process so far, in bytes; None where it is not known.
        warnings: those of the prediction, in words; None without any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    seconds: float
    peak_memory: int | None
    warnings: str | None = None


class Scoring(Protocol):
    """Scores the predictions of one model against the ground truth of cases.

    Attributes:
        case_kind: the kind of cases to score.
        measures: the columns of a score; the first one decides which case is the worst.
        score_class: the class of the scores.
    """

    @property
    def case_kind(self) -> CaseKind: ...
    @property
    def measures(self) -> Measures: ...
    @property
    def score_class(self) -> type[Score]: ...

    def score(self, model: Model, case: Case) -> tuple[Prediction, Score]:
        """Read a case, predict on it, and compare the prediction with the ground truth.

        Args:
            model: the model.
            case: a case of kind `case_kind`.

        Returns:
            The prediction, and its score.

        Raises:
            ZooError: the case cannot be read or predicted on; the others are still scored.
        """
        ...

    def is_empty(self, score: Any) -> bool:
        """Whether the prediction was empty.

        Args:
            score: a score of `score_class`.

        Returns:
            True if nothing was predicted.
        """
        ...


@runtime_checkable
class Comparing(Protocol):
    """A scoring whose cases are drawn beside their ground truth; others are drawn alone."""

    def compared(self, model: Model, case: Case) -> tuple[Prediction, Volume]:
        """Predict on a case; also its ground truth on that grid: of completion, the implant."""
        ...


def cost(prediction: Prediction) -> dict[str, Any]:
    """The fields of any `Score`: what a prediction cost, and what there is to doubt about it.

        >>> import numpy as np
        >>> import zoo
        >>> model = zoo.create("sparse-completion", backend="torch")
        >>> prediction = model.predict(np.pad(np.ones((6, 6, 6), np.uint8), 4))
        >>> sorted(cost(prediction))
        ['peak_memory', 'seconds', 'warnings']

    Args:
        prediction: what `Model.predict` gave.

    Returns:
        The fields by name: seconds, bytes, and words.
    """
    return {
        "seconds": sum(prediction.report["timings"].values()),
        "peak_memory": prediction.report["peak_memory"],
        "warnings": "; ".join(prediction.report.get("warnings", [])) or None,
    }
