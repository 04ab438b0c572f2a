"""Augmentation: shapes stay closed, move alike, and are noisy at the surface of the input alone."""

import numpy as np
import pytest
from scipy.ndimage import label

from zoo.training.augmentation import augment, draw_matrix, roughened, transformed
from zoo.training.config import AugmentationConfig


def shell(edge=40, thickness=2.0):
    x, y, z = np.indices((edge,) * 3) - (edge - 1) / 2
    radius = np.sqrt(x**2 + y**2 + z**2)
    return (radius < 15) & (radius >= 15 - thickness)


def closed(grid):
    """Whether no way leads through faces of empty voxels from the middle to the outside."""
    pieces, _ = label(np.pad(~grid, 1, constant_values=True))
    return pieces[tuple(np.array(pieces.shape) // 2)] != pieces[0, 0, 0]


@pytest.mark.parametrize("scale", [0.7, 0.9, 1.0, 1.1, 1.4])
@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_no_holes_whatever_the_scale_and_rotation(scale, degrees):
    config = AugmentationConfig(degrees=degrees, scale=(scale, scale))
    grid = shell(thickness=1.5)
    assert closed(grid)
    for seed in range(3):
        matrix = draw_matrix(config, np.random.default_rng(seed))
        moved = transformed(grid.astype(np.uint8), matrix) > 0
        assert closed(moved)
        assert np.ptp(np.argwhere(moved), axis=0) + 1 == pytest.approx(30 * scale, abs=2)
        if scale >= 1:
            assert moved.sum() == pytest.approx(scale**3 * grid.sum(), rel=0.06)


def test_rotation_agrees_with_mapping_back_every_voxel(corner):
    matrix = draw_matrix(AugmentationConfig(degrees=20), np.random.default_rng(4))
    assert np.linalg.inv(matrix) == pytest.approx(matrix.T)
    moved = transformed(corner.astype(np.uint8), matrix)
    low, high = np.argwhere(corner).min(0), np.argwhere(corner).max(0)
    wide = np.stack(np.indices((60,) * 3), -1).reshape(-1, 3) - 20
    middle = (low + high) / 2
    origin = np.rint((wide - middle) @ matrix + middle).astype(int)
    inside = ((origin >= 0) & (origin < 24)).all(1)
    wanted = corner[tuple(origin[inside].T)].sum()
    assert np.count_nonzero(moved) == wanted


def test_stretch_scales_every_axis_by_itself_within_its_limits():
    rng = np.random.default_rng(0)
    config = AugmentationConfig(stretch=0.1)
    factors = np.array([np.diag(draw_matrix(config, rng)) for _ in range(200)])
    assert factors.min() >= 0.9
    assert factors.max() <= 1.1
    assert np.all(factors.std(axis=0) > 0.04)
    assert np.all(np.abs(np.corrcoef(factors.T) - np.eye(3)) < 0.25)


def test_without_stretch_nothing_is_drawn_for_it():
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    draw_matrix(AugmentationConfig(), rng)
    same.random(1 + 1 + 3)  # flip, scale, rotations
    assert rng.random() == same.random()


def test_flip_swaps_left_and_right_exactly(corner):
    flipped, complete = augment(
        corner, corner, AugmentationConfig(flip=1), np.random.default_rng(0)
    )
    assert (np.argwhere(complete) == np.argwhere(flipped)).all()
    got, wanted = (np.argwhere(grid) for grid in (complete, corner[::-1]))
    assert (got - got.min(0) == wanted - wanted.min(0)).all()


def test_both_shapes_move_alike(corner):
    defective = corner.copy()
    defective[14:22, 14:22, 12:18] = False
    config = AugmentationConfig(degrees=10, scale=(0.9, 1.1))
    source, target = augment(defective, corner, config, np.random.default_rng(3))
    assert source.shape == target.shape
    assert not (source & ~target).any()
    lost = np.count_nonzero(target & ~source) / np.count_nonzero(target)
    assert lost == pytest.approx(1 - defective.sum() / corner.sum(), rel=0.1)


def test_noise_is_at_the_surface_of_the_input_alone(corner):
    source, target = augment(
        corner, corner, AugmentationConfig(noise=0.3), np.random.default_rng(0)
    )
    assert (target == np.pad(corner, 1)).all()
    inner = shell(thickness=9)
    rough = roughened(inner, 0.3, np.random.default_rng(0))
    changed = rough != inner
    x, y, z = np.indices(inner.shape) - 19.5
    radius = np.sqrt(x**2 + y**2 + z**2)[changed]
    assert (np.minimum(abs(radius - 15), abs(radius - 6)) < 1.5).all()
    assert (changed & inner).any() and (changed & ~inner).any()
    surface = np.count_nonzero(source != target)
    assert 0 < surface < np.count_nonzero(target)
