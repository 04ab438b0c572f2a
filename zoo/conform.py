"""Bringing a volume to a model's input contract, and a grid of answers back to the volume's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.cards import InputContract
from zoo.errors import VolumeError
from zoo.volume import Volume

Bools = NDArray[np.bool_]
Triple = tuple[float, float, float]
Scalar = TypeVar("Scalar", bound=np.generic)

LARGEST_AXIS = 4096  # voxels


@dataclass(frozen=True)
class Conformed:
    """A grid as a network wants it.

    Attributes:
        source: the volume that it came from.
        grid: (I, J, K), axes right, anterior, superior; shares memory if not resampled. Bool, or
            intensities.
        spacing: its mm between voxel centres.
        resampled: whether the spacing was changed.
    """

    source: Volume
    grid: NDArray[Any]
    spacing: Triple
    resampled: bool

    def facts(self) -> dict[str, Any]:
        """What was done to the grid, for a report; mm along right, anterior, superior."""
        given = list(self.source.canonical().spacing)
        return {"resampled": self.resampled, "spacing_in": given, "spacing": list(self.spacing)}

    def back(self, grid: NDArray[Scalar]) -> NDArray[Scalar]:
        """A grid like `grid`, of any type, brought to the source's by nearest neighbour."""
        canonical = self.source.canonical()
        if self.resampled:
            axes = memory_order(canonical.array)
            work = grid.transpose(axes)
            for place, axis in enumerate(axes):
                fine, coarse = canonical.spacing[axis], self.spacing[axis]
                work = work.take(_cells(canonical.shape[axis], fine, coarse), place, mode="clip")
            grid = work.transpose(np.argsort(axes))
        restored: NDArray[Scalar] = self.source.restore(laid_out_like(grid, canonical.array))
        return restored


def memory_order(array: NDArray[Any]) -> list[int]:
    """The axes of an array, the slowest in memory first: the order in which to work on them."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def laid_out_like(array: NDArray[Scalar], other: NDArray[Any]) -> NDArray[Scalar]:
    """The same values, in the memory order of another array: a large mix of orders is slow."""
    axes = memory_order(other)
    ordered: NDArray[Scalar] = np.ascontiguousarray(array.transpose(axes)).transpose(
        np.argsort(axes)
    )
    return ordered


def binarise(volume: Volume, threshold: float | None) -> Bools:
    """Which voxels of a volume are occupied, bool of its shape.

    Above `threshold` if there is one. Without, the volume must have two values: the greater one, or
    the one that is not zero, is occupied.

    Raises:
        VolumeError: NaN, more than two values and no threshold, nothing occupied, or everything.
    """
    array = volume.array
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise VolumeError(
            f"wanted finite values, got {int(np.isnan(array).sum())} NaN voxels; replace them first"
        )
    if threshold is not None:
        occupied = array > threshold
    elif ((array == low) | (array == high)).all():
        background = low if low < high and 0 not in (low, high) else 0
        occupied = array != background
    else:
        raise VolumeError(
            f"wanted a binary volume, got more than two values between {low:g} and {high:g};"
            " give threshold= (--threshold): voxels above it are occupied"
        )
    _check_occupied(occupied, f"values lie between {low:g} and {high:g}")
    return occupied


def _check_occupied(occupied: Bools, found: str) -> None:
    if not occupied.any():
        raise VolumeError(f"wanted an occupied voxel, got none: {found}; check file and threshold")
    if occupied.all():
        raise VolumeError(f"wanted an empty voxel, got none: {found}; check file and threshold")


def conform(volume: Volume, contract: InputContract) -> Conformed:
    """Bring a bool volume to RAS axes and, unless its spacing is acceptable, to the contract's."""
    canonical = volume.canonical()
    grid = np.asarray(canonical.array, dtype=bool)
    if contract.accepts(canonical.spacing):
        return Conformed(volume, grid, canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    axes = memory_order(grid)
    work = grid.transpose(axes)
    for place, axis in enumerate(axes):
        work = _pool(work, place, canonical.spacing[axis], contract.spacing[axis])
    grid = work.transpose(np.argsort(axes))
    return Conformed(volume, grid, contract.spacing, resampled=True)


def check_extent(canonical: Volume, contract: InputContract) -> None:
    """Refuse what would be resampled to a grid that no patient fills."""
    extent = np.multiply(canonical.shape, canonical.spacing)
    if (extent / contract.spacing > LARGEST_AXIS).any():
        spacing = " x ".join(f"{length:g}" for length in canonical.spacing)
        raise VolumeError(
            f"wanted at most {LARGEST_AXIS} voxels an axis after resampling,"
            f" got voxels of {spacing} mm, {extent.max():g} mm along the longest axis;"
            " repair the file's spacing or units"
        )


def _pool(grid: Bools, axis: int, fine: float, coarse: float) -> Bools:
    """Resample one axis from voxels of `fine` to voxels of `coarse` mm, first corner in place.

    A larger voxel is set if any one with its centre in it is, so thin bone does not fall apart; a
    smaller one takes its nearest.
    """
    count = grid.shape[axis]
    if coarse <= fine:
        rows = _cells(int(np.ceil(count * fine / coarse - 1e-6)), coarse, fine)
        return grid.take(rows, axis, mode="clip")
    cells = _cells(count, fine, coarse)
    starts = np.searchsorted(cells, np.arange(cells[-1] + 1))
    return np.logical_or.reduceat(grid, starts, axis)


def _cells(count: int, length: float, cell: float) -> NDArray[np.intp]:
    """In which cell of that length the centre of each of `count` voxels lies; both in mm."""
    return ((np.arange(count) + 0.5) * length / cell).astype(np.intp)
