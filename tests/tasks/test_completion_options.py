"""Which defect is filled, how the implant is reshaped, and how sure the network is."""

import json

import numpy as np
import pytest
from anatomy.heads import cap

import zoo
from zoo.anatomy import reshaped
from zoo.datasets.phantoms import skull_case
from zoo.errors import ConfigError, VolumeError
from zoo.tasks.completion._prediction import _surface
from zoo.volumes import dice

SPACING = 3.2


@pytest.fixture(scope="module")
def model():
    return zoo.load("skull-completion-64.phantom", backend="cpu", device="cpu")


@pytest.fixture(scope="module")
def case():
    found = skull_case(1_000_003, 64)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    return zoo.Volume(found.defective.astype(np.uint8), affine), found.implant


def sides(volume, implant):
    """left or right, and anterior or posterior, of an implant's middle."""
    middle = np.argwhere(implant).mean(axis=0)
    skull = np.argwhere(volume.array).mean(axis=0)
    return (
        "right" if middle[0] > skull[0] else "left",
        "anterior" if middle[1] > skull[1] else "posterior",
    )


def test_a_region_without_a_defect_is_refused_and_one_with_it_is_filled(model, case):
    volume, _ = case
    plain = model.predict(volume)
    side = sides(volume, plain.implant.array)[0]
    other = {"left": "right", "right": "left"}[side]
    assert np.array_equal(model.predict(volume, region=side).implant.array, plain.implant.array)
    with pytest.raises(VolumeError, match=f"wanted a defect {other}, got 1 elsewhere"):
        model.predict(volume, region=other)


def test_a_seed_is_three_numbers(model, case):
    volume, implant = case
    place = tuple(np.argwhere(implant).mean(axis=0) * SPACING)
    found = model.predict(volume, seed=place)
    assert found.implant.array.any()
    text = ",".join(f"{value:.1f}" for value in place)
    assert np.array_equal(found.implant.array, model.predict(volume, seed=text).implant.array)
    for wrong in ("1,2", "here", (1, 2, 3, 4)):
        with pytest.raises(ConfigError, match="wanted X,Y,Z in RAS millimetres"):
            model.predict(volume, seed=wrong)


def test_clearance_and_thickness_change_the_implant_and_the_whole(model, case):
    volume, _ = case
    plain = model.predict(volume)
    narrow, thick = (
        model.predict(volume, **o) for o in ({"clearance": 3.5}, {"min_thickness": 20})
    )
    assert narrow.implant.array.sum() < plain.implant.array.sum() < thick.implant.array.sum()
    for fitted in (narrow, thick):
        assert not (fitted.implant.array & volume.array).any()
        assert np.array_equal(fitted.volume.array, fitted.implant.array | volume.array)
    with pytest.raises(ConfigError, match="clearance"):
        model.predict(volume, clearance=-1)


def test_the_field_of_a_surface_has_cubes_and_leaves_the_bone_alone():
    given = cap((0.8, 0.8, 2.4))
    skull = zoo.Volume(given.bone, np.diag([0.8, 0.8, 2.4, 1]))
    found = _surface(reshaped(given, 0, 0, 0), skull, None)
    assert np.allclose(found.spacing, 0.8)
    x, y, z = np.argwhere(given.bone | given.mask).T * np.array([[1], [1], [3]])
    inside = found.array[x, y, z] > 0
    bone = given.bone[given.bone | given.mask]
    assert inside[bone].mean() < 0.005 and inside[~bone].mean() > 0.95


def test_the_field_of_a_surface_is_as_fine_as_its_edges_are_to_be(model, case):
    volume, _ = case
    implant = model.predict(volume, edge_length=1.0).implant
    field = implant.about.surface()
    assert field.spacing == pytest.approx((1, 1, 1))
    within = np.argwhere(field.array > 0) @ field.affine[:3, :3].T + field.affine[:3, 3]
    assert len(within) == pytest.approx(implant.array.sum() * SPACING**3, rel=0.3)
    voxels = np.argwhere(implant.array) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert np.abs(within.mean(axis=0) - voxels.mean(axis=0)).max() < SPACING / 2


