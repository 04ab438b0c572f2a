from dataclasses import replace

import numpy as np
import pytest
from heads import MIDDLE, SPACING, cap, hole, shell
from scipy.spatial import Delaunay

from zoo.anatomy import Implant, assess, cranium_of, reshaped, selected
from zoo.anatomy.cranium import _convex_hull
from zoo.anatomy.symmetry import plane_of_symmetry
from zoo.errors import VolumeError
from zoo.volumes import Volume, dice, roughness

CUBE = (SPACING,) * 3
LEFT, RIGHT = hole(20.0, (-1.0, 0.2, 0.4)), hole(28.0, (1.0, -0.2, 0.4))


def implants(skull, *holes):
    cut = np.logical_or.reduce(holes)
    box = (slice(0, 110), slice(0, 130), slice(0, 120))
    defective = skull & ~cut
    return Implant(box, skull & cut, defective, CUBE), defective


@pytest.mark.parametrize(
    ("region", "kept"),
    [
        ("all", LEFT | RIGHT),
        ("left", LEFT),
        ("right", RIGHT),
        ("anterior", LEFT),
        ("posterior", RIGHT),
        ("largest", RIGHT),
    ],
)
def test_the_region_says_which_defect_is_filled(region, kept):
    found, defective = implants(shell(), LEFT, RIGHT)
    wanted, said = selected(found, defective, region, None, edge=False)
    assert np.array_equal(wanted.mask, shell() & kept)
    assert (region == "all") == (said == [])


def test_crumbs_are_no_places():
    crumbs = np.zeros_like(shell())
    crumbs[::20, ::20, ::20] = shell()[::20, ::20, ::20]
    assert crumbs.sum() > 2
    found, defective = implants(shell(), LEFT, RIGHT, crumbs)
    _, said = selected(found, defective, "left", None, edge=False)
    (line,) = said
    assert line.endswith("ml left out in 1 other place")


def test_a_seed_takes_the_nearest_defect():
    found, defective = implants(shell(), LEFT, RIGHT)
    wanted, _ = selected(found, defective, "all", (0.0, 125.0, 170.0), edge=False)
    assert np.array_equal(wanted.mask, shell() & LEFT)


def test_where_no_defect_is_there_those_that_are_there_are_named():
    found, defective = implants(shell(), RIGHT)
    with pytest.raises(VolumeError, match=r"wanted a defect left, got 1 elsewhere: .* ml right"):
        selected(found, defective, "left", None, edge=False)


def test_what_closes_a_cropped_vault_is_no_implant():
    skull = shell()[:, :, :100]
    crown = np.zeros_like(skull)
    crown[:, :, 97:] = skull[:, :, 97:]
    crown[:, ::9, 97:] = False  # in several pieces
    side = hole(28.0, (1.0, -0.2, -0.1))[:, :, :100]
    defective = skull & ~crown & ~side
    box = (slice(0, 110), slice(0, 130), slice(0, 100))
    found = Implant(box, crown | (skull & side), defective, CUBE)
    wanted, said = selected(found, defective, "all", None, edge=False)
    assert not wanted.mask[:, :, -1].any() and wanted.mask.any()
    assert len(said) == 1 and "superior end of the field of view" in said[0]
    kept, said = selected(found, defective, "all", None, edge=True)
    assert np.array_equal(kept.mask, found.mask) and said == []


def test_a_cavity_is_found_in_spite_of_a_hole_and_its_lowest_place_is_the_foramen():
    for skull in (shell(), shell() & ~hole(60.0)):
        found = cranium_of(skull, CUBE)
        assert np.linalg.norm(np.subtract(found.centre, MIDDLE)) < 8
        assert np.linalg.norm(np.subtract(found.foramen, MIDDLE - [0, 0, 66])) < 12
    assert cranium_of(np.ones((20, 20, 20), bool), CUBE) is None
    assert cranium_of(np.zeros((20, 20, 20), bool), CUBE) is None


