"""Number types that every reader of medical volumes understands."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import VolumeError

NARROWER = (np.uint8, np.int16, np.int32, np.uint32)


def storable(array: NDArray[Any]) -> NDArray[Any]:
    """bool as uint8, float16 as float32, long double as float64; anything else as it is."""
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array


def narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """64-bit integers in the shortest type that holds them; VolumeError beyond 32 bits."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        return array
    low, high = int(array.min()), int(array.max())
    for dtype in NARROWER:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype)
    raise VolumeError(
        f"wanted integers that fit 32 bits, got {low} to {high}; convert them to float64 first"
    )