def test_a_seed_in_millimetres_chooses_the_defect(model, case):
    """Whatever the orientation and the origin."""
    volume, implant = case
    affine = volume.affine @ np.diag([-1.0, 1, 1, 1])
    affine[:3, 3] = (80, -30, 12)
    holes = implant, implant[::-1]
    twice = zoo.Volume(volume.array & ~holes[1], affine)
    for at, other in (holes, holes[::-1]):
        place = tuple((affine @ [*np.argwhere(at).mean(axis=0), 1.0])[:3])
        found = model.predict(twice, seed=place).implant.array.astype(bool)
        assert (found & at).sum() > 0.4 * at.sum() and not (found & other).any()


def test_uncertainty_is_a_share_of_predictions(model, case):
    volume, _ = case
    found = model.predict(volume, uncertainty=True)
    shares = found.uncertainty.array
    assert shares.shape == volume.shape and shares.dtype == np.float32
    assert shares.max() == 1.0 and shares.min() == 0.0
    assert found.report["uncertainty"]["runs"] == 6
    assert found.report["uncertainty"]["dice"] > 0.5
    assert dice(shares > 0.5, found.implant.array) > 0.7
    assert model.predict(volume).uncertainty is None


def test_uncertainty_is_that_of_the_defect_which_is_filled(model, case):
    volume, implant = case
    twice = volume.with_array(volume.array & ~implant[::-1])
    both = model.predict(twice).implant.array
    side = sides(volume, implant)[0]
    found = model.predict(twice, region=side, uncertainty=True)
    other = both.astype(bool) & ~found.implant.array.astype(bool)
    assert other.sum() > 0.5 * found.implant.array.sum()
    assert found.uncertainty.array[other].max() == 0
    alone = model.predict(volume, uncertainty=True).report["uncertainty"]
    assert found.report["uncertainty"]["dice"] == pytest.approx(alone["dice"], abs=0.1)


def test_nothing_to_add_is_said(model):
    complete = skull_case(1_000_003, 64)
    whole = (complete.defective | complete.implant).astype(np.uint8)
    covered = zoo.load("skull-completion-64.skullfix", backend="cpu", device="cpu")
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    found = covered.predict(zoo.Volume(whole, affine))
    assert not found.implant.array.any()
    assert "nothing is missing" in found.report["notes"][0]
    json.dumps(found.report)


def test_measures_of_an_implant(model, case):
    prediction = model.predict(case[0])
    facts, warnings = model.task.assess(prediction)
    measures = facts["implant"]
    ml = prediction.implant.array.sum() * SPACING**3 / 1000
    assert measures["volume_ml"] == pytest.approx(ml, abs=0.01)
    assert measures["overlap_ml"] == 0 and measures["gap_mm"]["mean"] < SPACING
    assert 1 < measures["thickness_mm"]["mean"] < 20
    assert isinstance(warnings, list)
    json.dumps(facts)


def test_a_tilted_skull_is_filled_as_a_straight_one(model, case):
    """A sheared affine: the same head, whose slices a tilted gantry took."""
    volume, _ = case
    lean = np.radians(12)
    affine = volume.affine.copy()
    affine[:3, 2] = SPACING * np.array([0, np.sin(lean), np.cos(lean)])
    to_straight = np.linalg.inv(volume.affine) @ affine
    from scipy import ndimage

    taken = ndimage.affine_transform(
        volume.array, to_straight[:3, :3], to_straight[:3, 3], volume.shape, order=0
    )
    tilted = zoo.Volume(taken, affine)
    found, plain = model.predict(tilted), model.predict(volume)
    assert "not at right angles, by 12.0 degrees" in found.report["warnings"][0]
    assert found.volume.shape == tilted.shape
    assert (found.volume.array >= tilted.array).all()
    assert not (found.implant.array & tilted.array).any()
    assert found.implant.about.labels == ("implant",) and found.volume.array.dtype == np.uint8
    assert (found.occupied.array == tilted.array).all()
    assert found.report["voxels_in"] == np.count_nonzero(tilted.array)
    ml, wanted = (p.implant.array.sum() * SPACING**3 / 1000 for p in (found, plain))
    assert ml == pytest.approx(wanted, rel=0.5)
    covered = zoo.load("skull-completion-64.skullfix", backend="cpu", device="cpu").predict(tilted)
    assert (covered.volume.array == tilted.array | covered.implant.array).all()  # nothing else
