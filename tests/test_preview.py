"""The preview sheet: views that face the implant, the implant in its own column."""

from pathlib import Path

import numpy as np
import pytest
from pictures import Bools, drawn, reds
from PIL import Image

from zoo.errors import VolumeError, WriteError
from zoo.preview import facing_views, save_preview


def test_views_face_the_implant(corner: Bools) -> None:
    implant = np.zeros_like(corner)
    implant[2:4, 2:10, 10:14] = True
    assert facing_views(corner, implant) == ("oblique back left", "left")


def test_the_sheet_is_written(corner: Bools, tmp_path: Path) -> None:
    implant = np.zeros_like(corner)
    implant[14:22, 14:22, 18:22] = True
    save_preview(tmp_path / "a.png", corner & ~implant, corner, implant, (1, 1, 1), title="a tower")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.size == (1200, 1248)
        assert reds(np.asarray(image)[:, 800:]) > 1000  # the third column: the implant


def test_without_an_implant_the_sheet_says_so(corner: Bools, tmp_path: Path) -> None:
    save_preview(tmp_path / "a.png", corner, corner, np.zeros_like(corner), (1, 1, 1))
    with Image.open(tmp_path / "a.png") as image:
        columns = np.split(drawn(np.asarray(image.convert("RGB")))[100:816], 3, axis=1)
    assert np.count_nonzero(columns[0]) == pytest.approx(np.count_nonzero(columns[1]), rel=0.05)
    assert np.count_nonzero(columns[0]) > 10_000
    assert 100 < np.count_nonzero(columns[2]) < 3_000  # words alone


def test_a_sheet_that_cannot_be_made_is_refused(corner: Bools, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="one shape"):
        save_preview(tmp_path / "a.png", corner, corner, corner[1:], (1, 1, 1))
    with pytest.raises(WriteError):
        save_preview(tmp_path / "missing" / "a.png", corner, corner, corner, (1, 1, 1))
