"""What the command line prints: plain lines, facts, tables and JSON on stdout, errors on stderr."""

from __future__ import annotations

import json
import re
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

out, err = Console(), Console(stderr=True)


def printable(text: str) -> str:
    """Without control characters, which a terminal would obey and a stranger's file may hold."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def say(line: str) -> None:
    """Print one line as it is: never wrapped, coloured or read as markup."""
    out.print(Text(printable(line)), soft_wrap=True)


def complain(message: str) -> None:
    """Print a message to stderr, on one line whatever it holds."""
    err.print(Text(printable(f"zoo: {' '.join(message.splitlines())}")), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    print(json.dumps(value, indent=2))


def print_facts(facts: dict[str, Any], indent: str = "") -> None:
    """Print names and values, one pair a line; what is nested is indented below its name."""
    for name, value in facts.items():
        line = Text(f"{indent}{name}".ljust(13) + " ", style="bold")
        if not isinstance(value, dict):
            values = value if isinstance(value, list) else [value]
            line.append(printable(", ".join(map(str, values))), style="not bold")
        line.rstrip()
        out.print(line, soft_wrap=True)
        if isinstance(value, dict):
            print_facts(value, indent + "  ")


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows of the same keys below a header."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    out.print(table)


def _cell(value: Any) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(f"{value:.4f}" if isinstance(value, float) else printable(str(value)))
