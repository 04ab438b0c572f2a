import numpy as np
import pytest
from scipy.ndimage import label

from zoo.volumes.components import components, largest_component, without_specks


def grid(*boxes):
    made = np.zeros((30, 30, 30), dtype=bool)
    for box in boxes:
        made[tuple(slice(*span) for span in box)] = True
    return made


LARGE = ((2, 12), (2, 12), (2, 5))
SECOND = ((20, 26), (20, 26), (20, 23))
SPECK = ((20, 23), (2, 5), (27, 29))


def test_specks_go_and_components_stay():
    assert (without_specks(grid(LARGE, SECOND, SPECK)) == grid(LARGE, SECOND)).all()


def test_one_component_or_none_stays_as_it_is():
    assert (without_specks(grid(SPECK)) == grid(SPECK)).all()
    assert not without_specks(grid()).any()


def test_components_that_touch_at_a_corner_are_one():
    corner = ((12, 13), (12, 13), (5, 6))
    assert without_specks(grid(LARGE, corner))[12, 12, 5]


@pytest.mark.parametrize("order", "CF")
def test_components_are_those_of_a_second_library(order):
    for share in (0.02, 0.06, 0.1):
        random = np.asarray(np.random.default_rng(4).random((20, 23, 19)) < share, order=order)
        labels, count = label(random, np.ones((3, 3, 3)))
        sizes = np.bincount(labels[random])
        for least in (0, 2, 4):
            kept = sizes >= max(0.1 * sizes.max(), least, 1)
            assert (without_specks(random, least) == kept[labels]).all()
        assert count > 1 and largest_component(random).sum() == sizes.max()


def test_the_largest_component_alone():
    assert (largest_component(grid(SPECK, SECOND, LARGE)) == grid(LARGE)).all()
    corner = ((12, 13), (12, 13), (5, 6))
    assert (largest_component(grid(LARGE, corner, SPECK)) == grid(LARGE, corner)).all()


def test_components_may_have_to_be_of_some_size():
    mask = np.zeros((1, 1, 30), bool)
    mask[..., :5] = mask[..., 8:12] = True
    assert without_specks(mask).sum() == 9
    assert without_specks(mask, 5).sum() == 5 and not without_specks(mask, 6).any()


def test_masks_may_be_read_only():
    mask = grid(LARGE, SPECK)
    mask.flags.writeable = False
    assert (largest_component(mask) == grid(LARGE)).all()
    assert (without_specks(mask) == grid(LARGE)).all()
    assert components(mask).max() == 2


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 1, 3), (1, 7, 7), (3, 3, 3), (2, 5, 9)])
def test_grids_may_be_thin_and_full_of_components(shape):
    scattered = np.zeros(shape, bool)
    scattered[::2, ::2, ::2] = True
    found = components(scattered)
    assert found.shape == shape and found.max() == scattered.sum() == len(np.unique(found)) - 1
    assert largest_component(scattered).sum() == 1
    assert (without_specks(scattered) == scattered).all()
