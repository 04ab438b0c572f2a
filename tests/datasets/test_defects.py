"""Defects in any skull: full thickness, one side of the head, vault only, 3 to 12 cm across."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zoo.datasets.phantoms.defects import apply_defects, cut_defect, plan_defects
from zoo.errors import VolumeError

Bools = NDArray[np.bool_]

SPACING = 4.0


@pytest.fixture(scope="module")
def shell() -> Bools:
    """A hollow sphere, 75 mm outer and 68 mm inner radius, centred in 48 voxels of 4 mm."""
    i, j, k = np.indices((48, 48, 48)) - 23.5
    radius = np.sqrt(i * i + j * j + k * k) * SPACING
    hollow: Bools = (radius < 75) & (radius > 68)
    return hollow


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_parts_the_skull(shell: Bools, seed: int) -> None:
    defective, implant = cut_defect(shell, SPACING, rng(seed))
    assert implant.any()
    assert not (implant & defective).any()
    assert np.array_equal(implant | defective, shell)
    assert np.count_nonzero(implant) < 0.5 * np.count_nonzero(shell)


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_takes_the_upper_part_only(shell: Bools, seed: int) -> None:
    _, implant = cut_defect(shell, SPACING, rng(seed))
    assert np.argwhere(implant)[:, 2].min() >= 19  # five voxels below the centre


def test_sizes_are_those_of_cranial_defects(shell: Bools) -> None:
    across = []
    for seed in range(40):
        defects = plan_defects(shell, SPACING, rng(seed))
        if len(defects) == 1:
            points = np.argwhere(cut_defect(shell, SPACING, rng(seed))[1]) * SPACING
            across.append(np.sqrt(((points[:, None] - points) ** 2).sum(-1).max()) + SPACING)
    assert min(across) > 20
    assert max(across) < 145
    assert 50 < np.median(across) < 100


def test_a_cut_goes_through_the_bone_and_spares_the_far_side(shell: Bools) -> None:
    for seed in range(10):
        (defect, *_) = plan_defects(shell, SPACING, rng(seed))
        outward = defect.axes[2]
        depths = np.linspace(-6, 1, 8)[:, None]
        assert defect.mask(defect.middle + depths * outward).all()
        assert not defect.mask(defect.middle - np.linspace(70, 150, 9)[:, None] * outward).any()


def test_now_and_then_there_are_two(shell: Bools) -> None:
    counts = [len(plan_defects(shell, SPACING, rng(seed))) for seed in range(100)]
    assert 5 <= counts.count(2) <= 30
    assert counts.count(1) + counts.count(2) == 100


def test_the_same_draws_for_the_same_seed(shell: Bools) -> None:
    first, second = (cut_defect(shell, SPACING, rng(3))[1] for _ in range(2))
    assert np.array_equal(first, second)


def test_the_number_of_draws_does_not_depend_on_the_volume(shell: Bools) -> None:
    one, other = rng(5), rng(5)
    cut_defect(shell, SPACING, one)
    cut_defect(shell.repeat(2, 0).repeat(2, 1).repeat(2, 2), SPACING / 2, other)
    assert one.bit_generator.state == other.bit_generator.state


@pytest.mark.parametrize("volume", [np.zeros((16, 16, 16), bool), np.ones((16, 16), bool)])
def test_nothing_to_cut_is_refused(volume: Bools) -> None:
    with pytest.raises(VolumeError, match="got shape"):
        cut_defect(volume, SPACING, rng(0))


def test_a_speck_has_no_vault() -> None:
    speck = np.zeros((32, 32, 32), bool)
    speck[16, 16, 16] = True
    with pytest.raises(VolumeError, match="no defect could be cut"):
        cut_defect(speck, SPACING, rng(0))


def test_a_defect_is_the_same_in_thick_slices(shell: Bools) -> None:
    thick = shell[:, :, ::2] | shell[:, :, 1::2]
    for seed in range(5):
        defects = plan_defects(shell, SPACING, rng(seed))
        _, fine = apply_defects(shell, SPACING, defects)
        _, coarse = apply_defects(thick, (SPACING, SPACING, 2 * SPACING), defects)
        pooled = fine[:, :, ::2] | fine[:, :, 1::2]
        assert np.count_nonzero(pooled & coarse) > 0.75 * np.count_nonzero(pooled | coarse)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_defects_are_planned_in_millimetres_whatever_the_slices(shell: Bools, axis: int) -> None:
    edges = [SPACING] * 3
    edges[axis] /= 2
    thin = shell.repeat(2, axis)
    for seed in range(5):
        wanted, got = (
            plan_defects(volume, spacing, rng(seed))[0]
            for volume, spacing in ((shell, SPACING), (thin, tuple(edges)))
        )
        assert got.shape == wanted.shape
        assert np.allclose(got.cranial_centre, wanted.cranial_centre, atol=0.1)
        assert np.allclose(got.middle, wanted.middle, atol=2 * SPACING)


def test_a_cut_off_crown_does_not_lower_the_vault(shell: Bools) -> None:
    for seed in range(10):
        _, implant = cut_defect(shell[:, :, :36], SPACING, rng(seed))  # 27 mm are missing
        assert np.argwhere(implant)[:, 2].min() >= 17


def test_a_defect_must_take_bone_of_some_thickness(shell: Bools) -> None:
    gone = shell.copy()
    gone[:, 20:] = False
    for seed in range(20):
        for defect in plan_defects(gone, SPACING, rng(seed), thinnest=4.0):
            _, implant = apply_defects(gone, SPACING, (defect,))
            assert np.count_nonzero(implant) * SPACING**3 > 4.0 * defect.area
    with pytest.raises(VolumeError, match="no defect could be cut"):
        plan_defects(shell, SPACING, rng(0), thinnest=40.0)
