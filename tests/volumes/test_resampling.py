"""Bringing volumes to a contract and back."""

from itertools import permutations, product

import numpy as np
import pytest

from zoo.contract import InputContract
from zoo.errors import VolumeError
from zoo.volumes.resampling import resample_intensities, resample_mask
from zoo.volumes.volume import Volume

CONTRACT = InputContract.around(2.0)
SCAN = InputContract.around(1.0)


def blob(shape=(9, 12, 7), seed=0):
    return np.random.default_rng(seed).random(shape) < 0.2


@pytest.mark.parametrize(
    ("spacing", "resampled"),
    [((2, 2, 2), False), ((1.6, 2.5, 2.0), False), ((2, 2, 2.7), True), ((0.4, 0.4, 0.4), True)],
)
def test_physical_spacing_decides(spacing, resampled):
    volume = Volume(blob(), np.diag([*spacing, 1.0]))
    made = resample_mask(volume, CONTRACT)
    assert made.resampled is resampled
    assert made.spacing == ((2.0, 2.0, 2.0) if resampled else pytest.approx(spacing))


def test_inside_the_tolerance_the_grid_is_not_copied():
    array = blob()
    assert np.shares_memory(
        resample_mask(Volume(array, np.diag([2.0, 2, 2, 1])), CONTRACT).array, array
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product([1, -1], repeat=3)))
def test_every_orientation_is_brought_to_ras_and_back(order, signs):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) * 2 * np.array(signs))[list(order)]
    array = blob()
    made = resample_mask(Volume(array, affine), CONTRACT)
    assert (made.back(made.array) == array).all()
    where = np.argwhere(array)[0]
    ras = (affine @ [*where, 1])[:3]
    corner = (Volume(array, affine).canonical().affine)[:3, 3]
    assert made.array[tuple(np.round((ras - corner) / 2).astype(int))]


def test_down_sampling_pools_any_and_keeps_the_corner():
    array = np.zeros((8, 8, 8), dtype=bool)
    array[5, 0, 7] = True
    made = resample_mask(Volume(array, np.diag([0.5, 0.5, 0.5, 1])), CONTRACT)
    assert made.array.shape == (2, 2, 2)
    assert np.argwhere(made.array).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("spacing", [0.3, 0.7, 0.9, 1.1, 1.45])
def test_no_voxel_is_lost_by_down_sampling(spacing):
    for index in range(11):
        array = np.zeros((11, 3, 3), dtype=bool)
        array[index] = True
        made = resample_mask(Volume(array, np.diag([spacing] * 3 + [1])), CONTRACT)
        assert made.back(made.array)[index].all()


def test_up_sampling_takes_the_nearest_and_comes_back_exactly():
    array = blob()
    made = resample_mask(Volume(array, np.diag([2.0, 2.0, 6.0, 1])), CONTRACT)
    assert made.array.shape == (9, 12, 21)
    assert (made.array[..., 0::3] == array).all()
    assert (made.back(made.array) == array).all()


def test_spacing_that_no_patient_has_is_refused():
    with pytest.raises(VolumeError, match="after resampling, got voxels of 2000 x 2000 x 2000 mm"):
        resample_mask(Volume(blob(), np.diag([2000.0, 2000, 2000, 1])), CONTRACT)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("spacing", [(2, 2, 2), (0.5, 0.5, 1), (6, 2, 5)])
def test_memory_order_changes_nothing_but_speed(order, spacing):
    array = blob((20, 21, 22))
    other = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    results = []
    for given in (array, other):
        made = resample_mask(Volume(given, np.diag([*spacing, 1])), CONTRACT)
        back = made.back(made.array)
        assert np.argsort(back.strides).tolist() == np.argsort(given.strides).tolist()
        results.append((made.array, back))
    assert all((a == b).all() for a, b in zip(*results, strict=True))


def ramp(axis, count=24, spacing=1.0):
    """A volume whose values are the millimetres from its corner along an axis, in RAS."""
    shape = [6, 6, 6]
    shape[axis] = count
    values = (np.indices(shape)[axis] + 0.5) * spacing
    lengths = [1.0, 1.0, 1.0]
    lengths[axis] = spacing
    return Volume(values.astype(np.float32), np.diag([*lengths, 1]))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("spacing", [0.4, 2.5])
def test_resampling_keeps_every_position(axis, spacing):
    made = resample_intensities(ramp(axis, spacing=spacing), SCAN)
    assert made.spacing == (1, 1, 1) and made.resampled
    line = np.moveaxis(made.array, axis, 0)[:, 2, 2]
    assert len(line) == np.ceil(24 * spacing)
    inner = slice(3, -4)
    np.testing.assert_allclose(line[inner], np.arange(len(line))[inner] + 0.5, atol=1e-3)


def test_an_acceptable_scan_is_not_touched():
    volume = ramp(0)
    made = resample_intensities(volume, SCAN)
    assert not made.resampled
    np.testing.assert_array_equal(made.array, volume.array)


def test_larger_voxels_average():
    noise = np.random.default_rng(0).normal(0, 100, (40, 40, 40))
    made = resample_intensities(Volume(noise), InputContract.around(4.0))
    assert made.array.shape == (10, 10, 10) and made.array.std() < 25
