"""Tables as CSV, which spreadsheets open without taking a name in them for a formula."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

DANGEROUS = ("=", "+", "-", "@", "\t")  # what a spreadsheet takes for the start of a formula
QUOTE = "'"  # what makes it text


def csv_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV with a header; None becomes an empty cell.

        >>> print(csv_of([{"case": "=1+1", "dice": 0.5}], ["case", "dice"]), end="")
        case,dice
        '=1+1,0.5

    Args:
        rows: the values by their columns; others are left out.
        columns: the names of the columns, in order.
    """
    written = StringIO()
    table = csv.DictWriter(written, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows({name: _harmless(row[name]) for name in columns} for row in rows)
    return written.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows that `csv_of` wrote, as text.

        >>> rows_of("case,dice\\n'=1+1,0.5\\n")
        [{'case': '=1+1', 'dice': '0.5'}]

    Raises:
        csv.Error: it is no CSV.
    """
    rows = csv.DictReader(StringIO(text))
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _harmless(value: Any) -> Any:
    return f"{QUOTE}{value}" if _is_dangerous(value) else value


def _plain(value: Any) -> Any:
    return value[1:] if _is_dangerous(value) and value.startswith(QUOTE) else value


def _is_dangerous(value: Any) -> bool:
    """Whether it would be a formula, also behind quotes, which would be taken for ours."""
    return isinstance(value, str) and value.lstrip(QUOTE).startswith(DANGEROUS)
