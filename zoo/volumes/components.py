"""Connected components of a mask: the largest one, and all but specks.

Two voxels are connected if they share a face, an edge or a corner (26-connected).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.volumes.resampling import memory_order
from zoo.volumes.voxels import occupied_box

Bools = NDArray[np.bool_]

SPECK = 0.1  # share of the largest component below which one is a speck


def largest_component(mask: Bools) -> Bools:
    """The largest connected component, bool (I, J, K) like the mask, of which a voxel must be set.

    In the scan of a skull it is the head, without the table and noise.

        >>> import numpy as np
        >>> largest_component(np.array([[[True, True, False, True]]])).tolist()
        [[[True, True, False, False]]]
    """
    import cc3d

    writable = np.require(mask, requirements="W")  # as cc3d wants it, though it writes nothing
    largest: Bools = cc3d.largest_k(writable, k=1, connectivity=26) > 0
    return largest


def without_specks(mask: Bools, least: float = 0) -> Bools:
    """The mask, bool (I, J, K), without components that are small beside the largest one.

    Those with fewer than `SPECK` of the largest one's voxels, or than `least`, are removed. Several
    may stay, because a skull can have several defects.

        >>> import numpy as np
        >>> implant = np.zeros((1, 1, 30), bool)
        >>> implant[..., :20] = implant[..., 25] = True
        >>> without_specks(implant).sum().item()
        20
    """
    import cc3d

    if not mask.any():
        return mask
    cleaned = mask.copy(order="K")
    whole = cleaned.transpose(memory_order(cleaned))
    part = whole[occupied_box(whole)]
    labels = cc3d.connected_components(part, connectivity=26)[part]
    sizes = np.bincount(labels)
    part[part] = (sizes >= max(SPECK * sizes.max(), least))[labels]
    return cleaned
