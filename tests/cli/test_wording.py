"""What commands say in passing, word by word."""

import pytest

from zoo.cli.predict import _in_words


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("mm", "3 x 4 x 5, RAS, 1 x 1 x 2 mm"),
        ("unknown", "3 x 4 x 5, RAS, 1 x 1 x 2 mm (no unit in the header)"),
        ("meter", "3 x 4 x 5, RAS, 1 x 1 x 2 mm (metres in the header)"),
        ("micron", "3 x 4 x 5, RAS, 1 x 1 x 2 mm (micrometres in the header)"),
    ],
)
def test_a_header_that_does_not_give_millimetres_is_mentioned(unit, said):
    given = {"shape": [3, 4, 5], "orientation": "RAS", "spacing": [1.0, 1.0, 2.0], "unit": unit}
    assert _in_words(given | {"threshold": None}) == said
