import numpy as np
import pytest

from zoo.metrics import dice


def line(*occupied, size=10):
    grid = np.zeros((size, 1, 1), dtype=np.uint8)
    grid[list(occupied)] = 1
    return grid


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (line(0, 1, 2), line(0, 1, 2), 1.0),
        (line(0, 1), line(2, 3), 0.0),
        (line(0, 1, 2), line(2), 0.5),
        (line(0, 1, 2, 3) * 255, line(2, 3, 4, 5).astype(bool), 0.5),
        (line(), line(), 1.0),
        (line(), line(1), 0.0),
    ],
)
def test_dice(a, b, wanted):
    assert dice(a, b) == wanted == dice(b, a)


def test_dice_agrees_with_scipy():
    from scipy.spatial.distance import dice as dissimilarity

    a, b = np.random.default_rng(0).random((2, 5, 6, 7)) < 0.4
    assert dice(a, b) == pytest.approx(1 - dissimilarity(a.ravel(), b.ravel()))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        dice(line(size=3), line(size=4))
