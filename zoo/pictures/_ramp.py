"""Numbers as colours, and the scale that says which is which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.pictures._types import Picture

# Dark red, orange, pale yellow, blue, dark blue; also told apart without colours.
STOPS = np.array([[120, 10, 30], [225, 110, 40], [245, 225, 150], [90, 150, 200], [30, 60, 120]])


def coloured(values: NDArray[np.floating], red: float, blue: float) -> Picture:
    """The colours of values, uint8 (..., 3), from dark red at one of them to dark blue at another.

    >>> coloured(np.array([0.0, 1.0, 9.0]), red=2, blue=0).tolist()
    [[30, 60, 120], [245, 225, 150], [120, 10, 30]]
    """
    width = blue - red or 1e-6
    share = np.clip((values - red) / width, 0, 1) * (len(STOPS) - 1)
    channels = [np.interp(share, range(len(STOPS)), STOPS[:, n]) for n in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)
