"""Coverage: the share of every voxel's volume that is occupied, from 0 to 1 (its partial volume).

On a coarse grid it says where in a voxel a surface runs, which occupied or not cannot: at 1.6 mm
a skull's surface is known to about a tenth of a millimetre. A grid of it is kept in bytes, in steps
of 1/255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.contract import InputContract
from zoo.errors import VolumeError
from zoo.volumes.resampling import Resampled, check_extent, coarse_count, containing, memory_order
from zoo.volumes.volume import Volume
from zoo.volumes.voxels import bounds

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Steps = NDArray[np.uint8]
Triple = tuple[float, float, float]
BoundingBox = tuple[slice, slice, slice]

HALF = 0.5  # a surface runs where the coverage, interpolated between voxel centres, is this
# Rows of a matrix that are multiplied at a time: few enough for the processor's cache, and for BLAS
# to leave each product to the thread that asks for it.
BLOCK = 8
STEPS = 255  # coverage is rounded to this share of one, so that it can be kept in a byte


def resample_coverage(volume: Volume, contract: InputContract) -> Resampled:
    """Bring a mask to RAS axes and the contract's spacing, as the coverage of every voxel.

        >>> fine = Volume(np.eye(4, dtype=bool)[:, :, None], np.diag([1.0, 1.0, 2.0, 1.0]))
        >>> coarse = resample_coverage(fine, InputContract.around(2.0, kind="coverage"))
        >>> coarse.array[:, :, 0].tolist()
        [[128, 0], [0, 128]]

    Args:
        volume: a mask, bool or 0 and 1.
        contract: says which spacing is wanted.

    Returns:
        uint8 (I, J, K), in steps of 1/255; 0 and 255 alone where the spacing is acceptable as it
        is.

    Raises:
        VolumeError: the grid would be larger than any patient, or what is occupied is too small to
            be seen on it.
    """
    canonical = volume.canonical()
    mask = np.asarray(canonical.array, dtype=bool)
    if contract.accepts(canonical.spacing):
        full = mask.view(np.uint8) * np.uint8(STEPS)
        return Resampled(volume, full, canonical.spacing, resampled=False)
    check_extent(canonical, contract)
    covered = coverage(mask, canonical.spacing, contract.spacing)
    if mask.any() and not covered.any():
        low, high = bounds(mask)
        lengths = " x ".join(f"{n:.3g}" for n in (high - low + 1) * canonical.spacing)
        raise VolumeError(
            f"wanted something to see in voxels of {contract.spacing[0]:g} mm, got what measures"
            f" {lengths} mm in all: repair the file's spacing or units"
        )
    return Resampled(volume, covered, contract.spacing, resampled=True)


def coverage(mask: Bools, given: Triple, wanted: Triple) -> Steps:
    """The coverage of voxels of `wanted` mm by a mask (I, J, K) of voxels of `given` mm, in bytes.

    The first corner stays where it is; what lies outside of the mask's grid is empty. Whatever the
    order of the mask in memory, the result is in C order.
    """
    counts = [coarse_count(n, *pair) for n, *pair in zip(mask.shape, given, wanted, strict=True)]
    axes = memory_order(mask)
    work = mask.transpose(axes)
    if not mask.any():
        return np.zeros(counts, np.uint8)
    out = np.zeros([counts[axis] for axis in axes], np.uint8)
    box = [slice(low, high + 1) for low, high in zip(*bounds(work), strict=True)]
    first, second, third = (
        _blocks(_overlaps(counts[axis], mask.shape[axis], given[axis], wanted[axis])[:, part])
        for axis, part in zip(axes, box, strict=True)
    )
    part = work[tuple(box)]
    for rows, columns, weights in first:  # the whole grid in floating point would take more memory
        planes = part[columns].astype(np.float32)
        lines = np.zeros((*planes.shape[:2], out.shape[2]), np.float32)
        for block in third:
            lines[:, :, block.rows] = planes[:, :, block.columns] @ block.weights.T
        planes = np.zeros((len(planes), *out.shape[1:]), np.float32)
        for block in second:
            planes[:, block.rows] = block.weights @ lines[:, block.columns]
        slab = (weights * STEPS) @ planes.transpose(1, 0, 2)
        out[rows] = np.rint(slab, out=slab).transpose(1, 0, 2)
    return _in_c_order(out.transpose(np.argsort(axes)))


def _in_c_order(grid: Steps) -> Steps:
    """The same in C order, as a network reads it; plane by plane, which fit into the cache."""
    if grid.flags.c_contiguous:
        return grid
    ordered = np.empty(grid.shape, grid.dtype)
    for at in range(grid.shape[1]):
        ordered[:, at] = grid[:, at]
    return ordered


def to_bytes(covered: Floats) -> Steps:
    """Coverage from 0 to 1 in steps, a byte each."""
    steps = np.empty(covered.shape, np.uint8)
    for plane, values in zip(steps, covered, strict=True):  # slices fit into the processor's cache
        plane[...] = np.rint(values * STEPS)
    return steps


def from_bytes(steps: Steps) -> Floats:
    """Coverage from 0 to 1, float32, of what `to_bytes` made."""
    covered: Floats = np.divide(steps, np.float32(STEPS), dtype=np.float32)
    return covered


def interpolated(
    field: Floats,
    spacing: Triple,
    fine: Triple,
    box: BoundingBox,
    low: Sequence[int] = (0, 0, 0),
) -> Floats:
    """Coverage at the centres of a finer grid's voxels, in a bounding box of it.

    Args:
        field: float32 (I, J, K), coverage of voxels of `spacing` mm: those of `around`, or more.
        spacing, fine: mm; both grids begin at the same corner.
        box: slices of the fine grid.
        low: the voxel of the coarse grid that the field begins with.

    Returns:
        float32, of the shape of the box: interpolated linearly between the centres of voxels. What
        lies within the surface is above `HALF`.
    """
    values = field
    for axis, (positions, first) in enumerate(
        zip(_positions(box, spacing, fine), low, strict=True)
    ):
        values = _interpolated(values, axis, positions - first)
    return values


def surface_voxels(
    field: Floats,
    spacing: Triple,
    fine: Triple,
    box: BoundingBox,
    low: Sequence[int] = (0, 0, 0),
) -> Bools:
    """Which voxels of a finer grid, in a bounding box of it, lie within a coarse grid's surface.

    Args:
        field, spacing, fine, box, low: as for `interpolated`.

    Returns:
        bool, of the shape of the box: where the interpolated coverage is above one half.
    """
    inside: Bools = interpolated(field, spacing, fine, box, low) > HALF
    return inside


def around(box: BoundingBox, spacing: Triple, fine: Triple, shape: Sequence[int]) -> BoundingBox:
    """Slices of a coarse grid of that shape: the voxels between whose centres a box's voxels lie.

    Args:
        box: slices of the fine grid.
        spacing, fine: mm; both grids begin at the same corner.
        shape: of the coarse grid.
    """
    i, j, k = (
        slice(max(int(positions[0]), 0), min(int(max(positions[-1], 0)) + 2, count))
        for positions, count in zip(_positions(box, spacing, fine), shape, strict=True)
    )
    return i, j, k


def _positions(box: BoundingBox, spacing: Triple, fine: Triple) -> list[NDArray[np.floating]]:
    """Where the centres of a box's voxels are along each axis, in coarse voxels from the centre of
    the first one."""
    return [
        (np.arange(part.start, part.stop) + 0.5) * length / size - 0.5
        for part, length, size in zip(box, fine, spacing, strict=True)
    ]


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


class _Block(NamedTuple):
    """A block of a banded matrix: some of its rows, where they are not zero."""

    rows: slice
    columns: slice
    weights: Floats


def _blocks(matrix: Floats) -> list[_Block]:
    """The blocks of a matrix whose rows are zero but for a few columns, further on in every row."""
    found = []
    for start in range(0, len(matrix), BLOCK):
        part = matrix[start : start + BLOCK]
        used = np.flatnonzero(part.any(axis=0))
        if len(used):
            columns = slice(int(used[0]), int(used[-1]) + 1)
            rows = slice(start, start + len(part))
            found.append(_Block(rows, columns, np.ascontiguousarray(part[:, columns])))
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
