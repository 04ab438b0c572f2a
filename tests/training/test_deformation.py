"""Deforming the coverage of shapes."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from zoo.training.augmentation import draw_matrix
from zoo.training.config import AugmentationConfig
from zoo.training.deformation import deform


def blob():
    grid = np.zeros((20, 24, 18), np.float32)
    grid[4:12, 5:20, 6:12] = 1
    grid[4, 5:20, 6:12] = 0.5
    return np.stack([grid, grid * 0.5])


def deformed(seed=0, **config):
    return deform(blob(), 1.6, AugmentationConfig(**config), np.random.default_rng(seed))


def test_nothing_to_draw_changes_nothing():
    assert np.array_equal(deformed(), blob())


def test_a_flip_is_exact():
    assert np.array_equal(deformed(flip=1), blob()[:, ::-1])


@pytest.mark.parametrize("config", [{"degrees": 20}, {"deformation": 2}, {"scale": (1, 1)}])
def test_shapes_keep_about_their_volume_and_stay_together(config):
    for seed in range(5):
        found = deformed(seed, **config)
        assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
        assert found[0].sum() == pytest.approx(blob()[0].sum(), rel=0.25)
        np.testing.assert_allclose(found[1], found[0] * 0.5, atol=1e-6)
        assert (deformed(seed, **config) == found).all()


def test_scaling_scales_and_fits():
    found = deformed(scale=(1.5, 1.5))
    assert found[0].sum() == pytest.approx(1.5**3 * blob()[0].sum(), rel=0.05)
    assert not any(found[0].take([0, -1], axis).any() for axis in range(3))


def test_far_shapes_move_as_scipy_moves_them():
    """Blocks that nothing reaches are left out, others are not."""
    shapes = np.zeros((1, 60, 50, 41), np.float32)
    shapes[0, 3:9, 2:40, 5] = 1
    shapes[0, 50:58, 44, 30:39] = 0.7
    config = AugmentationConfig(degrees=25, scale=(0.8, 1.3), stretch=0.1, flip=0.5)
    for seed in range(4):
        found = deform(shapes, 1.6, config, np.random.default_rng(seed))[0]
        inverse = np.linalg.inv(draw_matrix(config, np.random.default_rng(seed)))
        middles = [(np.array(grid.shape) - 1) / 2 for grid in (shapes[0], found)]
        wanted = affine_transform(
            shapes[0], inverse, middles[0] - inverse @ middles[1], found.shape, order=1
        )
        inside = np.pad(np.ones(np.array(found.shape) - 2, bool), 1)  # SciPy cuts off the outermost
        np.testing.assert_allclose(found[inside], wanted[inside], atol=1e-4)
        assert found.any()


def test_displacements_are_smooth_and_of_the_size_asked_for():
    still, moved = deformed(), deformed(deformation=3)
    middle = [np.array(np.nonzero(grid[0] > 0.5)).mean(axis=1) for grid in (still, moved)]
    shift = middle[1] - middle[0] - (np.array(moved.shape[1:]) - still.shape[1:]) / 2
    assert 0.05 < np.abs(shift).max() * 1.6 < 9
