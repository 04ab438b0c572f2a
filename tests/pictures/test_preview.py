"""The preview sheet: the implant in its own column, words where there is none."""

from pathlib import Path

import numpy as np
import pytest
from picture_checks import Bools, drawn, reds
from PIL import Image

import zoo
from zoo.errors import VolumeError, WriteError
from zoo.models.prediction import Prediction, Probabilities
from zoo.pictures.preview import draw_prediction, save_preview, save_shapes
from zoo.volumes.resampling import Resampled

pytestmark = pytest.mark.slow


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


def test_super_resolution_shows_input_and_prediction(corner: Bools, tmp_path: Path) -> None:
    fine = zoo.Volume(corner.repeat(2, 0).repeat(2, 1).repeat(2, 2).astype(np.uint8))
    draw_prediction(tmp_path / "a.png", Prediction(fine, None, fine, {}), "a title")
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image)
    columns = np.split(drawn(pixels)[100:800], 3, axis=1)
    assert all(np.count_nonzero(column) > 10_000 for column in columns)
    assert reds(pixels[816:]) > 1000  # the contours in the slices


@pytest.mark.parametrize("found", [True, False])
def test_segmentation_shows_structures_and_the_scan(
    corner: Bools, tmp_path: Path, found: bool
) -> None:
    labels = np.zeros(corner.shape, np.uint8)
    if found:
        labels[corner], labels[14:22, 14:22, 12:] = 1, 2
    scan = zoo.Volume(np.random.default_rng(0).normal(0, 50, corner.shape).astype(np.float32))
    conformed = Resampled(scan, scan.array, (1, 1, 1), resampled=False)
    points, logits = np.argwhere(corner), np.zeros((corner.sum(), 3), np.float32)
    shares = Probabilities(conformed, points, logits, ("slab", "tower"))
    volume = zoo.Volume(labels)
    prediction = Prediction(volume, None, volume, {}, shares)
    draw_prediction(tmp_path / "a.png", prediction, "a title")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1200, 864)
        pixels = np.asarray(image)
    surfaces = np.count_nonzero(drawn(pixels[100:430]))
    assert surfaces > 10_000 if found else 100 < surfaces < 10_000
    assert np.count_nonzero(drawn(pixels[500:800])) > 10_000  # the scan


def test_a_scan_alone_has_slices(tmp_path: Path) -> None:
    scan = np.linspace(0, 1, 6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
    save_shapes(tmp_path / "scan.png", [], (1.0, 1.0, 1.0), "a scan", scan)
    with Image.open(tmp_path / "scan.png") as image:
        assert image.convert("L").getextrema()[1] > 200
