"""Probabilities on the input's own grid: interpolated from a coarser one, unchanged on the same."""

import numpy as np
import pytest

from zoo.models import Probabilities
from zoo.volumes import InputContract, Volume, resample_intensities

ON_RIGHT = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]])  # voxels of 2 mm; a fourth is unoccupied
LOGITS = np.log(np.array([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.1, 0.2, 0.7]]) + 1e-12).astype("f4")


def probabilities(spacing, affine=None):
    """Two labels, by a network on a 2 mm grid, for an input of 8 x 2 x 2 mm with this spacing."""
    shape = np.array([8, 2, 2]) / spacing
    affine = np.diag([spacing] * 3 + [1]) if affine is None else affine
    scan = Volume(np.zeros(shape.astype(int), np.float32), affine)
    contract = InputContract.around(2.0, kind="intensity", windows=((0, 1),))
    return Probabilities(resample_intensities(scan, contract), ON_RIGHT, LOGITS, ("one", "other"))


def test_on_the_networks_grid_nothing_changes():
    found = probabilities(2.0)
    assert found.most_likely().array[:, 0, 0].tolist() == [0, 1, 2, 0]
    assert found.volume("one").array[:, 0, 0] == pytest.approx([0.1, 0.7, 0.2, 0], abs=1e-6)


def test_on_a_finer_grid_they_are_interpolated():
    """At a quarter and three quarters of the way from one voxel's centre to the next."""
    found = probabilities(1.0)
    one = [0.1, 0.25, 0.55, 0.575, 0.325, 0.15, 0.05, 0]
    assert found.volume("one").array[:, 1, 0] == pytest.approx(one, abs=1e-6)
    assert found.most_likely().array[:, 0, 1].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]


def test_the_grid_of_the_input_is_kept():
    """Left is first here, and what was first is last."""
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[0, 3] = 7
    found = probabilities(1.0, affine).most_likely()
    assert (found.affine == affine).all()
    assert found.array[:, 0, 0].tolist() == [0, 0, 2, 2, 1, 1, 0, 0]


def test_nothing_wins():
    low = probabilities(1.0)
    none = Probabilities(low.resampled, ON_RIGHT, LOGITS[[0, 0, 0]], low.labels).most_likely()
    assert none.array.dtype == np.uint8 and not none.array.any()
