"""Renderings: the right way round, in the right proportions, the overlay in its colour."""

import numpy as np
import pytest
from picture_checks import Bools, Picture, drawn, reds

from zoo.errors import VolumeError
from zoo.pictures._surfaces import LARGEST_AXIS, render


def heavier_half(picture: Picture) -> str:
    """Where most is drawn in the upper half of the picture: 'left' or 'right'."""
    upper = drawn(picture)[: picture.shape[0] // 2]
    middle = upper.shape[1] // 2
    return "left" if upper[:, :middle].sum() > upper[:, middle:].sum() else "right"


@pytest.mark.parametrize(
    ("view", "side"),
    [("front", "left"), ("back", "right"), ("right", "right"), ("left", "left")],
)
def test_views_are_the_right_way_round(corner: Bools, view: str, side: str) -> None:
    assert heavier_half(render(corner, (1, 1, 1), view)) == side


def test_the_top_view_shows_right_on_the_right_and_anterior_up(corner: Bools) -> None:
    corner[:, :, :6] = False
    ink = drawn(render(corner, (1, 1, 1), "top"))
    rows, columns = np.nonzero(ink)
    assert rows.mean() < ink.shape[0] / 2
    assert columns.mean() > ink.shape[1] / 2


def test_spacing_gives_the_proportions() -> None:
    picture = render(np.ones((20, 20, 10), bool), (1.0, 1.0, 4.0), "front")
    rows, columns = (np.count_nonzero(drawn(picture).any(axis=axis)) for axis in (1, 0))
    assert rows / columns == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
def test_the_overlay_has_its_own_colour(corner: Bools) -> None:
    overlay = np.zeros_like(corner)
    overlay[2:22, 20:22, 2:22] = True
    assert reds(render(corner, (1, 1, 1), "front")) == 0
    assert reds(render(corner, (1, 1, 1), "front", overlay)) > 1000


def test_thin_bone_and_large_volumes_are_drawn() -> None:
    sheet = np.zeros((2 * LARGEST_AXIS, 40, 40), bool)
    sheet[:, 20, 5:35] = True
    assert drawn(render(sheet, (0.4, 0.4, 0.4), "front")).mean() > 0.4


def test_an_empty_volume_is_a_blank_picture() -> None:
    assert not drawn(render(np.zeros((8, 8, 8), bool), (1, 1, 1), "oblique")).any()


@pytest.mark.slow
def test_a_gap_shows_what_lies_behind_it() -> None:
    walls = np.zeros((32, 32, 32), bool)
    walls[:, 6:9] = walls[:, 24:27] = True
    walls[12:20, 24:27, 12:20] = False  # a window in the anterior wall
    front = render(walls, (1, 1, 1), "front")
    middle = front.shape[0] // 2, front.shape[1] // 2
    assert drawn(front)[middle]
    assert front[middle].mean() < front[middle[0], middle[1] // 3].mean() - 20  # deeper, darker
    walls[:, 6:9] = False
    assert not drawn(render(walls, (1, 1, 1), "front"))[middle]


def test_thin_bone_is_drawn_between_thick_slices() -> None:
    sheet = np.zeros((2 * LARGEST_AXIS + 1, 30, 60), bool)
    sheet[:, 14] = True
    ink = drawn(render(sheet, (0.4, 0.4, 2.4), "front"))
    height, width = (np.count_nonzero(ink.any(axis=axis)) for axis in (1, 0))
    assert height / width == pytest.approx(60 * 2.4 / (513 * 0.4), rel=0.15)  # its rim is blurred
    assert np.count_nonzero(ink) > 0.95 * height * width


def test_what_cannot_be_drawn_is_refused(corner: Bools) -> None:
    with pytest.raises(VolumeError, match="no view named 'behind'"):
        render(corner, (1, 1, 1), "behind")
