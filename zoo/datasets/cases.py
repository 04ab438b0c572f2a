"""The cases of a data set: where their files are, by a table, and which of them a split names."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from zoo.errors import ReadError

CaseKind = Literal["shape", "labels"]  # source, target and implant; or a scan and its labels

Values = Mapping[str, tuple[int, ...]]  # of structures in a labels file, by their names

COLUMNS = ("name", "source", "target")


@dataclass(frozen=True)
class Case:
    """Where the files of one example are.

    Attributes:
        name: such as "000" or "bilateral/000"; unique in its data set.
        source: the defective skull or the scan; None: the target minus the implant.
        target: the complete skull; or the labels: a file, or a folder with a mask for each
            structure.
        implant: what is missing; None: the target minus the source. Where source and implant are
            both None, a defect is to be cut.
        values: of a labels file, the values that each structure has; empty if they have no names.
    """

    name: str
    source: Path | None
    target: Path
    implant: Path | None
    values: Values = field(default_factory=dict, hash=False)

    @property
    def has_defect(self) -> bool:
        """Whether its files say where something is missing."""
        return self.source is not None or self.implant is not None


def read_table(path: Path) -> list[Case]:
    """The cases of a CSV file with the columns name, source, target and, optionally, implant.

    Paths are relative to the table's folder. An empty source means the target minus the implant or,
    if that is empty too, that a defect is to be cut into the target. Other columns are ignored.

    Raises:
        ReadError: no such table, a column or a value is missing, a name is there twice, or a file
            that it names is missing.
    """
    lines = _lines(path)
    rows = csv.DictReader(lines, skipinitialspace=True)
    try:
        columns, numbered = rows.fieldnames or (), [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise ReadError(f"{path}: wanted a table, got: {error}; save it as CSV") from error
    if missing := [column for column in COLUMNS if column not in columns]:
        got = lines[0].strip()[:80] if lines else "an empty file"
        raise ReadError(
            f"{path}: wanted the columns {','.join(COLUMNS)}[,implant] in its first line,"
            f" got {got!r}; add {', '.join(missing)}"
        )
    cases: dict[str, Case] = {}
    for number, row in numbered:
        line = f"{path}, line {number}"
        case = _case(row, line, path.parent)
        if case.name in cases:
            raise ReadError(f"{line}: wanted one line for each name, got {case.name} again")
        cases[case.name] = case
    return list(cases.values())


def _case(row: dict[str, str | None], line: str, folder: Path) -> Case:
    values = {column: (row.get(column) or "").strip() for column in (*COLUMNS, "implant")}
    if not values["name"] or not values["target"]:
        raise ReadError(f"{line}: wanted a name and a target, got {','.join(values.values())}")
    files = {
        part: folder / values[part] for part in ("source", "target", "implant") if values[part]
    }
    for part, file in files.items():
        if not os.path.isfile(file):  # a Path would raise, of a name that is too long
            raise ReadError(f"{file}: no such file; it is the {part} in {line}: correct its path")
    return Case(values["name"], files.get("source"), files["target"], files.get("implant"))


def select(cases: list[Case], split: Path) -> list[Case]:
    """The cases that a text file names, one per line; "000" also names "bilateral/000" and so on.

    Raises:
        ReadError: no such file, no name in it, or a name that no case has.
    """
    names = {line.partition("#")[0].strip() for line in _lines(split)} - {""}
    if not names:
        raise ReadError(f"{split}: wanted a case's name on each line, got none; add one")
    known = {name for case in cases for name in _names(case)}
    if unknown := sorted(names - known):
        raise ReadError(
            f"{split}: wanted names of cases, such as {cases[0].name}, got"
            f" {', '.join(unknown)[:200]}, which no case has; correct or remove them"
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
