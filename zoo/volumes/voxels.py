"""Arithmetic on grids of voxels: bounds, blocks, and shifts onto a network's coarsest voxels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def centring_shift(low: np.ndarray, high: np.ndarray, cell: int) -> np.ndarray:
    """The shift that centres a bounding box on a network's coarsest voxels.

    So the network sees a shape at the same coordinates, however its scan was cropped or padded.

        >>> import numpy as np
        >>> centring_shift(np.array([0, 0, 3]), np.array([5, 7, 12]), 8).tolist()
        [1, 0, 0]

    Args:
        low: (3,), lowest index of an occupied voxel.
        high: (3,), highest index of one.
        cell: voxels along an edge of the network's coarsest voxel.

    Returns:
        (3,), what to add to every coordinate.
    """
    extent = high - low + 1
    cells = -(-extent // cell)
    shift: np.ndarray = cells * cell // 2 - (low + high + 1) // 2
    return shift


def bounds(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest index of what is not zero.

        >>> import numpy as np
        >>> grid = np.zeros((8, 8, 8), bool)
        >>> grid[2:4, 3, 5:7] = True
        >>> low, high = bounds(grid)
        >>> low.tolist(), high.tolist()
        ([2, 3, 5], [3, 3, 6])

    Args:
        grid: (I, J, K), in which at least one voxel is not zero.

    Returns:
        Two indices (3,); the highest is that of a voxel, not the one after it.
    """
    profiles = (grid.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    ends = [np.flatnonzero(profile)[[0, -1]] for profile in profiles]
    low, high = np.array(ends).T
    return low, high


def has_two_values(array: np.ndarray) -> bool:
    """Whether an array has two values at most, as a mask has.

    >>> import numpy as np
    >>> has_two_values(np.array([0, 7, 0])), has_two_values(np.array([0, 1, 2]))
    (True, False)
    """
    low, high = array.min(), array.max()
    return bool(((array == low) | (array == high)).all())


def occupied_box(grid: np.ndarray) -> tuple[slice, slice, slice]:
    """The slices of the bounding box of what is not zero; there must be one such voxel.

    >>> import numpy as np
    >>> occupied_box(np.array([[[0, 1, 0, 1, 1]]]))
    (slice(0, 1, None), slice(0, 1, None), slice(1, 5, None))
    """
    i, j, k = (slice(int(low), int(high) + 1) for low, high in zip(*bounds(grid), strict=True))
    return i, j, k


def common_box(boxes: Iterable[tuple[slice, slice, slice]]) -> tuple[slice, slice, slice]:
    """The smallest bounding box that several lie in.

    >>> one = slice(0, 2)
    >>> common_box([(one, one, slice(3, 5)), (one, slice(1, 4), one)])
    (slice(0, 2, None), slice(0, 4, None), slice(0, 5, None))
    """
    i, j, k = (
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )
    return i, j, k


def occupied_share(grid: np.ndarray) -> float:
    """The share of a grid's bounding box that is not zero; there must be one voxel that is not.

    >>> import numpy as np
    >>> occupied_share(np.array([[[0, 1, 0, 1, 1]]]))
    0.75
    """
    low, high = bounds(grid)
    return int(np.count_nonzero(grid)) / int(np.prod(high - low + 1))


def pooled(grid: np.ndarray, factor: int | tuple[int, int, int]) -> np.ndarray:
    """Any-pooling: a voxel of the coarser bool grid is set if any voxel of its block is.

        >>> import numpy as np
        >>> pooled(np.eye(4, dtype=bool)[:, :, None], (2, 2, 1))[:, :, 0].tolist()
        [[True, False], [False, True]]

    Args:
        grid: bool (I, J, K).
        factor: voxels along an edge of a block, or along each of its three edges. The last blocks
            along an axis may be smaller.
    """
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    for axis, along in enumerate(factors):
        if along == 1:
            continue
        leading = np.moveaxis(grid, axis, 0)
        coarse = leading[::along].copy(order="K")
        for start in range(1, along):
            part = leading[start::along]
            coarse[: len(part)] |= part
        grid = np.moveaxis(coarse, 0, axis)
    return grid


def replicated(grid: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Every voxel as a block of factors[0] x factors[1] x factors[2] equal ones.

    >>> import numpy as np
    >>> replicated(np.array([[[1, 2]]]), (1, 2, 2)).tolist()
    [[[1, 1, 2, 2], [1, 1, 2, 2]]]
    """
    for axis, factor in enumerate(factors):
        grid = grid.repeat(factor, axis) if factor > 1 else grid
    return grid


def corner_shift(blocks: np.ndarray) -> np.ndarray:
    """The shift (3,) that brings the lowest corner of the bounding box to the origin.

    Where a grid is made of equal blocks, they then begin at multiples of their size, wherever the
    scan was cropped.
    """
    return -bounds(blocks)[0]


def dilated(grid: np.ndarray, reach: int = 1) -> np.ndarray:
    """Mark the voxels with an occupied voxel in the cube around them that reaches so far.

    >>> import numpy as np
    >>> dilated(np.array([[[True, False, False]]])).tolist()
    [[[True, True, False]]]
    """
    for axis in range(grid.ndim):
        for _ in range(reach):
            wider = grid.copy()
            leading, before = np.moveaxis(wider, axis, 0), np.moveaxis(grid, axis, 0)
            leading[1:] |= before[:-1]
            leading[:-1] |= before[1:]
            grid = wider
    return grid
