"""What the tests of pictures share."""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Picture = NDArray[np.uint8]


def drawn(picture: Picture) -> Bools:
    ink: Bools = picture.min(axis=2) < 250
    return ink


def reds(picture: Picture) -> int:
    return int(np.count_nonzero(picture[..., 0] > picture[..., 2].astype(int) + 60))
