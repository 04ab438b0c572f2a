"""A network applied to a dense grid."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo.networks.application import (
    COARSEST,
    GeneratedCoverage,
    coarsest_voxel,
    generated_occupancy,
)
from zoo.sparse.backends.reference import TorchBackend


class Same(torch.nn.Module):
    """Answers with its input, and notes at which coordinates it lies."""

    cell = 8

    def forward(self, x):
        self.seen = x.coordinates[:, 1:].clone()
        return SimpleNamespace(occupancy=x)


def test_the_coarsest_voxel_is_what_the_network_says():
    assert coarsest_voxel(Same()) == 8
    assert coarsest_voxel(torch.nn.Identity()) == COARSEST


@pytest.mark.parametrize(("shift", "lowest"), [(None, [3, 3, 2]), (np.array([0, 1, 2]), [5, 2, 2])])
def test_occupancy_comes_back_at_its_own_indices(shift, lowest):
    occupied = np.zeros((9, 5, 7), bool)
    occupied[5:7, 1:3, 0:5] = True
    network = Same()
    device = torch.device("cpu")
    found = generated_occupancy(network, occupied, TorchBackend(), device, shift)
    assert np.array_equal(found, occupied)
    assert network.seen.min(dim=0).values.tolist() == lowest


def test_the_values_of_another_box_are_those_that_both_have():
    values = np.arange(1.0, 25, dtype=np.float32).reshape(2, 3, 4)
    found = GeneratedCoverage((5, 6, 7), values)
    grid = np.zeros((9, 10, 12), np.float32)
    grid[found.box] = values
    for low, high in [((0, 0, 0), grid.shape), ((6, 5, 8), (9, 8, 10)), ((0, 0, 0), (5, 6, 7))]:
        i, j, k = box = tuple(map(slice, low, high))
        assert (found.within(box) == grid[i, j, k]).all()
