"""Pictures: the right way round, in the right proportions, the implant in its colour."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import VolumeError, WriteError
from zoo.preview import LARGEST_AXIS, facing_views, render, save_preview


@pytest.fixture
def corner():
    """A low slab, and a tower on its right anterior quarter."""
    volume = np.zeros((24, 24, 24), bool)
    volume[2:22, 2:22, 2:6] = True
    volume[14:22, 14:22, 2:22] = True
    return volume


def drawn(picture):
    return picture.min(axis=2) < 250


def heavier_half(picture):
    """Where most is drawn in the upper half of the picture: 'left' or 'right'."""
    upper = drawn(picture)[:picture.shape[0] // 2]
    middle = upper.shape[1] // 2
    return "left" if upper[:, :middle].sum() > upper[:, middle:].sum() else "right"


@pytest.mark.parametrize("view, side", (("front", "left"), ("back", "right"), ("right", "right"), ("left", "left")))
def test_views_are_the_right_way_round(corner, view, side):
    assert heavier_half(render(corner, (1, 1, 1), view)) == side


def test_the_top_view_shows_right_on_the_right_and_anterior_up(corner):
    corner[:, :, :6] = False
    ink = drawn(render(corner, (1, 1, 1), "top"))
    rows, columns = np.nonzero(ink)
    assert rows.mean() < ink.shape[0] / 2 and columns.mean() > ink.shape[1] / 2


def test_spacing_gives_the_proportions():
    picture = render(np.ones((20, 20, 10), bool), (1.0, 1.0, 4.0), "front")
    rows, columns = (np.count_nonzero(drawn(picture).any(axis=axis)) for axis in (1, 0))
    assert rows / columns == pytest.approx(2.0, rel=0.1)


def test_the_overlay_has_its_own_colour(corner):
    overlay = np.zeros_like(corner)
    overlay[2:22, 20:22, 2:22] = True
    red = lambda picture: np.count_nonzero(picture[..., 0] > picture[..., 2].astype(int) + 60)
    assert red(render(corner, (1, 1, 1), "front")) == 0
    assert red(render(corner, (1, 1, 1), "front", overlay)) > 1000


def test_thin_bone_and_large_volumes_are_drawn():
    sheet = np.zeros((2 * LARGEST_AXIS, 40, 40), bool)
    sheet[:, 20, 5:35] = True
    assert drawn(render(sheet, (0.4, 0.4, 0.4), "front")).mean() > 0.4


def test_an_empty_volume_is_a_blank_picture():
    assert not drawn(render(np.zeros((8, 8, 8), bool), (1, 1, 1), "oblique")).any()


def test_views_face_the_implant(corner):
    implant = np.zeros_like(corner)
    implant[2:4, 2:10, 10:14] = True
    assert facing_views(corner, implant) == ("oblique back left", "left")


def test_the_sheet_is_written(corner, tmp_path):
    implant = np.zeros_like(corner)
    implant[14:22, 14:22, 18:22] = True
    save_preview(tmp_path / "a.png", corner & ~implant, corner, implant, (1, 1, 1), title="a tower")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and image.size == (1200, 864)


def test_what_cannot_be_drawn_is_refused(corner, tmp_path):
    with pytest.raises(VolumeError, match="no view named 'behind'"):
        render(corner, (1, 1, 1), "behind")
    with pytest.raises(VolumeError, match="one shape"):
        save_preview(tmp_path / "a.png", corner, corner, corner[1:], (1, 1, 1))
    with pytest.raises(WriteError):
        save_preview(tmp_path / "missing" / "a.png", corner, corner, corner, (1, 1, 1))
