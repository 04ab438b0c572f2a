"""Scoring a model over cases: tables, summaries, pictures of the worst cases.

It is generic: the model's task decides what is compared and which columns a score has.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo.evaluation.scores import COST, Measure, Measures, Score, Scoring, Settings, cost

if TYPE_CHECKING:
    from zoo.evaluation.running import (
        CaseOutcome,
        Result,
        evaluate,
        evaluate_cases,
        scoring_of,
        summarise,
    )

__all__ = [
    "COST",
    "CaseOutcome",
    "Measure",
    "Measures",
    "Result",
    "Score",
    "Scoring",
    "Settings",
    "cost",
    "evaluate",
    "evaluate_cases",
    "scoring_of",
    "summarise",
]


def __getattr__(name: str) -> Any:
    """What runs an evaluation is imported when it is asked for: a prediction does without it."""
    if name not in __all__:
        raise AttributeError(f"module 'zoo.evaluation' has no attribute {name!r}")
    return getattr(import_module("zoo.evaluation.running"), name)
