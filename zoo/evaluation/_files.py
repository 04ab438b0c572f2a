"""The files in an evaluation's folder: scores, a summary, pictures of the worst cases."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.datasets import Case
from zoo.errors import ConfigError, ReadError
from zoo.evaluation.scores import Comparing, Score, Scoring, Settings
from zoo.models import Model
from zoo.pictures import draw_comparison, draw_prediction
from zoo.tables import csv_of, rows_of
from zoo.validation import validate
from zoo.volumes import atomic_path, make_folder

SCORES = "cases.csv"


def open_folder(
    folder: Path,
    cases: Sequence[Case],
    settings: Settings,
    score_class: type[Score],
    *,
    resume: bool,
) -> list[Score]:
    """Make the folder; if an evaluation is resumed in it, return the scores that it contains.

    Raises:
        ConfigError: it contains scores but `resume` is False, or they were made with other
            settings.
        ReadError: its score file is damaged, or has cases that are not in `cases`.
        WriteError: it cannot be made.
    """
    path = folder / SCORES
    if not path.exists():
        make_folder(folder)
        return []
    if not resume:
        raise ConfigError(f"{path} exists: pass --resume to continue it, or choose another folder")
    scores = read_scores(path, settings, score_class)
    if strange := {score.case for score in scores} - {case.name for case in cases}:
        raise ReadError(
            f"{path}: contains {min(strange)!r}, which is not one of the {len(cases)} cases;"
            " pass the same --data and --split, or choose another folder"
        )
    return scores


def read_scores(path: Path, settings: Settings, score_class: type[Score]) -> list[Score]:
    """Read the scores that `write_scores` wrote with the same settings."""
    try:
        rows = rows_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"{path}: wanted a table of scores, got: {error}; remove it") from error
    sources = (f"{path}, row {number}" for number in range(1, len(rows) + 1))
    return [
        validate(score_class, _checked(row, settings, source), source=source)
        for row, source in zip(rows, sources, strict=True)
    ]


def _checked(row: dict[str, str], settings: Settings, source: str) -> dict[str, str | None]:
    """The fields of a row that belong to the score, after checking that its settings are these."""
    fields = {name: value or None for name, value in row.items()}
    keys = type(settings).model_fields.keys() & fields.keys()
    found = validate(type(settings), {key: fields.pop(key) for key in keys}, source=source)
    for key in type(settings).model_fields.keys() - {"model"}:
        wanted, got = getattr(settings, key), getattr(found, key)
        if wanted != got:
            raise ConfigError(
                f"{source}: was scored with {key} {_in_words(got)}, wanted {_in_words(wanted)};"
                " use that, or choose another folder"
            )
    return fields


def _in_words(value: object) -> str:
    return "none" if value is None else str(value)[:80]


def write_scores(path: Path, scores: Sequence[Score], settings: Settings) -> None:
    """Write a table of scores atomically; None becomes an empty cell, infinity becomes inf."""
    columns = [*type(scores[0]).model_fields, *type(settings).model_fields]
    columns.append(columns.pop(columns.index("warnings")))  # sentences come last
    rows = [{**score.model_dump(), **settings.model_dump()} for score in scores]
    with atomic_path(path) as temporary:
        temporary.write_text(csv_of(rows, columns), encoding="utf-8")


def write_summary(path: Path, facts: dict[str, Any]) -> None:
    """Write plain data as JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")


def draw_worst(
    folder: Path,
    model: Model,
    cases: Sequence[Case],
    scores: Sequence[Any],
    scoring: Scoring,
    count: int,
) -> list[Path]:
    """Draw the `count` cases whose first measure is the worst; each is predicted once more.

    Pictures of these cases from an earlier evaluation are removed.
    """
    by_name = {case.name: case for case in cases}
    name, measure = next(iter(scoring.measures.items()))
    scored = [score for score in scores if getattr(score, name) is not None]
    worst = sorted(scored, key=lambda score: getattr(score, name), reverse=not measure.high)[:count]
    names = {f"{_file_name(case)}.png" for case in cases}
    for old in list(folder.glob("worst-*-*.png")):
        if old.name.split("-", 2)[2] in names:
            old.unlink()
    paths = []
    for rank, score in enumerate(worst, 1):
        case = by_name[score.case]
        path = folder / f"worst-{rank}-{_file_name(case)}.png"
        value = getattr(score, name)
        title = f"{case.name}, {model.card.name}: {measure.heading} {value:.4f}"
        if isinstance(scoring, Comparing):
            draw_comparison(path, *scoring.compared(model, case), title)
        else:
            draw_prediction(path, scoring.score(model, case)[0], title)
        paths.append(path)
    return paths


def _file_name(case: Case) -> str:
    """A case's name with slashes escaped as in a URL, so that no two cases share it."""
    return case.name.replace("%", "%25").replace("/", "%2F")
