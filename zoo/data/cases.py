"""The cases of a data set: where their files are, from tables, and those that a split names."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ReadError

COLUMNS = ("name", "source", "target")


@dataclass(frozen=True)
class Case:
    """What one example is made of.

    Attributes:
        name: such as "000" or "bilateral/000"; unique in its data set.
        source: the defective skull or the scan; None: the target minus the implant.
        target: the complete skull or the labels.
        implant: None: the target minus the source. Without both, a defect is to be cut.
    """

    name: str
    source: Path | None
    target: Path
    implant: Path | None

    @property
    def has_defect(self) -> bool:
        """Whether its files say where something is missing."""
        return self.source is not None or self.implant is not None


def read_table(path: Path) -> list[Case]:
    """The cases of a CSV file with columns name, source, target and, if it likes, implant.

    Paths are relative to the table's folder. An empty source: the target minus the implant or,
    without that too, a defect is cut into the target. Other columns are left aside.

    Raises:
        ReadError: no such table, a column or a value is missing, a name stands there twice, or a
            file that it names is missing.
    """
    lines = _lines(path)
    rows = csv.DictReader(lines, skipinitialspace=True)
    if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
        raise ReadError(
            f"{path}: wanted the columns {','.join(COLUMNS)}[,implant] in its first line,"
            f" got {lines[0].strip() if lines else 'an empty file'!r}; add {', '.join(missing)}"
        )
    cases: dict[str, Case] = {}
    for row in rows:
        place = f"{path}, line {rows.line_num}"
        case = _case(row, place, path.parent)
        if case.name in cases:
            raise ReadError(f"{place}: wanted one line for each name, got {case.name} again")
        cases[case.name] = case
    return list(cases.values())


def _case(row: dict[str, str | None], place: str, folder: Path) -> Case:
    values = {column: (row.get(column) or "").strip() for column in (*COLUMNS, "implant")}
    if not values["name"] or not values["target"]:
        raise ReadError(f"{place}: wanted a name and a target, got {','.join(values.values())}")
    files = {
        part: folder / values[part] for part in ("source", "target", "implant") if values[part]
    }
    for part, file in files.items():
        if not file.is_file():
            raise ReadError(f"{file}: no such file; it is the {part} in {place}: correct its path")
    return Case(values["name"], files.get("source"), files["target"], files.get("implant"))


def select(cases: list[Case], split: Path) -> list[Case]:
    """The cases that a text file names, one a line; "000" stands for "bilateral/000" and so on too.

    Raises:
        ReadError: no such file, no name in it, or a name that no case has.
    """
    names = {line.partition("#")[0].strip() for line in _lines(split)} - {""}
    if not names:
        raise ReadError(f"{split}: wanted a case's name on each line, got none; add one")
    known = {name for case in cases for name in _names(case)}
    if unknown := sorted(names - known):
        raise ReadError(
            f"{split}: wanted names of cases, such as {cases[0].name}, got {', '.join(unknown)},"
            " which no case has; correct or remove them"
        )
    return [case for case in cases if names & _names(case)]


def _names(case: Case) -> set[str]:
    """A case's own name and, where it is one of several defects of a skull, the skull's."""
    return {case.name, case.name.rpartition("/")[2]}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ReadError(f"{path}: wanted UTF-8 text, got other bytes; save it as UTF-8") from error
