"""What an evaluation leaves in its folder: scores of cases, a summary, pictures of the worst."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.data.datasets import Case
from zoo.errors import ConfigError, ReadError
from zoo.examinations import Examination, Score, Settings
from zoo.files import atomic_path, make_folder
from zoo.model import Model
from zoo.preview import draw_prediction
from zoo.validation import validate

SCORES, SUMMARY = "cases.csv", "summary.json"


def open_folder(
    folder: Path,
    cases: Sequence[Case],
    settings: Settings,
    score_class: type[Score],
    *,
    resume: bool,
) -> list[Score]:
    """Make the folder; returns the scores that it has, if an evaluation is resumed in it.

    Raises:
        ConfigError: it has scores and `resume` was not asked for, or they were made with other
            settings.
        ReadError: its score file is damaged or is of other cases.
        WriteError: it cannot be made.
    """
    path = folder / SCORES
    if not path.exists():
        make_folder(folder)
        return []
    if not resume:
        raise ConfigError(f"{path} exists: pass --resume to go on with it, or another folder")
    scores = read_scores(path, settings, score_class)
    if strange := {score.case for score in scores} - {case.name for case in cases}:
        raise ReadError(
            f"{path}: has {min(strange)!r}, which is none of the {len(cases)} cases;"
            " give the same --data and --split, or another folder"
        )
    return scores


def read_scores(path: Path, settings: Settings, score_class: type[Score]) -> list[Score]:
    """The scores of a file that `write_scores` wrote with the same settings."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"{path}: wanted a table of scores, got: {error}; remove it") from error
    places = (f"{path}, row {number}" for number in range(1, len(rows) + 1))
    return [
        validate(score_class, _checked(row, settings, place), source=place)
        for row, place in zip(rows, places, strict=True)
    ]


def _checked(row: dict[str, str], settings: Settings, source: str) -> dict[str, str | None]:
    """The facts of a row that are a score's, once its settings are found to be these."""
    facts = {name: value or None for name, value in row.items()}
    keys = Settings.model_fields.keys() & facts.keys()
    found = validate(Settings, {key: facts.pop(key) for key in keys}, source=source)
    for key in ("weights", "threshold", "seed", "factor", "chain"):
        wanted, got = getattr(settings, key), getattr(found, key)
        if wanted != got:
            raise ConfigError(
                f"{source}: was scored with {key} {_said(got)}, wanted {_said(wanted)};"
                " give the same as then, or another folder"
            )
    return facts


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def write_scores(path: Path, scores: Sequence[Score], settings: Settings) -> None:
    """Write a table of scores, whole or not at all; None is an empty cell, infinity is inf."""
    columns = [*type(scores[0]).model_fields, *Settings.model_fields]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        for score in scores:
            table.writerow({**score.model_dump(), **settings.model_dump()})


def write_summary(path: Path, facts: dict[str, Any]) -> None:
    """Write plain data as JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")


def draw_worst(
    folder: Path,
    model: Model,
    cases: Sequence[Case],
    scores: Sequence[Any],
    examination: Examination,
    count: int,
) -> list[Path]:
    """Predict the `count` cases with the lowest first measure once more, and draw them.

    Pictures that an earlier evaluation left of these cases are removed.
    """
    by_name = {case.name: case for case in cases}
    name, measure = next(iter(examination.measures.items()))
    worst = sorted(scores, key=lambda score: float(getattr(score, name)))[:count]
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
        draw_prediction(path, examination.examine(model, case)[0], title)
        paths.append(path)
    return paths


def _file_name(case: Case) -> str:
    """Its name, with slashes as in an address: no two cases share it."""
    return case.name.replace("%", "%25").replace("/", "%2F")
