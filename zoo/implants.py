"""From what a completion added to an implant."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SPECK = 0.1  # share of the largest piece below which a piece is a speck

# One of every two opposite neighbours among the 26 of a voxel.
NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


def without_specks(added: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bool (I, J, K) without the pieces that are small beside the largest one.

    Pieces are 26-connected; one smaller than `SPECK` of the largest goes. More than one may stay,
    because a skull can have more than one defect.
    """
    points = np.argwhere(added)
    if not len(points):
        return added
    piece = _pieces(points, added.shape)
    sizes = np.bincount(piece)
    specks = points[sizes[piece] < SPECK * sizes.max()]
    cleaned = added.copy()
    cleaned[tuple(specks.T)] = False
    return cleaned


def _pieces(points: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """The number (N,) of the piece that each of the points (N, 3), in raster order, belongs to."""
    steps = np.array([(shape[1] + 2) * (shape[2] + 2), shape[2] + 2, 1])  # with a margin all around
    keys = (points + 1) @ steps
    ends = []
    for offset in NEIGHBOURS:
        wanted = keys + np.array(offset) @ steps
        rows = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        there = keys[rows] == wanted
        ends.append((np.flatnonzero(there), rows[there]))
    one, other = (np.concatenate(side) for side in zip(*ends, strict=True))
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(keys),) * 2)
    piece: NDArray[np.int32] = connected_components(links, directed=False)[1]
    return piece
