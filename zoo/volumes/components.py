"""Connected components: which there are, the largest one, and all but specks.

Two voxels are connected if they share a face, an edge or a corner (26-connected).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zoo.volumes.resampling import memory_order
from zoo.volumes.voxels import occupied_box

Bools = NDArray[np.bool_]

THIN = 3  # voxels
SPECK = 0.1  # share of the largest component below which one is a speck


def components(values: NDArray[Any]) -> NDArray[Any]:
    """The number of the connected component that each voxel is in, (I, J, K); 0 where it is zero.

    Neighbours belong together if they have the same value.

        >>> import numpy as np
        >>> components(np.array([[[True, True, False, True]]])).tolist()
        [[[1, 1, 0, 2]]]
    """
    import cc3d

    return _whole(values, lambda grid: cc3d.connected_components(grid, connectivity=26))


def largest_component(mask: Bools, connectivity: Literal[6, 26] = 26) -> Bools:
    """The largest connected component, bool (I, J, K) like the mask; none if no voxel is set.

    In the scan of a skull it is the head, without the table and noise. With a connectivity of 6
    only voxels that share a face are connected.

        >>> import numpy as np
        >>> largest_component(np.array([[[True, True, False, True]]])).tolist()
        [[[True, True, False, False]]]
    """
    import cc3d

    return _whole(mask, lambda grid: cc3d.largest_k(grid, k=1, connectivity=connectivity)) > 0


def _whole(values: NDArray[Any], labelled: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """What cc3d returns for a grid, laid out as it wants it.

    It wants to write, though it does not; and cc3d 4.1 makes room for too few components in grids
    of up to three voxels along an axis: in a row of three of which the ends are set, for one.
    """
    if min(values.shape) <= THIN:
        padded = np.pad(values, [(0, 1)] * 3)
        return labelled(padded)[tuple(map(slice, values.shape))]
    return labelled(np.require(values, requirements="W"))


def without_specks(mask: Bools, least: float = 0, share: float = SPECK) -> Bools:
    """The mask, bool (I, J, K), without components that are small beside the largest one.

    Those with fewer than that share of the largest one's voxels, or than `least` voxels, are
    removed. Several may stay, because a skull can have several defects.

        >>> import numpy as np
        >>> implant = np.zeros((1, 1, 30), bool)
        >>> implant[..., :20] = implant[..., 25] = True
        >>> without_specks(implant).sum().item()
        20
    """
    if not mask.any():
        return mask
    cleaned = mask.copy(order="K")
    whole = cleaned.transpose(memory_order(cleaned))
    part = whole[occupied_box(whole)]
    labels = components(part)[part]
    sizes = np.bincount(labels)
    part[part] = (sizes >= max(share * sizes.max(), least))[labels]
    return cleaned
