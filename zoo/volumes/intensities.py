"""Intensities of a scan: which voxels lie in the contract's windows, and the features there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.contract import InputContract

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

WITHIN_SLICE = np.zeros((3, 3, 3), bool)  # which neighbours of a voxel count as connected to it
WITHIN_SLICE[:, :, 1] = True


def brightness(scan: NDArray[np.number]) -> Floats:
    """A scan (I, J, K) as it is drawn: float32 from 0, at its median, to 1, at nearly its greatest.

    >>> brightness(np.array([[[0, 0, 50, 100]]])).round(1).tolist()
    [[[0.0, 0.0, 0.3, 1.0]]]
    """
    values = np.asarray(scan, np.float32)
    low, high = np.percentile(values, (50, 99.5))
    share: Floats = np.clip((values - low) / max(high - low, 1.0), 0, 1)
    return share


def windowed(array: Floats, contract: InputContract) -> Bools:
    """Which voxels lie in a window and, if the contract says so, in the body.

        >>> import numpy as np
        >>> contract = InputContract.around(1.0, kind="intensity", windows=((0, 100),))
        >>> windowed(np.array([[[-900, 0, 50, 300]]], np.float32), contract).tolist()
        [[[False, True, True, False]]]

    Args:
        array: float32 (I, J, K), Hounsfield units; axes right, anterior, superior, as
            `resample_intensities` gives them.
        contract: the input contract, which has windows.

    Returns:
        bool (I, J, K).
    """
    occupied = np.zeros(array.shape, bool)
    for low, high in contract.windows or ():
        occupied |= (array >= low) & (array <= high)
    if contract.exterior is not None:
        occupied &= ~_exterior(array < contract.exterior)
    if contract.bright_exterior is not None:
        occupied &= ~_exterior(array > contract.bright_exterior)
    return occupied


def normalised(values: Floats, contract: InputContract) -> Floats:
    """Intensities as a network's features.

        >>> import numpy as np
        >>> contract = InputContract.around(1.0, kind="intensity", windows=((0, 100),))
        >>> normalised(np.array([0, 50, 100], np.float32), contract).tolist()
        [-1.0, 0.0, 1.0]

    Args:
        values: float32 (N,), Hounsfield units.
        contract: the input contract, which has windows.

    Returns:
        float32 (N,): -1 at the lowest end of the windows, 1 at the highest.
    """
    low, high = contract.window_ends
    features: Floats = ((values - low) * (2 / (high - low)) - 1).astype(np.float32)
    return features


def _exterior(air: Bools) -> Bools:
    """Air that is connected, within its axial slice, to the slice's border."""
    from scipy import ndimage

    components, count = ndimage.label(air, WITHIN_SLICE)
    on_border = np.zeros(count + 1, bool)
    for axis in (0, 1):
        for end in (0, -1):
            on_border[components.take(end, axis)] = True
    on_border[0] = False
    exterior: Bools = on_border[components]
    return exterior
