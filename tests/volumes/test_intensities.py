"""Windows, features, and the air around a body."""

import numpy as np

from zoo.contract import InputContract
from zoo.volumes.intensities import normalised, windowed

WINDOWS = ((-1000.0, -900.0), (0.0, 100.0))


def contract(spacing=1.0, **facts):
    return InputContract.around(spacing, kind="intensity", windows=WINDOWS, **facts)


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
    negative = InputContract.around(
        1.0, kind="intensity", windows=((900.0, 1000.0), (-100.0, 0.0)), bright_exterior=500.0
    )
    np.testing.assert_array_equal(windowed(-scan, negative), wanted)
