"""The implant from coverage: which voxels of a fine grid lie in the hole that a network filled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.networks import GeneratedCoverage
from zoo.volumes import (
    HALF,
    Bools,
    around,
    box_around,
    common_box,
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
LIFTED = 2.0  # times the coverage that is added may count, so that an implant has its volume
BLOCK = 1.6  # mm: on smaller voxels, a mean over blocks of that size decides where there is a hole


class Hole(NamedTuple):
    """What was filled.

    Attributes:
        box: a bounding box in a fine grid.
        values: float32, of its shape: 0 where there is no hole, and coverage interpolated between
            the centres of voxels elsewhere.
        given: float32, the same for the input: what of these values is not added.
        volume: mm3 of bone that are expected to be missing in the bounding boxes of all holes.
    """

    box: BoundingBox
    values: Floats
    given: Floats
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
) -> Hole | None:
    """What is filled of a finer grid, with coverage above one half within the complete shape.

    Args:
        predicted: the coverage that the network predicts.
        given: uint8 (I, J, K), the coverage of the input in steps of 1/255.
        spacing, fine: mm; both grids begin at the same corner.
        shape: of the fine grid.

    Returns:
        None if nothing is missing.
    """
    added = predicted.values - from_bytes(given[predicted.box])
    expected = GeneratedCoverage(predicted.low, np.maximum(added, 0))
    added[added <= LEAST] = 0
    edge = max(round(BLOCK / min(spacing)), 1)
    i, j, k = (edge * length for length in spacing)
    zone = hole(_block_means(added, predicted.low, given.shape, edge), (i, j, k))
    if not zone.any():
        return None
    box = box_around(zone, (i, j, k), fine, shape)
    part = around(box, spacing, fine, given.shape)
    low = [along.start for along in part]
    own = from_bytes(given[part])
    field = own + GeneratedCoverage(predicted.low, added).within(part)
    values, before = (interpolated(each, spacing, fine, box, low) for each in (field, own))
    inside = voxels_of(zone, (i, j, k), fine, box)
    holes = [box_around(each, (i, j, k), fine, shape) for each in _one_by_one(zone)]
    near = _union((around(each, spacing, fine, given.shape) for each in holes), part)
    volume = float((expected.within(part) * near).sum()) * float(np.prod(spacing))
    return Hole(box, values * inside, before * inside, volume)


def mean_of(holes: Sequence[Hole | None], weights: Sequence[float]) -> Hole | None:
    """The weighted mean of what several networks filled; None if none of them found a hole.

    >>> nothing = np.zeros((1, 1, 2), np.float32)
    >>> one = Hole((slice(0, 1), slice(0, 1), slice(1, 3)), nothing + 1, nothing, 2.0)
    >>> two = Hole((slice(0, 1), slice(0, 1), slice(2, 4)), nothing + 1, nothing, 2.0)
    >>> mean_of([one, two, None], [1, 1, 2]).values.tolist()
    [[[0.25, 0.5, 0.25]]]
    """
    shares = [weight / sum(weights) for weight in weights]
    found = [(hole, share) for hole, share in zip(holes, shares, strict=True) if hole]
    if not found or len(holes) == 1:
        return holes[0]
    box = common_box(hole.box for hole, _ in found)
    values, given = np.zeros((2, *(part.stop - part.start for part in box)), np.float32)
    for hole, share in found:
        own = _within(hole.box, box)
        values[own] += hole.values * np.float32(share)
        given[own] += hole.given * np.float32(share)
    return Hole(box, values, given, sum(hole.volume * share for hole, share in found))


def lifted(hole: Hole, bone: Bools, voxel: float) -> Floats:
    """The values of a hole, of which so much is within one half as is expected to be missing.

    Where a network does not know where bone lies, it spreads it: of 3 mm of bone somewhere in
    9 mm there is coverage of a third, which is nowhere above one half. What is added is multiplied,
    by `LIFTED` at most, and so no surface of the bone moves where nothing is added.

    Args:
        hole: what was filled.
        bone: bool, of the shape of its box: what is no implant.
        voxel: volume of one, mm3.

    Returns:
        float32, of the same shape; the values themselves if enough is within.
    """
    wanted = max(round(hole.volume / voxel), 1)
    added = hole.values - hole.given
    open_to = (added > 0) & ~bone & (hole.given + np.float32(LIFTED) * added > HALF)
    factors = (np.float32(HALF) - hole.given[open_to]) / added[open_to]  # that lift it to one half
    if np.count_nonzero(factors < 1) >= wanted:
        return hole.values
    factor = LIFTED if len(factors) <= wanted else float(np.partition(factors, wanted)[wanted])
    values: Floats = hole.given + added * np.float32(factor)
    return _reaching(values, hole.values)


def _one_by_one(zone: Bools) -> Iterator[Bools]:
    """Each of its connected components alone."""
    labels = components(zone)
    return (labels == number for number in range(1, int(labels.max()) + 1))


def _union(boxes: Iterable[BoundingBox], whole: BoundingBox) -> Bools:
    """The voxels of a bounding box that are in one of several others: bool, of its shape."""
    found = np.zeros([part.stop - part.start for part in whole], bool)
    for box in boxes:
        found[_within(box, whole)] = True
    return found


def _within(box: BoundingBox, whole: BoundingBox) -> BoundingBox:
    """The slices of a bounding box in another one that contains it."""
    i, j, k = (
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(box, whole, strict=True)
    )
    return i, j, k


def _reaching(values: Floats, before: Floats) -> Floats:
    """Values above one half only in components where some were so before; 0 in others."""
    labels = components(values > HALF)
    kept = np.zeros(int(labels.max()) + 1, bool)
    kept[labels[before > HALF]] = True
    kept[0] = True
    return np.where(kept[labels], values, np.float32(0))


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
