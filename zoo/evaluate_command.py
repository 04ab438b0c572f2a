"""What `zoo evaluate` does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from zoo.data.datasets import Case, find_cases
from zoo.data.layouts import recognised
from zoo.errors import ConfigError, ZooError
from zoo.evaluation import UNITS, Score, evaluate, summarise
from zoo.evaluation_files import (
    SCORES,
    SUMMARY,
    Settings,
    draw_worst,
    open_folder,
    write_scores,
    write_summary,
)
from zoo.loading import load
from zoo.model import Model

MOST_ROWS = 20  # of cases that the terminal shows

HEADINGS = {
    "implant_dice": "implant Dice",
    "border_dice": "border Dice",
    "hd95": "HD95 mm",
    "hausdorff_distance": "HD mm",
    "complete_dice": "whole Dice",
    "reconstruction_error": "wrong %",
    "input_kept": "input kept",
    "seconds": "s",
    "peak_memory": "peak GB",
}


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
    backend: str,
    device: str,
    console: Console,
) -> dict[str, Any]:
    """Score the cases of a folder; returns what `--json` prints.

    Raises:
        ConfigError: options that do not fit together, or scores in `output` of other settings.
        ReadError: no cases, some for another task, or a file of theirs is missing.
        WriteError: something cannot be written into `output`.
        ZooError: every case failed.
    """
    _check(data, output, resume, pictures)
    cases = find_cases(data, layout, split, task="completion")
    model = load(name, backend=backend, device=device)
    weights = model.card.weights.sha256 if model.card.weights else None
    settings = Settings(model=model.card.name, weights=weights, threshold=threshold, seed=seed)
    done = open_folder(output, cases, settings, resume=resume) if output else []
    scores, failures = _run(model, cases, done, settings, output, console)
    if not scores:
        case, reason = next(iter(failures.items()))
        raise ZooError(f"{data}: every case failed; the first, {case}, with: {reason}")
    facts = _facts(settings, scores, failures)
    if output:
        summary = {key: value for key, value in facts.items() if key != "cases"}
        write_summary(output / SUMMARY, summary)
        draw_worst(output, model, cases, scores, 1 if pictures is None else pictures, settings)
    return facts


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
    settings: Settings,
    output: Path | None,
    console: Console,
) -> tuple[list[Score], dict[str, str]]:
    """Score what is not done; returns all scores, in the order of the cases, and the failures."""
    scores, failures = {score.case: score for score in done}, {}
    todo = [case for case in cases if case.name not in scores]
    steps = evaluate(model, todo, threshold=settings.threshold, seed=settings.seed)
    silent = not console.is_terminal
    for case, result in track(steps, "scoring", len(todo), console=console, disable=silent):
        if isinstance(result, ZooError):
            failures[case.name] = str(result)
            continue
        scores[case.name] = result
        if output:
            write_scores(output / SCORES, list(scores.values()), settings)
    return [scores[case.name] for case in cases if case.name in scores], failures


def _facts(settings: Settings, scores: list[Score], failures: dict[str, str]) -> dict[str, Any]:
    facts = {
        **settings.model_dump(),
        "units": UNITS,
        "scored": len(scores),
        "cases": [score.model_dump() for score in scores],
        "summary": summarise(scores),
        "without_prediction": sum(score.implant_voxels == 0 for score in scores),
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


def case_table(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Cases as a person reads them: all in order, or the worst few of many."""
    cases = facts["cases"]
    if len(cases) > MOST_ROWS:
        cases = sorted(cases, key=lambda case: case["implant_dice"])[:MOST_ROWS]
    return [
        {"case": case["case"]}
        | {HEADINGS[key]: _cell(key, case[key]) for key in HEADINGS if key != "peak_memory"}
        for case in cases
    ]


def summary_table(facts: dict[str, Any]) -> list[dict[str, str]]:
    """The summary as a person reads it."""
    return [
        {"measure": heading}
        | {
            column: _cell(key, facts["summary"][key][column])
            for column in ("mean", "median", "worst")
        }
        for key, heading in HEADINGS.items()
    ]


def remarks(facts: dict[str, Any]) -> list[str]:
    """What the tables do not say, a line each."""
    lines, count = [], len(facts["cases"])
    if count > MOST_ROWS:
        lines.append(f"the {MOST_ROWS} worst of {count} cases; --json prints all, -o keeps them")
    if without := facts["without_prediction"]:
        lines.append(f"{without} of {count} cases were given no implant")
    left_out = count - facts["summary"]["hd95"]["cases"]
    if left_out:
        lines.append(f"infinite distances of {left_out} cases are left out of mean and median")
    return lines


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-" if key == "peak_memory" else "inf"
    if key == "peak_memory":
        return f"{value / 1e9:.2f}"
    return f"{value:.2f}" if key in ("hd95", "hausdorff_distance", "seconds") else f"{value:.4f}"
