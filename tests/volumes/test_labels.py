"""Labels: components and statistics."""

import numpy as np

from zoo.volumes.labels import largest_components, structure_statistics
from zoo.volumes.volume import Volume


def test_every_structure_keeps_its_largest_component():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[3, 3, 4] = 2  # touches the first, and is the smaller of its label
    labels[6:8, 6:8, 6:8] = 2
    labels[8, 8, 8] = 1  # as large as nothing else, and it touches the second
    labels[1, 7, 7] = 4
    found = largest_components(labels)
    wanted = labels.copy()
    wanted[3, 3, 4] = wanted[8, 8, 8] = 0
    assert np.array_equal(found, wanted)
    assert not largest_components(np.zeros((2, 2, 2), np.uint8)).any()


def test_statistics_are_of_the_volume_in_the_patient():
    """On a sheared grid too, where a voxel is smaller than the product of its spacings."""
    affine = np.array([[2.0, 0, 0, 5], [0, 3, 1, 5], [0, 0, 4, 5], [0, 0, 0, 1]])
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[1:3, 1:3, 1:3], labels[4, 4, 4] = 1, 3
    hu = np.full(labels.shape, -1000, np.int16)
    hu[1:3, 1:3, 1:3], hu[4, 4, 4] = 100, 40
    hu[1, 1, 1] = -60
    found = structure_statistics(Volume(labels, affine), Volume(hu, affine), ("a", "b", "c"))
    assert found == {
        "a": {"label": 1, "voxels": 8, "volume_ml": 0.192, "mean_hu": 80.0},
        "b": {"label": 2, "voxels": 0, "volume_ml": 0.0, "mean_hu": None},
        "c": {"label": 3, "voxels": 1, "volume_ml": 0.024, "mean_hu": 40.0},
    }
