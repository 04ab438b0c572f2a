"""Coverage: the share of voxels that is occupied, and the surfaces that can be had back from it."""

import numpy as np
import pytest

from zoo.contract import InputContract
from zoo.volumes.coverage import (
    around,
    box_around,
    coverage,
    from_bytes,
    resample_coverage,
    surface_voxels,
    voxels_of,
)
from zoo.volumes.metrics import dice
from zoo.volumes.resampling import resample_mask
from zoo.volumes.volume import Volume

GIVEN, WANTED = (0.45, 0.5, 0.7), (1.6, 1.6, 1.6)


def ball(spacing, radius=14.0, shape=(80, 75, 60)):
    centres = [(np.arange(n) + 0.5) * length for n, length in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*(axis - axis.mean() for axis in centres), indexing="ij")
    distance = np.sqrt(x * x + y * y + z * z)
    return (distance < radius) & (distance > radius - 5)


def overlap(i, given, j, wanted):
    return max(min((i + 1) * given, (j + 1) * wanted) - max(i * given, j * wanted), 0) / wanted


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("longest", [0, 1, 2])
def test_coverage_is_the_overlap_of_voxels(order, longest):
    """Along one axis in several blocks; and in C order, whatever the mask's."""
    rng = np.random.default_rng(0)
    shape, given, wanted = [5, 4, 3], (0.7, 1.1, 2.0), (1.6, 1.6, 1.6)
    shape[longest] = 45
    mask = np.asarray(rng.random(shape) < 0.4, order=order)
    steps = coverage(mask, given, wanted)
    assert steps.shape[longest] >= 19 and steps.dtype == np.uint8 and steps.flags.c_contiguous
    found = from_bytes(steps)
    expected = np.zeros(found.shape)
    for i, j, k in np.argwhere(mask):
        for cell in np.ndindex(found.shape):
            shares = map(overlap, (i, j, k), given, cell, wanted)
            expected[cell] += np.prod(list(shares))
    np.testing.assert_allclose(found, expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("order", "CF")
def test_volume_is_preserved_whatever_the_memory_order(order):
    mask = np.asarray(ball(GIVEN), order=order)
    found = from_bytes(coverage(mask, GIVEN, WANTED))
    volume = found.sum(dtype=float) * np.prod(WANTED)
    assert volume == pytest.approx(mask.sum() * np.prod(GIVEN), rel=2e-3)
    assert found.min() == 0 and found.max() == 1


def test_nothing_covers_nothing():
    assert not coverage(np.zeros((3, 4, 5), bool), GIVEN, WANTED).any()


def test_a_grid_with_the_contracts_spacing_is_taken_as_it_is():
    contract = InputContract.around(1.6, 0.999, 1.001, kind="coverage")
    mask = ball((1.6,) * 3, shape=(30, 30, 30))
    taken = resample_coverage(Volume(mask, np.diag([1.6, 1.6, 1.6, 1])), contract)
    assert not taken.resampled and taken.array.dtype == np.uint8
    assert (from_bytes(taken.array) == mask).all()
    other = resample_coverage(Volume(mask, np.diag([1.5, 1.6, 1.6, 1])), contract)
    assert other.resampled and other.spacing == (1.6, 1.6, 1.6)


def test_a_surface_comes_back_finer_than_its_voxels():
    mask = ball(GIVEN)
    contract = InputContract.around(1.6, 0.999, 1.001, kind="coverage")
    volume = Volume(mask, np.diag([*GIVEN, 1]))
    whole = tuple(slice(0, n) for n in mask.shape)
    field = from_bytes(coverage(mask, GIVEN, WANTED))
    found = surface_voxels(field, WANTED, GIVEN, whole)
    blocks = resample_mask(volume, contract)
    assert dice(found, mask) > 0.98 and dice(blocks.back(blocks.array), mask) < 0.9
    part = (slice(3, 40), slice(10, 75), slice(0, 31))
    inside = surface_voxels(field, WANTED, GIVEN, part)
    assert (inside == found[part]).all()
    needed = around(part, WANTED, GIVEN, field.shape)
    assert field[needed].size < field.size / 2
    low = [along.start for along in needed]
    inside = surface_voxels(field[needed], WANTED, GIVEN, part, low)
    assert (inside == found[part]).all()


def test_zones_on_a_finer_grid():
    zone = np.zeros((4, 4, 4), bool)
    zone[1:3, 2, 3] = True
    box = box_around(zone, (2.0,) * 3, (0.5, 1.0, 2.0), (16, 8, 4))
    assert box == (slice(4, 12), slice(4, 6), slice(3, 4))
    assert voxels_of(zone, (2.0,) * 3, (0.5, 1.0, 2.0), box).all()
    around = (slice(3, 13), slice(4, 6), slice(3, 4))
    assert voxels_of(zone, (2.0,) * 3, (0.5, 1.0, 2.0), around)[:, 0, 0].tolist() == (
        [False] + [True] * 8 + [False]
    )
