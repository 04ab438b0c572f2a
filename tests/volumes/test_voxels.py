"""Arithmetic on grids of voxels."""

import numpy as np
import pytest

from zoo.volumes.voxels import bounds, centring_shift, corner_shift, pooled, replicated


def test_pooling_keeps_every_occupied_voxel_even_in_a_part_of_a_block():
    grid = np.random.default_rng(0).random((5, 7, 9)) < 0.1
    for factor in (2, 3, (1, 2, 4)):
        coarse = pooled(grid, factor)
        edges = np.broadcast_to(factor, 3)
        assert coarse.shape == tuple(-(-np.array(grid.shape) // edges))
        wanted = {tuple(index) for index in np.argwhere(grid) // edges}
        assert {tuple(index) for index in np.argwhere(coarse)} == wanted


def test_replication_is_undone_by_pooling():
    grid = np.random.default_rng(1).random((4, 3, 5)) < 0.3
    factors = (2, 1, 3)
    assert np.array_equal(pooled(replicated(grid, factors), factors), grid)


@pytest.mark.parametrize("offset", [(0, 0, 0), (3, 1, 7)])
def test_a_shape_gets_the_same_coordinates_wherever_it_lies(offset):
    shape = np.ones((3, 9, 4), bool)
    grid = np.zeros((20, 20, 20), bool)
    grid[tuple(slice(o, o + n) for o, n in zip(offset, shape.shape, strict=True))] = shape
    low, high = bounds(grid)
    assert low.tolist() == list(offset)
    shift = centring_shift(low, high, 8)
    assert (low + shift).tolist() == [3, 4, 2] and (high + shift).tolist() == [5, 12, 5]
    assert corner_shift(grid).tolist() == [-o for o in offset]
