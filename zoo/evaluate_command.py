"""What `zoo evaluate` does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from zoo.data.datasets import Case, find_cases
from zoo.data.layouts import recognised
from zoo.errors import ConfigError, ZooError
from zoo.evaluation import evaluate, summarise
from zoo.evaluation_files import (
    SCORES,
    SUMMARY,
    draw_worst,
    open_folder,
    write_scores,
    write_summary,
)
from zoo.examinations import Examination, Measure, Measures, Score, Settings, examination
from zoo.loading import info, load
from zoo.model import Model

MOST_ROWS = 20  # of cases that the terminal shows


@dataclass(frozen=True)
class Result:
    """What was found: plain data, and what its measures say."""

    facts: dict[str, Any]
    measures: Measures


def evaluate_cases(
    name: str,
    data: Path,
    *,
    layout: str | None,
    split: Path | None,
    threshold: float | None,
    seed: int,
    output: Path | None,
    resume: bool,
    pictures: int | None,
    factor: int | None,
    chain: bool,
    backend: str,
    device: str,
    console: Console,
) -> Result:
    """Score the cases of a folder; the facts are what `--json` prints.

    Raises:
        ConfigError: options that do not fit together, or scores in `output` of other settings.
        ReadError: no cases, some for another task, or a file of theirs is missing.
        WriteError: something cannot be written into `output`.
        ZooError: every case failed.
    """
    _check(data, output, resume, pictures)
    card = info(name)
    settings = Settings(
        model=card.name,
        weights=card.weights.sha256 if card.weights else None,
        threshold=threshold,
        seed=seed,
        factor=factor,
        chain=chain,
    )
    checks = examination(card, settings)
    cases = find_cases(data, layout, split, task=checks.cases)
    model = load(name, backend=backend, device=device)
    done = open_folder(output, cases, settings, checks.score_class, resume=resume) if output else []
    scores, failures = _run(model, cases, done, checks, settings, output, console)
    if not scores:
        case, reason = next(iter(failures.items()))
        raise ZooError(f"{data}: every case failed; the first, {case}, with: {reason}")
    facts = _facts(settings, checks, scores, failures)
    if output:
        summary = {key: value for key, value in facts.items() if key != "cases"}
        write_summary(output / SUMMARY, summary)
        draw_worst(output, model, cases, scores, checks, 1 if pictures is None else pictures)
    return Result(facts, checks.measures)


def _check(data: Path, output: Path | None, resume: bool, pictures: int | None) -> None:
    if output is None and (resume or pictures):
        option = "--resume" if resume else "--pictures"
        raise ConfigError(f"{option} needs -o OUTDIR, the folder of the results (see --help)")
    if output is not None:
        _check_output(output, data if data.is_file() else data / SCORES)


def _check_output(output: Path, table: Path) -> None:
    """Refuse a folder in which scores would be taken for data, or for the data's table."""
    own = output.resolve() == table.parent.resolve()
    if own or (output / SCORES).resolve() == table.resolve():
        raise ConfigError(f"{output}: is the data's own folder; choose another for the results")
    layout = recognised(output)
    if layout not in (None, "csv"):
        raise ConfigError(
            f"{output}: is a data set of layout {layout}, which {SCORES} would make one of layout"
            " csv; choose another folder for the results"
        )


def _run(
    model: Model,
    cases: list[Case],
    done: list[Score],
    checks: Examination,
    settings: Settings,
    output: Path | None,
    console: Console,
) -> tuple[list[Score], dict[str, str]]:
    """Score what is not done; returns all scores, in the order of the cases, and the failures."""
    scores, failures = {score.case: score for score in done}, {}
    todo = [case for case in cases if case.name not in scores]
    steps = evaluate(model, todo, checks)
    silent = not console.is_terminal
    for case, result in track(steps, "scoring", len(todo), console=console, disable=silent):
        if isinstance(result, ZooError):
            failures[case.name] = str(result)
            continue
        scores[case.name] = result
        if output:
            write_scores(output / SCORES, list(scores.values()), settings)
    return [scores[case.name] for case in cases if case.name in scores], failures


def _facts(
    settings: Settings, checks: Examination, scores: list[Score], failures: dict[str, str]
) -> dict[str, Any]:
    facts = {
        **settings.model_dump(),
        "units": {name: each.unit for name, each in checks.measures.items() if each.unit},
        "scored": len(scores),
        "cases": [score.model_dump() for score in scores],
        "summary": summarise(scores, checks.measures),
        "without_prediction": sum(map(checks.is_empty, scores)),
        "failures": failures,
    }
    plain: dict[str, Any] = _plain(facts)
    return plain


def _plain(value: Any) -> Any:
    """JSON has no infinity: None stands for it."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def case_table(result: Result) -> list[dict[str, str]]:
    """Cases as a person reads them: all in order, or the worst few of many."""
    cases, measures = result.facts["cases"], result.measures
    if len(cases) > MOST_ROWS:
        first = next(iter(measures))
        cases = sorted(cases, key=lambda case: float(case[first]))[:MOST_ROWS]
    return [
        {"case": case["case"]}
        | {
            measure.heading: _cell(measure, case[key])
            for key, measure in measures.items()
            if key != "peak_memory"
        }
        for case in cases
    ]


def summary_table(result: Result) -> list[dict[str, str]]:
    """The summary as a person reads it."""
    return [
        {"measure": measure.heading}
        | {
            column: _cell(measure, result.facts["summary"][key][column])
            for column in ("mean", "median", "worst")
        }
        for key, measure in result.measures.items()
    ]


def remarks(result: Result) -> list[str]:
    """What the tables do not say, a line each."""
    facts = result.facts
    lines, count = [], len(facts["cases"])
    if count > MOST_ROWS:
        lines.append(f"the {MOST_ROWS} worst of {count} cases; --json prints all, -o keeps them")
    if without := facts["without_prediction"]:
        lines.append(f"{without} of {count} cases were given no answer")
    left_out = count - facts["summary"].get("hd95", {"cases": count})["cases"]
    if left_out:
        lines.append(f"infinite distances of {left_out} cases are left out of mean and median")
    return lines


def _cell(measure: Measure, value: float | None) -> str:
    if value is None:
        return "-" if measure.unit == "bytes" else "inf"
    if measure.unit == "bytes":
        return f"{value / 1e9:.2f}"
    return f"{value:.2f}" if measure.unit in ("mm", "s") else f"{value:.4f}"
