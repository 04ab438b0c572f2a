"""Connected components of a mask: the largest one, and all but specks.

Two voxels are connected if they share a face, an edge or a corner (26-connected).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

SPECK = 0.1  # share of the largest component below which one is a speck

# One of every two opposite neighbours among the 26 of a voxel.
NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


def largest_component(mask: Bools) -> Bools:
    """The largest connected component, bool (I, J, K) like the mask, of which a voxel must be set.

    In the scan of a skull it is the head, without the table and noise. It takes memory for the
    whole grid, and is meant for masks of many voxels.

        >>> import numpy as np
        >>> largest_component(np.array([[[True, True, False, True]]])).tolist()
        [[[True, True, False, False]]]
    """
    from scipy import ndimage  # half a second, for those who need it

    components, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    largest: Bools = components == np.bincount(components[mask]).argmax()
    return largest


def without_specks(mask: Bools, least: float = 0) -> Bools:
    """The mask, bool (I, J, K), without components that are small beside the largest one.

    Those with fewer than `SPECK` of the largest one's voxels, or than `least`, are removed. Several
    may stay, because a skull can have several defects. It takes no memory for empty voxels, and is
    meant for masks of few occupied ones.

        >>> import numpy as np
        >>> implant = np.zeros((1, 1, 30), bool)
        >>> implant[..., :20] = implant[..., 25] = True
        >>> without_specks(implant).sum().item()
        20
    """
    points = np.argwhere(mask)
    if not len(points):
        return mask
    component = _component_of(points, mask.shape)
    sizes = np.bincount(component)
    specks = points[sizes[component] < max(SPECK * sizes.max(), least)]
    cleaned = mask.copy()
    cleaned[tuple(specks.T)] = False
    return cleaned


def _component_of(points: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """The number (N,) of the component that each of the points (N, 3), in raster order, is in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

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
    component: NDArray[np.int32] = connected_components(links, directed=False)[1]
    return component
