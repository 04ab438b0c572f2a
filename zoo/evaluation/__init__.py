"""Scoring a model over cases: tables, summaries, pictures of the worst cases.

It is generic: the model's task decides what is compared and which columns a score has.
"""

from zoo.evaluation.running import Result, evaluate, evaluate_cases, summarise
from zoo.evaluation.scores import COST, Measure, Measures, Score, Scoring, Settings, cost

__all__ = [
    "COST",
    "Measure",
    "Measures",
    "Result",
    "Score",
    "Scoring",
    "Settings",
    "cost",
    "evaluate",
    "evaluate_cases",
    "summarise",
]
