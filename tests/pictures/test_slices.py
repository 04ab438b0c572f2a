"""Slices: the right plane, the right way up, the contour where the implant is."""

import numpy as np
import pytest
from picture_checks import Bools, reds

from zoo.pictures._slices import slice_picture, through
from zoo.pictures._surfaces import IMPLANT


def test_slices_go_through_most_of_the_implant(corner: Bools) -> None:
    implant = np.zeros_like(corner)
    implant[3:9, 12, 5] = implant[7, 2:20, 5] = True
    assert through(implant) == {"sagittal": 7, "coronal": 12, "axial": 5}


@pytest.mark.parametrize(
    ("name", "corner_of"), [("axial", (0, 0)), ("coronal", (0, 0)), ("sagittal", (0, 1))]
)
def test_the_implant_lies_where_a_radiologist_expects_it(name: str, corner_of: tuple) -> None:
    """An implant that is right, anterior and superior."""
    given, implant = np.zeros((2, 20, 20, 20), bool)
    given[2:18, 2:18, 2:18] = True
    implant[12:20, 12:20, 12:20] = True
    picture = slice_picture(given & ~implant, [(implant, IMPLANT)], (1, 1, 2), name, 15)
    assert max(picture.shape[:2]) == 480
    assert picture.shape[0] == 480 and picture.shape[1] == (480 if name == "axial" else 240)
    rows, columns = (np.array_split(np.arange(size), 2) for size in picture.shape[:2])
    counts = [[reds(picture[np.ix_(row, column)]) for column in columns] for row in rows]
    assert np.unravel_index(np.argmax(counts), (2, 2)) == corner_of


def test_without_an_implant_nothing_is_coloured(corner: Bools) -> None:
    picture = slice_picture(corner, [(np.zeros_like(corner), IMPLANT)], (1, 1, 1), "axial", 4)
    assert reds(picture) == 0
    assert (picture < 250).any(axis=2).mean() == pytest.approx((20 / 24) ** 2, rel=0.05)
