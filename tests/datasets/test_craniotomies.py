"""Defects as surgeons and accidents leave them."""

import numpy as np
import pytest

from zoo.datasets.phantoms.craniotomies import KINDS, Vault, draw_opening, draw_openings
from zoo.datasets.phantoms.cutting import cut_coverage
from zoo.datasets.phantoms.defects import cranial_centre
from zoo.datasets.phantoms.skulls import FIELD_OF_VIEW, complete_skull, skull_coverage
from zoo.errors import VolumeError

SPACING = FIELD_OF_VIEW / 64


@pytest.fixture(scope="module")
def skull():
    """Bone, its points in mm, and the vault that they make."""
    head = skull_coverage(0, 64)
    bone = head > 0.5
    points = (np.argwhere(bone) + 0.5) * SPACING
    centre, _ = cranial_centre(bone, np.full(3, SPACING))
    return points, Vault.of(points, centre)


def removed(skull, kind, seed=0):
    points, vault = skull
    opening = draw_opening(vault, np.random.default_rng(seed), kind)
    return opening, points[opening.mask(points)] - vault.centre


@pytest.mark.parametrize("kind", KINDS)
def test_openings_take_bone_of_the_vault_where_their_kind_is(skull, kind):
    for seed in range(6):
        opening, taken = removed(skull, kind, seed)
        assert 0 < len(taken) < len(skull[0]) / 3
        assert (taken[:, 2] > opening.lowest * np.hypot(taken[:, 0], taken[:, 1]) - 1e-6).all()
        middle = taken.mean(axis=0) / np.linalg.norm(taken.mean(axis=0))
        assert middle @ opening.axes[2] > 0.85


def test_a_hemicraniectomy_is_long_and_on_one_side(skull):
    for seed in range(6):
        _, taken = removed(skull, "hemicraniectomy", seed)
        assert np.ptp(taken[:, 1]) > 95 and abs(np.sign(taken[:, 0]).mean()) > 0.8


def test_a_bifrontal_opening_crosses_the_midline(skull):
    for seed in range(6):
        _, taken = removed(skull, "bifrontal", seed)
        assert taken[:, 0].min() < -15 and taken[:, 0].max() > 15 and taken[:, 1].mean() > 30


def test_some_leave_a_remnant_some_have_burr_holes_and_some_are_several(skull):
    points, vault = skull
    drawn = [draw_openings(vault, np.random.default_rng(seed)) for seed in range(60)]
    openings = [opening for each in drawn for opening in each]
    assert {len(each) for each in drawn} >= {1, 2}
    assert any(len(opening.burr_holes) for opening in openings)
    with_remnant = [opening for opening in openings if opening.remnant is not None]
    assert 0 < len(with_remnant) < len(openings) / 3
    left = [opening.mask(points).sum() for opening in with_remnant]
    bare = [
        type(opening)(**(vars(opening) | {"remnant": None})).mask(points).sum()
        for opening in with_remnant
    ]
    assert sum(left) < 0.9 * sum(bare)


def test_shares_agree_with_masks(skull):
    points, vault = skull
    opening = draw_opening(vault, np.random.default_rng(3), "craniotomy")
    share, mask = opening.share(points, SPACING), opening.mask(points)
    assert share.min() == 0 and share.max() == 1 and ((share > 0) & (share < 1)).any()
    assert (mask[share == 1]).all() and not mask[share == 0].any()


@pytest.mark.parametrize("seed", range(8))
def test_cuts_depend_on_the_generator_alone_and_take_what_is_there(seed):
    head = skull_coverage(seed, 64)
    one, other = (cut_coverage(head, SPACING, np.random.default_rng(seed)) for _ in range(2))
    assert (one == other).all() and (one <= head).all()
    volume = one.sum() * SPACING**3
    assert 500 <= volume <= 0.5 * head.sum() * SPACING**3


def test_coverage_of_a_phantom_is_that_of_its_voxels():
    coarse, fine = skull_coverage(1, 32), complete_skull(1, 128)
    volume = coarse.sum() * (FIELD_OF_VIEW / 32) ** 3
    # The finer grid is filled as if pooled from 0.4 mm, so its bone is a little thicker.
    assert 0.7 < volume / (fine.sum() * (FIELD_OF_VIEW / 128) ** 3) < 1
    assert ((coarse > 0.9) <= complete_skull(1, 32)).all()


def test_what_is_no_head_is_refused():
    with pytest.raises(VolumeError):
        cut_coverage(np.ones((4, 4, 4), np.float32), 1.0, np.random.default_rng(0))
    for seed in range(4):  # whatever kind of cut is drawn
        with pytest.raises(VolumeError, match="nothing that is more than half bone"):
            cut_coverage(np.full((20, 20, 20), 0.4, np.float32), 3.2, np.random.default_rng(seed))
