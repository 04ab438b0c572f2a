"""Intensities: resampling, windows, the air around a body."""

import numpy as np
import pytest

import zoo
from zoo.cards import InputContract
from zoo.intensity import normalised, resampled, windowed

WINDOWS = ((-1000.0, -900.0), (0.0, 100.0))


def contract(spacing=1.0, **facts):
    return InputContract.around(spacing, kind="intensity", windows=WINDOWS, **facts)


def ramp(axis, count=24, spacing=1.0):
    """A volume whose values are the millimetres from its corner along an axis, in RAS."""
    shape = [6, 6, 6]
    shape[axis] = count
    values = (np.indices(shape)[axis] + 0.5) * spacing
    lengths = [1.0, 1.0, 1.0]
    lengths[axis] = spacing
    return zoo.Volume(values.astype(np.float32), np.diag([*lengths, 1]))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("spacing", [0.4, 2.5])
def test_resampling_keeps_every_place(axis, spacing):
    made = resampled(ramp(axis, spacing=spacing), contract())
    assert made.spacing == (1, 1, 1) and made.resampled
    line = np.moveaxis(made.grid, axis, 0)[:, 2, 2]
    assert len(line) == np.ceil(24 * spacing)
    inner = slice(3, -4)
    np.testing.assert_allclose(line[inner], np.arange(len(line))[inner] + 0.5, atol=1e-3)


def test_what_is_acceptable_is_not_touched():
    volume = ramp(0)
    made = resampled(volume, contract())
    assert not made.resampled
    np.testing.assert_array_equal(made.grid, volume.array)


def test_large_voxels_average():
    noise = np.random.default_rng(0).normal(0, 100, (40, 40, 40))
    made = resampled(zoo.Volume(noise), contract(4.0))
    assert made.grid.shape == (10, 10, 10) and made.grid.std() < 25


def test_windows_are_inclusive_and_normalised_to_their_ends():
    values = np.array([-1001, -1000, -900, -899, -1, 0, 100, 101], np.float32).reshape(8, 1, 1)
    assert windowed(values, contract()).ravel().tolist() == [0, 1, 1, 0, 0, 1, 1, 0]
    ends = normalised(np.array([-1000, 100, -450], np.float32), contract())
    np.testing.assert_allclose(ends, [-1, 1, 0])


def test_air_around_the_body_is_left_out_but_not_the_airways():
    scan = np.full((9, 9, 3), -950, np.float32)
    scan[2:7, 2:7] = 50
    scan[4, 4] = -950  # a trachea, open to the first and the last slice
    assert windowed(scan, contract()).all()
    inside = windowed(scan, contract(exterior=-500.0))
    wanted = np.zeros((9, 9, 3), bool)
    wanted[2:7, 2:7] = True
    np.testing.assert_array_equal(inside, wanted)
