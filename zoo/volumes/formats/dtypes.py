"""Number types that every reader of medical volumes understands."""

from collections.abc import Sequence
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
    dtype = _shortest(array, NARROWER)
    if dtype is None:
        raise VolumeError(
            f"wanted integers that fit 32 bits, got {array.min()} to {array.max()};"
            " convert them to float64 first"
        )
    return array.astype(dtype)


def shortened(array: NDArray[Any]) -> NDArray[Any]:
    """Integers of 32 bits or more in 8 or 16, if these hold them; anything else as it is."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
        return array
    return array.astype(_shortest(array, NARROWER[:2]) or array.dtype, copy=False)


def _shortest(array: NDArray[Any], types: Sequence[type[np.integer[Any]]]) -> Any:
    """The first of the types that holds all of an array's integers, or None."""
    low, high = int(array.min()), int(array.max())
    fitting = (each for each in types if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
    return next(fitting, None)
