"""Coverage: the share of every voxel's volume that is occupied, from 0 to 1 (its partial volume).

On a coarse grid it says where in a voxel a surface runs, which occupied or not cannot: at 1.6 mm
a skull's surface is known to about a tenth of a millimetre.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zoo.volumes.contract import InputContract
from zoo.volumes.resampling import Resampled, check_extent, coarse_count, containing, memory_order
from zoo.volumes.volume import Volume
from zoo.volumes.voxels import bounds

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Triple = tuple[float, float, float]
BoundingBox = tuple[slice, slice, slice]

HALF = 0.5  # a surface runs where the coverage, interpolated between voxel centres, is this
STEPS = 255  # coverage is rounded to this share of one, so that it can be kept in a byte


def resample_coverage(volume: Volume, contract: InputContract) -> Resampled:
    """Bring a mask to RAS axes and the contract's spacing, as the coverage of every voxel.

        >>> fine = Volume(np.eye(4, dtype=bool)[:, :, None], np.diag([1.0, 1.0, 2.0, 1.0]))
        >>> coarse = resample_coverage(fine, InputContract.around(2.0, kind="coverage"))
        >>> coarse.array[:, :, 0].round(1).tolist()
        [[0.5, 0.0], [0.0, 0.5]]

    Args:
        volume: a mask, bool or 0 and 1.
        contract: says which spacing is wanted.

    Returns:
        float32 (I, J, K) from 0 to 1; 0 and 1 alone where the spacing is acceptable as it is.

    Raises:
        VolumeError: the grid would be larger than any patient.
    """
    canonical = volume.canonical()
    mask = np.asarray(canonical.array, dtype=bool)
    if contract.accepts(canonical.spacing):
        return Resampled(volume, mask.astype(np.float32), canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    return Resampled(
        volume, coverage(mask, canonical.spacing, contract.spacing), contract.spacing, True
    )


def coverage(mask: Bools, given: Triple, wanted: Triple) -> Floats:
    """The coverage of voxels of `wanted` mm by a mask (I, J, K) of voxels of `given` mm.

    The first corner stays where it is; what lies outside of the mask's grid is empty.
    """
    counts = [coarse_count(n, *pair) for n, *pair in zip(mask.shape, given, wanted, strict=True)]
    axes = memory_order(mask)
    work = mask.transpose(axes)
    out = np.zeros([counts[axis] for axis in axes], np.float32)
    covered: Floats = out.transpose(np.argsort(axes))  # in the mask's memory order
    if not mask.any():
        return covered
    box = [slice(low, high + 1) for low, high in zip(*bounds(work), strict=True)]
    first, second, third = (
        _overlaps(counts[axis], mask.shape[axis], given[axis], wanted[axis])[:, part]
        for axis, part in zip(axes, box, strict=True)
    )
    part = work[tuple(box)]

    @lru_cache(maxsize=2)  # the last one along an edge also belongs to the next
    def resampled(n: int) -> Floats:
        return second @ (part[n].astype(np.float32) @ third.T)  # type: ignore[no-any-return]

    # Slice by slice, as the whole grid in floating point would take four times its memory.
    for plane, weights in zip(out, first, strict=True):
        for n in np.flatnonzero(weights).tolist():
            plane += weights[n] * resampled(n)
        plane *= STEPS
        np.rint(plane, out=plane)
        plane /= STEPS
    return covered


def to_bytes(covered: Floats) -> NDArray[np.uint8]:
    """Coverage from 0 to 1 in steps, a byte each."""
    steps = np.empty(covered.shape, np.uint8)
    for plane, values in zip(steps, covered, strict=True):  # slices fit into the processor's cache
        plane[...] = np.rint(values * STEPS)
    return steps


def from_bytes(steps: NDArray[np.uint8]) -> Floats:
    """Coverage from 0 to 1, float32, of what `to_bytes` made."""
    covered: Floats = np.divide(steps, np.float32(STEPS), dtype=np.float32)
    return covered


def surface_voxels(field: Floats, spacing: Triple, fine: Triple, box: BoundingBox) -> Bools:
    """Which voxels of a finer grid, in a bounding box of it, lie within a coarse grid's surface.

    Args:
        field: float32 (I, J, K), coverage of voxels of `spacing` mm.
        spacing, fine: mm; both grids begin at the same corner.
        box: slices of the fine grid.

    Returns:
        bool, of the shape of the box: where the coverage, interpolated linearly between the centres
        of voxels, is above one half.
    """
    at = [
        (np.arange(part.start, part.stop) + 0.5) * length / size - 0.5
        for part, length, size in zip(box, fine, spacing, strict=True)
    ]
    # Of the field, only what is between these positions counts.
    lows = [max(int(positions[0]), 0) for positions in at]
    i, j, k = (slice(low, int(max(along[-1], 0)) + 2) for low, along in zip(lows, at, strict=True))
    values = field[i, j, k]
    for axis, (positions, low) in enumerate(zip(at, lows, strict=True)):
        values = _interpolated(values, axis, positions - low)
    inside: Bools = values > HALF
    return inside


def voxels_of(zone: Bools, spacing: Triple, fine: Triple, box: BoundingBox) -> Bools:
    """Which voxels of a finer grid, in a bounding box of it, have their centre in a coarse zone."""
    found = zone
    for axis, part in enumerate(box):
        at = containing(part.stop, fine[axis], spacing[axis])[part.start :]
        found = found.take(at, axis, mode="clip")
    return found


def _interpolated(field: Floats, axis: int, positions: NDArray[np.floating]) -> Floats:
    """Linear interpolation along one axis, at positions in voxels from the first one's centre."""
    count = field.shape[axis]
    at = np.clip(positions, 0, count - 1)
    low = np.minimum(at.astype(np.intp), max(count - 2, 0))
    shape = [1] * field.ndim
    shape[axis] = -1
    share = (at - low).astype(np.float32).reshape(shape)
    high = np.minimum(low + 1, count - 1)
    found: Floats = field.take(low, axis) * (1 - share) + field.take(high, axis) * share
    return found


def _overlaps(count: int, fine_count: int, fine: float, coarse: float) -> Floats:
    """Shares (count, fine_count) of each coarse voxel's edge that each fine one's covers."""
    edges, wanted = np.arange(fine_count + 1) * fine, np.arange(count + 1) * coarse
    low = np.maximum(edges[None, :-1], wanted[:-1, None])
    high = np.minimum(edges[None, 1:], wanted[1:, None])
    overlaps: Floats = (np.maximum(high - low, 0) / coarse).astype(np.float32)
    return overlaps


def box_around(zone: Bools, spacing: Triple, fine: Triple, shape: Sequence[int]) -> BoundingBox:
    """Slices of a grid of that shape, with voxels of `fine` mm, that hold a zone of coarser voxels.

    Args:
        zone: bool (I, J, K), voxels of `spacing` mm, of which one must be set.
        spacing, fine: mm; both grids begin at the same corner.
        shape: of the fine grid.
    """
    low, high = bounds(zone)
    starts = np.floor(low * np.divide(spacing, fine)).astype(int)
    stops = np.ceil((high + 1) * np.divide(spacing, fine)).astype(int)
    i, j, k = map(slice, np.clip(starts, 0, shape), np.clip(stops, 0, shape))
    return i, j, k
