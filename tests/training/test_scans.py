"""Augmentation of scans: labels move with them, and each option changes what it says."""

import numpy as np
import pytest
from scipy import ndimage

from zoo.training import ScanConfig, augment_scan

WINDOWS = (0.0, 100.0)


def scan(size=24):
    """A ball of 80 in 10, labelled 1, to the right of the middle."""
    i, j, k = np.indices((size,) * 3) - size // 2
    ball = (i - 4) ** 2 + j**2 + k**2 < 25
    return np.where(ball, 80, 10).astype(np.float32), ball.astype(np.uint8)


def augmented(seed=0, **config):
    return augment_scan(*scan(), ScanConfig(**config), WINDOWS, 2.0, np.random.default_rng(seed))


def test_nothing_changes_by_default():
    values, labels = augmented()
    assert (values == scan()[0]).all() and (labels == scan()[1]).all()


@pytest.mark.parametrize(
    "config",
    [
        {"flip": 1},
        {"degrees": 20},
        {"scale": (0.7, 0.8)},
        {"stretch": 0.3},
        {"deformation": 3},
        {"deformation": 1, "degrees": 20, "flip": 1},
    ],
)
def test_labels_move_with_the_scan(config):
    values, labels = augmented(**config)
    assert values.dtype == np.float32 and labels.dtype == np.uint8
    assert (labels != scan()[1]).any()
    assert ((values > 45) != (labels == 1)).sum() < 0.15 * labels.sum()  # interpolated, and not


@pytest.mark.parametrize("deformation", [0, 1])
def test_what_turns_into_view_is_as_dark_or_as_bright_as_air(deformation):
    values, labels = scan()
    config = ScanConfig(scale=(0.5, 0.5), deformation=deformation)
    for sign, bright in ((1, False), (-1, True)):
        rng = np.random.default_rng(0)
        small, _ = augment_scan(sign * values, labels, config, WINDOWS, 2.0, rng, bright_air=bright)
        assert small[0, 0, 0] == sign * 10


def test_a_sample_shows_a_part_of_the_scan():
    for seed in range(5):
        values, labels = augmented(seed, field_of_view=(1, 0.5, 0.25))
        i, j, k = values.shape
        assert i == 24 and 12 <= j <= 24 and 6 <= k <= 24
        assert values.shape == labels.shape


def test_a_crop_is_so_many_millimetres_around_something_labelled():
    for seed in range(20):
        values, labels = augmented(seed, crop=(16, 9, 100))
        assert values.shape == labels.shape == (8, 4, 24)
        assert labels.any()


def test_a_deformation_is_smooth_and_in_millimetres():
    moved = [np.argwhere(augmented(seed, deformation=4)[1]).mean(axis=0) for seed in range(30)]
    still = np.argwhere(scan()[1]).mean(axis=0)
    assert 0.7 < np.std(np.array(moved) - still) < 3.5  # about 2 voxels
    _, labels = augmented(deformation=4)
    _, count = ndimage.label(labels)
    assert count == 1


@pytest.mark.parametrize(
    "config",
    [
        {"contrast": 0.5},
        {"brightness": 0.3},
        {"noise": 0.2},
        {"blur": 2},
        {"coarse": 4},
        {"bias": 0.4},
    ],
)
def test_intensities_change_and_labels_stay(config):
    values, labels = augmented(1, **config)
    assert values.dtype == np.float32 and (labels == scan()[1]).all()
    assert values.shape == labels.shape
    assert np.abs(values - scan()[0]).max() > 1


def test_amounts_are_shares_of_the_windows_width():
    raised = augmented(brightness=0.3)[0] - scan()[0]
    assert np.ptp(raised) < 1e-4 and 0 < abs(raised).max() <= 30
    spread = np.ptp(augmented(contrast=0.5)[0])
    assert 35 <= spread <= 105 and abs(spread - 70) > 1
    noise = (augmented(noise=0.2)[0] - scan()[0]).std()
    assert 0 < noise <= 20.5


def test_thick_slices_are_alike_along_one_axis():
    """Averages of 20 slices do not tell where along it the ball is thickest."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((24, 24, 24)).astype(np.float32)
    labels = np.zeros(noise.shape, np.uint8)
    thick, _ = augment_scan(noise, labels, ScanConfig(coarse=20), WINDOWS, 2.0, rng)
    rough = sorted(np.abs(np.diff(thick, axis=axis)).mean() for axis in range(3))
    assert rough[0] < 0.3 * rough[1]
