"""Tables that a spreadsheet may open, whatever the cases are called."""

import csv
from io import StringIO

import pytest

from zoo.tables import csv_of, rows_of

NAMES = [
    "=cmd|' C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "'quoted",
    "'=1",
    "",
    "a,b",
    "a\nb",
    "é",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_as_it_was(name):
    written = csv_of([{"case": name, "dice": -0.5, "left": 1}], ["case", "dice"])
    assert rows_of(written) == [{"case": name, "dice": "-0.5"}]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_begins_a_formula(name):
    ((cell,),) = list(csv.reader(StringIO(csv_of([{"case": name}], ["case"]))))[1:] or [[""]]
    assert not cell.startswith(("=", "+", "-", "@", "\t"))


def test_numbers_stay_numbers_and_nothing_is_empty():
    assert csv_of([{"a": -1.5, "b": None}], ["a", "b"]) == "a,b\n-1.5,\n"
