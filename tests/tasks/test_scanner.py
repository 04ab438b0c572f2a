"""Coarse shapes as scanners make them, and the values of scans that a network gets."""

import numpy as np
import pytest
from scipy import ndimage
from training_runs import SMALL

from zoo.errors import VolumeError
from zoo.tasks.super_resolution import _scanner
from zoo.tasks.super_resolution._scanner import interpolated, scanned, values_of
from zoo.tasks.super_resolution._training import SuperResolutionTraining
from zoo.training import check_config
from zoo.volumes import Volume, pooled


def plate(thickness=4, shape=(24, 24, 40)):
    k = np.arange(shape[2])
    return np.broadcast_to((k >= 13) & (k < 13 + thickness), shape).copy()


def test_profiles_average_over_their_slice():
    weights = _scanner._profiles(5, 4, 1.0)
    assert weights.shape == (5, 20) and np.allclose(weights.sum(axis=1), 1)
    assert weights[2].argmax() in range(8, 12) and weights[2, 8:12].sum() > 0.9
    narrow, wide = (_scanner._profiles(5, 8, width)[2] for width in (0.6, 1.25))
    assert np.count_nonzero(narrow) < np.count_nonzero(wide)


def test_thin_bone_is_lost_where_any_pooling_keeps_it(monkeypatch):
    monkeypatch.setattr(_scanner, "THRESHOLD", (0.5, 0.5))
    monkeypatch.setattr(_scanner, "MASKS", 1)
    thin = plate(1)
    found, _ = scanned(thin, (1, 1, 8), np.random.default_rng(0))
    assert pooled(thin, (1, 1, 8)).mean() > 2 * found.mean()
    assert set(np.unique(found)) == {0, 1} and (np.diff(found.reshape(-1, 8)) == 0).all()


def test_values_tell_how_much_of_a_slice_is_bone(monkeypatch):
    monkeypatch.setattr(_scanner, "THRESHOLD", (0.5, 0.5))
    monkeypatch.setattr(_scanner, "PROFILE", (1.0, 1.0))
    monkeypatch.setattr(_scanner, "BLUR", (0.1, 0.1))
    for name in ("MASKS", "TEXTURE", "NOISE"):
        monkeypatch.setattr(_scanner, name, 0)
    found, fine = scanned(plate(14), (1, 1, 8), np.random.default_rng(0))
    assert (fine == plate(14)).all()
    assert np.allclose(found, found[0, 0])
    line = found[0, 0]  # the plate is 13 to 26; slices have 3, 8 and 3 of 8 fine voxels of it
    assert 0.7 < line.max() < 1 and line[19] == line[20] == line.max()
    assert (line[14:26] > 0.5).all() and not (line[:11] > 0.5).any() and not line[:8].any()


def test_a_blurred_scan_is_scored_by_what_a_fine_one_shows(monkeypatch):
    """At a threshold well below half of what bone gives, which makes it thicker than it is."""
    monkeypatch.setattr(_scanner, "THRESHOLD", (0.2, 0.2))
    monkeypatch.setattr(_scanner, "BLUR", (1.5, 1.5))
    monkeypatch.setattr(_scanner, "TEXTURE", 0)
    _, fine = scanned(plate(8), (1, 1, 8), np.random.default_rng(0))
    middle = fine[12, 12]
    assert middle[13:21].all() and middle.sum() == 10


@pytest.mark.parametrize("factors", [(1, 1, 10), (2, 2, 5), (8, 1, 1)])
def test_something_is_always_left(factors):
    small = np.zeros((40, 40, 40), bool)
    small[20, 20, 20] = True
    for seed in range(5):
        found, fine = scanned(small, factors, np.random.default_rng(seed))
        assert fine.any() and fine.dtype == bool and fine.shape == small.shape
        assert found.shape == small.shape and found.dtype == np.float32
        assert np.count_nonzero(found) > 0 and found.max() <= 1


def test_values_of_a_scan_and_of_a_mask():
    scan = np.full((6, 6, 6), -1000.0)
    scan[1:5, 1:5, 1:5] = 40
    scan[2:4, 2:4, 2:4] = 340
    scan[2, 2, 2] = 1200
    scan[1, 1, 1] = 180
    found = values_of(Volume(scan), 300.0, (1, 1, 1))
    assert 0.9 < found[2, 2, 2] < 1 and found[0, 0, 0] == found[4, 4, 4] == 0
    assert 0.5 < found[3, 3, 3] < 0.6 and found.dtype == np.float32
    mask = (scan > 300).astype(np.uint8)
    blocks = values_of(Volume(mask), None, (1, 2, 1))
    assert (blocks == np.repeat(mask, 2, axis=1)).all()
    assert (values_of(Volume(mask), 0.0, (1, 2, 1)) == blocks).all()
    with pytest.raises(VolumeError, match="got more than two values"):
        values_of(Volume(scan), None, (1, 1, 1))


def test_what_is_infinite_is_no_bone():
    scan = np.full((6, 6, 6), 40.0)
    scan[2:4, 2:4, 2:4] = 600
    scan[0, 0, 0] = -np.inf
    found = values_of(Volume(scan), 300.0, (1, 1, 2))
    assert np.isfinite(found).all() and found[0, 0, 0] == 0 and found[3, 3, 6] > 0.5


@pytest.mark.parametrize("factors", [(1, 1, 5), (2, 3, 1), (2, 2, 4)])
def test_interpolation_is_that_of_scipy(factors):
    coarse = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    wanted = ndimage.zoom(coarse, factors, order=1, grid_mode=True, mode="nearest")
    assert np.allclose(interpolated(coarse, factors), wanted, atol=1e-5)


def test_samples_of_scans(tmp_path):
    config = SMALL | {
        "architecture": "sparse-super-resolution",
        "config": {"channels": [2, 2, 4, 4]},
        "phantoms": {"resolution": 32, "skulls": 2},
        "refinement": {"scanner": 0.7, "crop": 24, "thickest": 6},
    }
    task = SuperResolutionTraining(check_config(config, source="test"), tmp_path, 8)
    samples = [task.sample(number) for number in range(12)]
    for given, target in samples:
        assert given.grid.dtype == np.float32 and 0 < given.grid.max() <= 1
        assert target.grid.dtype == bool and target.grid.any()
    assert any(((given.grid > 0) & (given.grid < 1)).any() for given, _ in samples)
    assert any((given.grid[given.grid > 0] == 1).all() for given, _ in samples)
    assert task.facts()["input"].kind == "coverage"
    again = task.sample(3)
    assert (again[0].grid == samples[3][0].grid).all()
