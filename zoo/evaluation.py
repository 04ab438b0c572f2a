"""Scoring a model on cases with known answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from zoo.data.datasets import Case
from zoo.errors import ZooError
from zoo.examinations import Examination, Measures, Score
from zoo.model import Model


def evaluate(
    model: Model, cases: Sequence[Case], examination: Examination
) -> Iterator[tuple[Case, Score | ZooError]]:
    """Score case after case; a failing one is handed over as its error.

    Args:
        model: to be scored.
        cases: from `zoo.data.datasets.find_cases`.
        examination: of the model's task, `zoo.examinations.examination`.
    """
    for case in cases:
        try:
            yield case, examination.examine(model, case)[1]
        except ZooError as error:
            yield case, error
        except (MemoryError, RuntimeError, ValueError) as error:
            failure = ZooError(f"unexpected {type(error).__name__}: {error}; --debug shows where")
            failure.__cause__ = error
            yield case, failure


def summarise(scores: Sequence[Score], measures: Measures) -> dict[str, dict[str, float]]:
    """Mean, median and worst of every measure over cases, and how many cases count.

    Infinite distances count for the worst alone.
    """
    return {name: _summary(scores, name, measures[name].high) for name in measures}


def _summary(scores: Sequence[Any], name: str, high: bool) -> dict[str, float]:
    given = [value for each in scores if (value := getattr(each, name)) is not None]
    values = np.array(given, dtype=float)
    finite = values[np.isfinite(values)]
    worst = min if high else max
    return {
        "mean": float(finite.mean()) if len(finite) else float("inf"),
        "median": float(np.median(finite)) if len(finite) else float("inf"),
        "worst": float(worst(given, default=float("inf"))),
        "cases": len(finite),
    }