def test_a_convex_hull_holds_the_voxels_between_others():
    """As a triangulation has it, for random masks; voxels in one plane have no hull."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random(rng.integers(3, 12, 3)) < rng.uniform(0.05, 0.4)
        points = np.argwhere(mask)
        if np.linalg.matrix_rank(points - points.mean(axis=0)) < 3:
            assert _convex_hull(mask) is None
            continue
        inside = Delaunay(points).find_simplex(np.argwhere(np.ones_like(mask)), tol=1e-4) >= 0
        assert (_convex_hull(mask).ravel() == inside).all()


def test_clearance_is_a_gap_of_so_many_millimetres():
    from scipy import ndimage

    found, defective = implants(shell(), RIGHT)
    away = ndimage.distance_transform_edt(~defective, sampling=CUBE)
    for gap in (2.0, 4.0):
        fitted = reshaped(found, gap, 0, 0)
        assert not (fitted.mask & defective).any()
        assert gap <= away[fitted.mask].min() < gap + 2 * SPACING


def plate(thickness):
    """An implant, a plate of so many mm in a bone of 6 mm, with voxels of 1 mm."""
    bone = np.zeros((60, 60, 30), bool)
    bone[:, :, 12:18] = True
    bone[15:45, 15:45] = False
    mask = np.zeros_like(bone)
    mask[15:45, 15:45, 12 : 12 + thickness] = True
    return Implant((slice(0, 60), slice(0, 60), slice(0, 30)), mask, bone, (1.0, 1.0, 1.0))


def test_thin_implants_are_thickened_and_thick_ones_are_not():
    thin = reshaped(plate(2), 0, 5.0, 0)
    inner = thin.mask[20:40, 20:40]
    assert inner.sum(axis=2).min() >= 4 and inner.sum(axis=2).max() <= 6
    assert not (thin.mask & thin.bone).any()
    assert np.array_equal(reshaped(plate(6), 0, 4.0, 0).mask, reshaped(plate(6), 0, 0, 0).mask)


def assessed(implant):
    """Its measures and warnings, without that a plate is not like the other side of a head."""
    affine = np.diag([*implant.spacing, 1.0])
    masks = (Volume(each.astype(np.uint8), affine) for each in (implant.mask, implant.bone))
    facts, warnings = assess(*masks)
    return facts, [said for said in warnings if "the other side" not in said]


def test_measures_of_a_plate_that_fits():
    facts, warnings = assessed(plate(6))
    assert facts["volume_ml"] == 30 * 30 * 6 / 1000
    assert facts["area_cm2"] == pytest.approx((2 * 30 * 30 + 4 * 30 * 6) / 100, rel=0.1)
    assert facts["overlap_ml"] == 0
    assert facts["thickness_mm"]["mean"] == pytest.approx(6, abs=1)
    assert facts["gap_mm"]["mean"] < 0.5
    assert warnings == []


def test_an_implant_that_is_thin_or_does_not_reach_the_bone_is_warned_of():
    facts, warnings = assessed(plate(1))
    assert any("thin in places" in said for said in warnings)
    assert facts["area_cm2"] == pytest.approx(2 * 30 * 30 / 100, rel=0.1)
    small = plate(6)
    mask = np.zeros_like(small.mask)
    mask[18:42, 18:42] = small.mask[18:42, 18:42]
    facts, (said,) = assessed(replace(small, mask=mask))
    assert "does not reach the bone" in said
    assert facts["gap_mm"]["mean"] == pytest.approx(3, abs=0.6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.4), (0.8, 0.8, 4.8)])
def test_an_implant_is_as_thick_in_thick_slices(spacing):
    given = cap(spacing)
    assert dice(reshaped(given, 0, 0, 0).mask, given.mask) > 0.98


def test_what_is_in_the_bone_is_an_overlap():
    wide = plate(6)
    mask = wide.mask.copy()
    mask[15:45, 45:47, 12:18] = True
    assert assessed(replace(wide, mask=mask))[0]["overlap_ml"] == 30 * 2 * 6 / 1000


def test_a_head_is_like_itself_mirrored_at_its_middle_in_spite_of_a_hole():
    for skull in (shell(), shell() & ~RIGHT):
        found = plane_of_symmetry(skull, CUBE)
        assert found.normal[0] > 0.98  # a shell is nearly as like itself at tilted planes
        assert found.offset == pytest.approx(found.normal @ MIDDLE, abs=2)


def test_smoothing_takes_spikes_off_and_never_enters_the_bone():
    found, defective = implants(shell(), RIGHT)
    spikes = hole(24.0, (1.0, -0.2, 0.4)) & shell(73.0, 77.0) & (np.arange(120) % 3 == 0)
    rough = Implant(found.box, found.mask | spikes, defective, CUBE)
    smooth = reshaped(rough, 0, 0, 8.0)
    assert not (smooth.mask & defective).any()
    plain, before, after = (
        roughness(each.mask, defective, CUBE) for each in (found, rough, smooth)
    )
    assert before > 1.2 * plain and after < 0.85 * before
