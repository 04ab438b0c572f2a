"""Bringing volumes to a contract and back."""

from itertools import permutations, product

import numpy as np
import pytest

from zoo.cards import InputContract
from zoo.conform import binarise, conform
from zoo.errors import VolumeError
from zoo.volume import Volume

CONTRACT = InputContract.around(2.0)


def blob(shape=(9, 12, 7), seed=0):
    return np.random.default_rng(seed).random(shape) < 0.2


@pytest.mark.parametrize(
    ("values", "threshold", "wanted"),
    [
        ([0, 1], None, [False, True]),
        ([0, 255], None, [False, True]),
        ([-1, 1], None, [False, True]),
        ([-5, 0], None, [True, False]),
        ([False, True], None, [False, True]),
        ([0.0, 0.5], None, [False, True]),
        ([-1000, 1500], 300, [False, True]),
        ([200, 201], 200, [False, True]),
    ],
)
def test_binarise(values, threshold, wanted):
    array = np.array(values).reshape(2, 1, 1)
    assert binarise(Volume(array), threshold).ravel().tolist() == wanted


@pytest.mark.parametrize(
    ("array", "threshold", "message"),
    [
        (np.array([0, 1, 2]), None, r"between 0 and 2.*--threshold"),
        (np.array([0.0, np.nan, 1]), None, "1 NaN"),
        (np.array([0.0, np.nan, 1]), 0.5, "1 NaN"),
        (np.zeros(3), None, "occupied voxel, got none"),
        (np.ones(3), None, "empty voxel, got none"),
        (np.arange(3), 7, "occupied voxel, got none.*between 0 and 2"),
        (np.arange(3), -1, "empty voxel, got none"),
    ],
)
def test_binarise_refuses(array, threshold, message):
    with pytest.raises(VolumeError, match=message):
        binarise(Volume(array.reshape(3, 1, 1)), threshold)


@pytest.mark.parametrize(
    ("spacing", "resampled"),
    [((2, 2, 2), False), ((1.6, 2.5, 2.0), False), ((2, 2, 2.7), True), ((0.4, 0.4, 0.4), True)],
)
def test_physical_spacing_decides(spacing, resampled):
    volume = Volume(blob(), np.diag([*spacing, 1.0]))
    conformed = conform(volume, CONTRACT)
    assert conformed.resampled is resampled
    assert conformed.spacing == ((2.0, 2.0, 2.0) if resampled else pytest.approx(spacing))


def test_inside_the_tolerance_the_grid_is_not_copied():
    array = blob()
    assert np.shares_memory(conform(Volume(array, np.diag([2.0, 2, 2, 1])), CONTRACT).grid, array)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product([1, -1], repeat=3)))
def test_every_orientation_is_brought_to_ras_and_back(order, signs):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) * 2 * np.array(signs))[list(order)]
    array = blob()
    conformed = conform(Volume(array, affine), CONTRACT)
    assert (conformed.back(conformed.grid) == array).all()
    where = np.argwhere(array)[0]
    ras = (affine @ [*where, 1])[:3]
    corner = (Volume(array, affine).canonical().affine)[:3, 3]
    assert conformed.grid[tuple(np.round((ras - corner) / 2).astype(int))]


def test_down_sampling_pools_any_and_keeps_the_corner():
    array = np.zeros((8, 8, 8), dtype=bool)
    array[5, 0, 7] = True
    conformed = conform(Volume(array, np.diag([0.5, 0.5, 0.5, 1])), CONTRACT)
    assert conformed.grid.shape == (2, 2, 2)
    assert np.argwhere(conformed.grid).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("spacing", [0.3, 0.7, 0.9, 1.1, 1.45])
def test_no_voxel_is_lost_by_down_sampling(spacing):
    for index in range(11):
        array = np.zeros((11, 3, 3), dtype=bool)
        array[index] = True
        conformed = conform(Volume(array, np.diag([spacing] * 3 + [1])), CONTRACT)
        assert conformed.back(conformed.grid)[index].all()


def test_up_sampling_takes_the_nearest_and_comes_back_exactly():
    array = blob()
    conformed = conform(Volume(array, np.diag([2.0, 2.0, 6.0, 1])), CONTRACT)
    assert conformed.grid.shape == (9, 12, 21)
    assert (conformed.grid[..., 0::3] == array).all()
    assert (conformed.back(conformed.grid) == array).all()


def test_spacing_that_no_patient_has_is_refused():
    with pytest.raises(VolumeError, match="after resampling, got voxels of 2000 x 2000 x 2000 mm"):
        conform(Volume(blob(), np.diag([2000.0, 2000, 2000, 1])), CONTRACT)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("spacing", [(2, 2, 2), (0.5, 0.5, 1), (6, 2, 5)])
def test_memory_order_changes_nothing_but_speed(order, spacing):
    array = blob((20, 21, 22))
    other = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    results = []
    for given in (array, other):
        conformed = conform(Volume(given, np.diag([*spacing, 1])), CONTRACT)
        back = conformed.back(conformed.grid)
        assert np.argsort(back.strides).tolist() == np.argsort(given.strides).tolist()
        results.append((conformed.grid, back))
    assert all((a == b).all() for a, b in zip(*results, strict=True))
