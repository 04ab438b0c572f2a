"""Printing for the command line: lines, facts, tables and JSON on stdout, errors on stderr."""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

out, err = Console(), Console(stderr=True)
spoken: dict[str, str] = {}  # paths that no user has given, and what is printed instead


class Stopped(Exception):
    """The user stopped a command, which says how to go on."""


def printable(text: str) -> str:
    """Replace control characters, which a terminal would obey and an untrusted file may contain."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def say(line: str) -> None:
    """Print one line as it is: never wrapped, coloured or parsed as markup."""
    out.print(_line(line), soft_wrap=True)


def remark(line: str) -> None:
    """Print one line to stderr as it is: how something goes on, which is not its result."""
    err.print(_line(line), soft_wrap=True)


def complain(message: str) -> None:
    """Print a message to stderr, always on one line."""
    err.print(_line(f"zoo: {message}"), soft_wrap=True)


def caution(message: str) -> None:
    """Print a warning to stderr, always on one line."""
    err.print(_line(f"warning: {message}"), soft_wrap=True)


def _line(text: str) -> Text:
    """Text on one line, whatever names it contains."""
    for path, name in spoken.items():
        text = text.replace(path, name)
    return Text(printable(" ".join(text.splitlines())))


class Report:
    """Prints an error to stderr on one line, after its traceback if tracebacks are switched on.

    Attributes:
        tracebacks: whether tracebacks are printed.
    """

    def __init__(self) -> None:
        self.tracebacks = False

    def __call__(self, message: str, error: BaseException) -> None:
        if self.tracebacks:
            traceback.print_exception(error)
        complain(message)


report_error = Report()


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    print(json.dumps(value, indent=2))


def print_facts(facts: dict[str, Any], indent: str = "") -> None:
    """Print names and values, one pair per line; nested facts are indented below their name."""
    for name, value in facts.items():
        line = Text(f"{indent}{name}".ljust(13) + " ", style="bold")
        if not isinstance(value, dict):
            values = value if isinstance(value, list) else [value]
            line.append(printable(", ".join(map(str, values))), style="not bold")
        line.rstrip()
        out.print(line, soft_wrap=True)
        if isinstance(value, dict):
            print_facts(value, indent + "  ")


def print_table(rows: list[dict[str, Any]], *, whole: tuple[str, ...] = ()) -> None:
    """Print rows, which all have the same keys, below a header; never fold the `whole` columns."""
    gap = (0, 1, 0, 0) if whole else (0, 1)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=gap)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    out.print(table)


def _cell(value: Any) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(f"{value:.4f}" if isinstance(value, float) else printable(str(value)))
