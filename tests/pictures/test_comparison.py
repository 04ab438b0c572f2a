"""The comparison of a prediction with its ground truth, coloured by distance."""

from pathlib import Path

import numpy as np
import pytest
from picture_checks import Bools
from PIL import Image

import zoo
from zoo.models.prediction import Prediction, Probabilities
from zoo.pictures import draw_comparison
from zoo.pictures._comparison import Painter, Surface, _top
from zoo.pictures._ramp import STOPS
from zoo.volumes.resampling import Resampled

SPACING = (1.0, 1.0, 2.0)


def slab(low: int, high: int) -> Bools:
    grid = np.zeros((24, 24, 24), bool)
    grid[4:20, 4:20, low:high] = True
    return grid


def near(pixels: np.ndarray, colour: np.ndarray) -> int:
    """How many pixels have about this colour, whatever the light."""
    ratios = pixels / np.maximum(pixels.max(axis=-1, keepdims=True), 1)
    away = np.abs(ratios - colour / colour.max()).max(axis=-1)
    return int(np.count_nonzero((away < 0.05) & (pixels.min(axis=-1) < 200)))


def test_colours_are_those_of_the_distances() -> None:
    """The upper side lies two voxels of 2 mm below that of the other, the lower one on it."""
    surface = Surface.of(slab(8, 12), slab(8, 14), SPACING)
    assert _top([surface]) == 5
    paint = Painter(surface, 4.0, np.zeros(3), np.array(SPACING))
    indices = np.array([[12, 12, 8], [12, 12, 11]]).T + 2.0  # with the padding of a scene
    assert paint(indices).tolist() == [STOPS[-1].tolist(), STOPS[0].tolist()]


def test_of_nothing_everything_is_as_far_as_the_scale_goes() -> None:
    surface = Surface.of(slab(8, 12), slab(0, 0), SPACING)
    assert _top([surface]) == 1
    assert np.isinf(surface.distances(np.array([[12.0, 12, 16]]))).all()


@pytest.mark.slow
@pytest.mark.parametrize("found", [True, False])
def test_implants_beside_each_other(tmp_path: Path, found: bool) -> None:
    bone, true = slab(2, 8), slab(8, 12)
    implant = slab(8, 17) if found else slab(0, 0)
    affine = np.diag([*SPACING, 1.0])
    whole, part, given, truth = (
        zoo.Volume(grid.astype(np.uint8), affine) for grid in (bone | implant, implant, bone, true)
    )
    path = tmp_path / "a.png"
    draw_comparison(path, Prediction(whole, part, given, {}), truth, "a title")
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(float)
    predicted, wanted = pixels[430:1190, :400], pixels[430:1190, 400:800]
    assert (near(predicted, STOPS[0]) > 5_000) == found
    assert (near(wanted, STOPS[0]) > 5_000) == (not found)  # without an implant all is far


@pytest.mark.slow
def test_structures_beside_their_ground_truth(tmp_path: Path) -> None:
    labels = (slab(4, 10) + 2 * slab(12, 20)).astype(np.uint8)
    scan = zoo.Volume(np.random.default_rng(0).normal(0, 50, labels.shape).astype(np.float32))
    conformed = Resampled(scan, scan.array, (1, 1, 1), resampled=False)
    shares = Probabilities(conformed, np.zeros((0, 3), int), np.zeros((0, 3), "f4"), ("a", "b"))
    predicted, truth = zoo.Volume(labels), zoo.Volume(labels * (labels == 1))
    prediction = Prediction(predicted, None, predicted, {}, shares)
    draw_comparison(tmp_path / "a.png", prediction, truth, "a title")
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(float)
    predicted_side, true_side = pixels[48:1190, :400], pixels[48:1190, 400:800]
    assert near(predicted_side, STOPS[0]) > 5_000  # the structure that there is not
    assert near(predicted_side, STOPS[-1]) > 5_000 and near(true_side, STOPS[-1]) > 5_000
    assert near(true_side, STOPS[0]) == 0
