"""Variants of a case: other proportions, thick slices, scans that end within the skull."""

import numpy as np
import pytest

from zoo.tasks._variants import settings, varied
from zoo.training import DatasetConfig

SPACING = (0.5, 0.5, 0.5)
NONE = {"stretch": 0.0}


def config(**options):
    return DatasetConfig(folder=".", **NONE | options)


def ball():
    """A shell and the part of it in front, which lies within it."""
    places = np.indices((60, 60, 60)) - 29.5
    radius = np.sqrt((places**2).sum(axis=0))
    shell = (radius < 28) & (radius > 22)
    return [shell, shell & (places[1] > 0)]


def made(number, shapes=None, **options):
    rng = np.random.default_rng(number)
    return varied(shapes or ball(), SPACING, config(**options), (2.0, 2.0, 2.0), rng)


def volumes(shapes, spacing):
    return np.array([np.count_nonzero(shape) for shape in shapes]) * np.prod(spacing)


@pytest.mark.parametrize("number", range(4))
def test_by_itself_a_variant_is_moved_by_less_than_a_voxel_of_the_model(number):
    shapes, spacing = made(number)
    assert spacing == SPACING
    margins = np.array(shapes[0].shape) - 60
    assert (margins >= 0).all() and (margins < 4).all()
    kept = [shape[tuple(slice(n, None) for n in margins)] for shape in shapes]
    assert all(np.array_equal(*pair) for pair in zip(kept, ball(), strict=True))


def test_one_in_four_has_thick_slices_of_as_much_bone_as_partial_volume_leaves():
    found = [made(number, slice_thickness=3.0) for number in range(80)]
    thick = [each for each in found if each[1][2] > 0.5]
    assert 10 <= len(thick) <= 30
    factors = {round(spacing[2] / 0.5) for _, spacing in thick}
    assert min(factors) >= 2 and max(factors) <= 6 and len(factors) > 2
    wanted = volumes(ball(), SPACING)
    for shapes, spacing in thick:
        assert spacing[:2] == SPACING[:2]
        assert (shapes[1] <= shapes[0]).all()
        shares = volumes(shapes, spacing) / wanted
        assert (shares > 0.95).all() and (shares < 1.5).all()


def test_of_one_in_four_the_scan_ends_within_the_skull():
    heights = np.array([height(made(number, crop=0.4)[0]) for number in range(80)])
    whole = height(ball())
    assert 10 <= np.count_nonzero(heights < whole) <= 30
    assert 0.2 * whole - 2 < heights.min() < 0.6 * whole


def height(shapes):
    """How many slices the first shape is in."""
    return np.count_nonzero(shapes[0].any(axis=(0, 1)))


def test_nothing_is_lost_of_which_nothing_would_be_left():
    plate = np.zeros((8, 8, 40), bool)
    plate[:, :, 0] = True
    for number in range(40):
        shapes, _ = made(number, [plate, plate], slice_thickness=5.0, crop=0.4)
        assert shapes[0].any()


def test_whatever_decides_a_variant_is_in_its_files_name():
    options = [{}, {"stretch": 0.1}, {"slice_thickness": 3.0}, {"crop": 0.2}]
    assert len({settings(config(**each)) for each in options}) == len(options)
