"""The implant from coverage: which voxels of a fine grid lie in the hole that a network filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.networks import GeneratedCoverage
from zoo.volumes import (
    HALF,
    Bools,
    around,
    box_around,
    components,
    dilated,
    from_bytes,
    interpolated,
    voxels_of,
    without_specks,
)

Floats = NDArray[np.float32]
Triple = tuple[float, float, float]
BoundingBox = tuple[slice, slice, slice]

NEW = 0.5  # coverage that must be added to a voxel, for there to be a hole
LEAST = 0.2  # coverage that is added to a voxel, for it to be more than a network's inaccuracy
SMALLEST = 0.25  # ml of such voxels in one place, about a third of a burr hole
LOWEST = 0.25  # coverage at which the surface of an implant may run, at least
BLOCK = 1.6  # mm: on smaller voxels, a mean over blocks of that size decides where there is a hole


class Hole(NamedTuple):
    """What was filled.

    Attributes:
        box: a bounding box in a fine grid.
        values: float32, of its shape; see `filled`.
        volume: mm3 of bone that are expected to be missing there.
    """

    box: BoundingBox
    values: Floats
    volume: float


def hole(added: Floats, spacing: Triple) -> Bools:
    """Where a network found that something is missing: bool (I, J, K), with a margin of a voxel.

    Args:
        added: float32 (I, J, K), the coverage that the network adds.
        spacing: mm between the centres of voxels.
    """
    return dilated(without_specks(added > NEW, 1000 * SMALLEST / float(np.prod(spacing))))


def filled(
    predicted: GeneratedCoverage,
    given: NDArray[np.uint8],
    spacing: Triple,
    fine: Triple,
    shape: tuple[int, ...],
) -> tuple[BoundingBox, Floats] | None:
    """The coverage of a finer grid where there is a hole: above one half within the complete shape.

    Args:
        predicted: the coverage that the network predicts.
        given: uint8 (I, J, K), the coverage of the input in steps of 1/255.
        spacing, fine: mm; both grids begin at the same corner.
        shape: of the fine grid.

    Returns:
        A bounding box in the fine grid, and float32 of its shape: 0 where there is no hole, and
        coverage interpolated between the centres of voxels elsewhere. None if nothing is missing.
    """
    added = predicted.values - from_bytes(given[predicted.box])
    added[added <= LEAST] = 0
    edge = max(round(BLOCK / min(spacing)), 1)
    i, j, k = (edge * length for length in spacing)
    zone = hole(_block_means(added, predicted.low, given.shape, edge), (i, j, k))
    if not zone.any():
        return None
    box = box_around(zone, (i, j, k), fine, shape)
    part = around(box, spacing, fine, given.shape)
    field = from_bytes(given[part]) + GeneratedCoverage(predicted.low, added).within(part)
    values = interpolated(field, spacing, fine, box, [along.start for along in part])
    values *= voxels_of(zone, (i, j, k), fine, box)
    return box, values


def mean_of(holes: Sequence[Hole | None], weights: Sequence[float]) -> Hole | None:
    """The weighted mean of what several networks filled; None if none of them found a hole.

    >>> one = Hole((slice(0, 1), slice(0, 1), slice(1, 3)), np.ones((1, 1, 2), np.float32), 2.0)
    >>> two = Hole((slice(0, 1), slice(0, 1), slice(2, 4)), np.ones((1, 1, 2), np.float32), 2.0)
    >>> mean_of([one, two, None], [1, 1, 2]).values.tolist()
    [[[0.25, 0.5, 0.25]]]
    """
    shares = [weight / sum(weights) for weight in weights]
    found = [(hole, share) for hole, share in zip(holes, shares, strict=True) if hole]
    if not found or len(holes) == 1:
        return holes[0]
    i, j, k = (
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*(hole.box for hole, _ in found), strict=True)
    )
    box = (i, j, k)
    mean = np.zeros([part.stop - part.start for part in box], np.float32)
    for hole, share in found:
        own = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(hole.box, box, strict=True)
        )
        mean[own] += hole.values * np.float32(share)
    return Hole(box, mean, sum(hole.volume * share for hole, share in found))


def surface_of(values: Floats, bone: Bools, wanted: float) -> float:
    """The coverage at which an implant's surface runs, so that it has the volume that is expected.

    Where a network does not know where bone lies, it spreads it: of 3 mm of bone somewhere in
    9 mm there is coverage of a third, which is nowhere above one half.

    Args:
        values: float32 (I, J, K), coverage.
        bone: bool, of the same shape: what is no implant.
        wanted: voxels that are expected.

    Returns:
        From `LOWEST` to one half, the least at which no more than these are within.
    """
    within = values[(values > LOWEST) & ~bone]
    count = max(round(wanted), 1)
    if np.count_nonzero(within > HALF) >= count:
        return HALF
    if len(within) <= count:
        return LOWEST
    return min(float(np.partition(within, -count - 1)[-count - 1]), HALF)


def reaching(values: Floats, surface: float) -> Bools:
    """Where values are above a surface's, in components that are above one half somewhere."""
    mask: Bools = values > surface
    if surface == HALF or not mask.any():
        return mask
    labels = components(mask)
    kept = np.zeros(int(labels.max()) + 1, bool)
    kept[labels[values > HALF]] = True
    kept[0] = False
    found: Bools = kept[labels]
    return found


def _block_means(
    values: Floats, low: tuple[int, int, int], shape: tuple[int, ...], edge: int
) -> Floats:
    """The means of blocks of edge x edge x edge voxels of a grid of that shape.

    The values are those of a box from voxel `low` on; outside of it and of the grid, they are 0.
    """
    values = np.pad(values, [(n % edge, 0) for n in low])
    for axis in range(values.ndim):
        starts = np.arange(0, values.shape[axis], edge)
        values = np.add.reduceat(values, starts, axis) if len(starts) else values
    means = np.zeros([-(-n // edge) for n in shape], np.float32)
    firsts = [n // edge for n in low]
    i, j, k = (slice(first, first + n) for first, n in zip(firsts, values.shape, strict=True))
    means[i, j, k] = values / np.float32(edge**values.ndim)
    return means
