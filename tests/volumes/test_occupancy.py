"""Which voxels are occupied."""

import numpy as np
import pytest

from zoo.errors import VolumeError
from zoo.volumes.occupancy import binarise
from zoo.volumes.volume import Volume


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


def test_a_mask_of_bytes_is_looked_at_as_it_is():
    for values, shared in (([0, 1, 1], True), ([0, 255, 255], False), ([1, 2, 2], False)):
        array = np.array(values, np.uint8).reshape(3, 1, 1)
        found = binarise(Volume(array), None)
        assert found.dtype == bool and found.ravel().tolist() == [False, True, True]
        assert np.shares_memory(found, array) == shared


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
