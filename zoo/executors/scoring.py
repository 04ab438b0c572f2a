"""Scores cases through an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.datasets import Case
from zoo.evaluation import CaseOutcome, Scoring, scoring_of
from zoo.executors.driver import spread
from zoo.executors.memory import Memory
from zoo.executors.running import loaded
from zoo.executors.runs import Run
from zoo.models import Model, forget_peak_memory


@dataclass(frozen=True)
class ScoreCase:
    """The work of an evaluation.

    Attributes:
        model: name of the model, as for `zoo.load`.
        backend, device: as for `zoo.load`.
        settings: the fields of the task's `Settings` that differ from their defaults.
    """

    model: str
    backend: str = "auto"
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> None:
        """Load the model, which then stays in this process."""
        loaded(self.model, self.backend, self.device)

    def __call__(self, job: Case) -> dict[str, Any]:
        """Predict on a case; returns the fields of its score."""
        forget_peak_memory()
        model = loaded(self.model, self.backend, self.device)
        _, score = scoring_of(model.card, self.settings)[1].score(model, job)
        return score.model_dump()


def scored_by(
    work: ScoreCase, run: Run
) -> Callable[[Model, Sequence[Case], Scoring], Iterator[CaseOutcome]]:
    """What scores cases where `run` says, for `evaluate_cases`."""

    def evaluate(model: Model, cases: Sequence[Case], scoring: Scoring) -> Iterator[CaseOutcome]:
        for outcome in spread(work, cases, run, Memory(model, _source)):
            fields = {
                name: value
                for name, value in outcome.facts.items()
                if name in scoring.score_class.model_fields
            }
            yield outcome.job, outcome.error or scoring.score_class(**fields)

    return evaluate


def _source(case: Case) -> Path:
    return case.source or case.target
