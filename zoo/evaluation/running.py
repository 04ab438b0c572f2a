"""Scores a model over cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from zoo import registries
from zoo.cards import SUMMARY, Card, info, weights_of
from zoo.datasets import Case, find_cases, recognised
from zoo.errors import ConfigError, ZooError, as_zoo_error
from zoo.evaluation._figure import FIGURE, draw_scores
from zoo.evaluation._files import (
    SCORES,
    draw_worst,
    open_folder,
    write_scores,
    write_summary,
)
from zoo.evaluation.scores import Measures, Score, Scoring, Settings
from zoo.models import Model, load
from zoo.validation import validate

CaseOutcome = tuple[Case, Score | ZooError]
Track = Callable[[Iterator[CaseOutcome], int], Iterable[CaseOutcome]]
Evaluate = Callable[[Model, Sequence[Case], Scoring], Iterator[CaseOutcome]]


@dataclass(frozen=True)
class Result:
    """The result of an evaluation.

    Attributes:
        facts: plain data, as `--json` prints it.
        measures: the columns of the scores and what they mean.
        failures: the error of every case that could not be scored, by the case's name.
    """

    facts: dict[str, Any]
    measures: Measures
    failures: Mapping[str, ZooError]


def evaluate(model: Model, cases: Sequence[Case], scoring: Scoring) -> Iterator[CaseOutcome]:
    """Score case after case; a case that fails does not stop the others.

    Args:
        model: the model to score.
        cases: the cases, from `zoo.datasets.find_cases`.
        scoring: how to score them, from the model's task.

    Yields:
        Every case with its score, or with the error that it failed with.
    """
    for case in cases:
        try:
            yield case, scoring.score(model, case)[1]
        except Exception as error:  # also from a plugin
            yield case, as_zoo_error(error)


def scoring_of(card: Card, settings: Mapping[str, Any]) -> tuple[Settings, Scoring]:
    """The settings of an evaluation, checked, and what scores with them.

    Args:
        card: card of the model.
        settings: the fields of the task's `Settings` that differ from their defaults.

    Raises:
        ConfigError: the settings do not suit the task.
    """
    task = registries.tasks.get(card.task)
    facts = {"model": card.name, "weights": weights_of(card)}
    source = f"evaluation of {card.name}"
    chosen: Settings = validate(task.settings_class, facts | dict(settings), source=source)
    return chosen, task.scoring(card, chosen)


def summarise(scores: Sequence[Score], measures: Measures) -> dict[str, dict[str, float]]:
    """Summarise every measure over cases: its mean, median and worst, and how many cases count.

    Infinite distances only count for the worst.

    Args:
        scores: the scores of the cases.
        measures: the measures to summarise, by the names of their columns.

    Returns:
        By measure: `mean`, `median`, `worst`, and `cases`, the number of finite values.
    """
    return {name: _summary(scores, name, measures[name].high) for name in measures}


def evaluate_cases(
    name: str,
    data: Path,
    *,
    layout: str | None = None,
    split: Path | None = None,
    settings: Mapping[str, Any],
    output: Path | None = None,
    resume: bool = False,
    pictures: int | None = None,
    backend: str = "auto",
    device: str = "auto",
    track: Track = lambda outcomes, count: outcomes,
    evaluate: Evaluate = evaluate,
) -> Result:
    """Score a model on the cases of a folder.

    Args:
        name: name of the model, as for `zoo.load`.
        data: folder of a data set, or a CSV table of cases.
        layout: layout of the folder; recognised if left out.
        split: a text file with the names of the cases to score, one per line; all if left out.
        settings: the fields of the task's `Settings` that differ from their defaults.
        output: folder for scores, summary and pictures; nothing is written if left out. The figure
            of all cases is drawn if matplotlib is installed.
        resume: whether to skip the cases that have scores in `output`.
        pictures: how many of the worst cases to draw; one if left out.
        backend, device: as for `zoo.load`.
        track: shows progress: gets the iterator of outcomes and their number, and iterates.
        evaluate: scores the cases; in this process, one after another, if left out.

    Raises:
        ConfigError: the options do not fit together, or the scores in `output` were made with other
            settings.
        ReadError: there are no cases, some are for another task, or a file is missing.
        WriteError: something cannot be written to `output`.
        ZooError: every case failed.
    """
    _check(data, output, resume, pictures)
    card = info(name)
    chosen, scoring = scoring_of(card, settings)
    layout = layout or recognised(data)
    cases = find_cases(data, layout, split, kind=scoring.case_kind)
    model = load(name, backend=backend, device=device)
    model.shows_progress = False  # there is one of all cases
    done = open_folder(output, cases, chosen, scoring.score_class, resume=resume) if output else []
    scores, failures = _run(
        lambda some: evaluate(model, some, scoring), cases, done, chosen, output, track
    )
    if not scores:
        case, reason = next(iter(failures.items()))
        raise ZooError(f"{data}: every case failed; the first, {case}: {reason}") from reason
    found = {"layout": layout, **_facts(chosen, scoring, scores, failures)}
    if output:
        summary = {key: value for key, value in found.items() if key != "cases"}
        write_summary(output / SUMMARY, summary)
        if find_spec("matplotlib"):
            draw_scores(output / FIGURE, found, scoring.measures)
        draw_worst(output, model, cases, scores, scoring, 1 if pictures is None else pictures)
    return Result(found, scoring.measures, failures)


def _check(data: Path, output: Path | None, resume: bool, pictures: int | None) -> None:
    if output is None and (resume or pictures):
        option = "--resume" if resume else "--pictures"
        raise ConfigError(f"{option} needs -o OUTDIR, the folder for the results (see --help)")
    if output is not None:
        _check_output(output, data if data.is_file() else data / SCORES)


def _check_output(output: Path, table: Path) -> None:
    """Refuse a folder where the scores would be mistaken for data, or for the data's table."""
    own = output.resolve() == table.parent.resolve()
    if own or (output / SCORES).resolve() == table.resolve():
        raise ConfigError(f"{output}: is the folder of the data; choose another for the results")
    layout = recognised(output)
    if layout not in (None, "csv"):
        raise ConfigError(
            f"{output}: is a data set of layout {layout}, which {SCORES} would turn into one of"
            " layout csv; choose another folder for the results"
        )


