"""From what a completion added to an implant."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SPECK = 0.1  # share of the largest piece below which a piece is a speck

TOUCHING = np.ones((3, 3, 3), dtype=bool)  # 26-connected


def without_specks(added: np.ndarray) -> np.ndarray:
    """Bool (I, J, K) without the pieces that are small beside the largest one.

    Pieces are 26-connected; one smaller than `SPECK` of the largest goes. More than one may stay,
    because a skull can have more than one defect.
    """
    pieces, count = ndimage.label(added, TOUCHING)
    if count <= 1:
        return added
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    stays = sizes >= SPECK * sizes.max()
    stays[0] = False
    cleaned: np.ndarray = stays[pieces]
    return cleaned