def _run(
    evaluate: Callable[[Sequence[Case]], Iterator[CaseOutcome]],
    cases: list[Case],
    done: list[Score],
    settings: Settings,
    output: Path | None,
    track: Track,
) -> tuple[list[Score], dict[str, ZooError]]:
    """Score the cases that are left; returns all scores in the order of cases, and the failures."""
    scores, failures = {score.case: score for score in done}, {}
    todo = [case for case in cases if case.name not in scores]
    for case, outcome in track(evaluate(todo), len(todo)):
        if isinstance(outcome, ZooError):
            failures[case.name] = outcome
            continue
        scores[case.name] = outcome
        if output:
            write_scores(output / SCORES, list(scores.values()), settings)
    return [scores[case.name] for case in cases if case.name in scores], failures


def _facts(
    settings: Settings, scoring: Scoring, scores: list[Score], failures: Mapping[str, ZooError]
) -> dict[str, Any]:
    facts = {
        **settings.model_dump(),
        "units": {name: each.unit for name, each in scoring.measures.items() if each.unit},
        "scored": len(scores),
        "cases": [score.model_dump() for score in scores],
        "summary": summarise(scores, scoring.measures),
        "without_prediction": sum(map(scoring.is_empty, scores)),
        "failures": {case: str(error) for case, error in failures.items()},
    }
    plain: dict[str, Any] = _plain(facts)
    return plain


def _plain(value: Any) -> Any:
    """The same data with None instead of infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
