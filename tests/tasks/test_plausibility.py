"""What is said about inputs and predictions that cannot be right."""

import logging

import numpy as np
import pytest
from anatomy.heads import SPACING, hole
from anatomy.heads import shell as head

import zoo
from zoo.cli import main
from zoo.errors import VolumeError
from zoo.evaluation import cost
from zoo.models import Prediction
from zoo.tasks._plausibility import doubts_of_skull
from zoo.tasks.completion._plausibility import doubts_of_complete, doubts_of_implant
from zoo.tasks.segmentation._plausibility import doubts_of_labels, doubts_of_scan
from zoo.tasks.super_resolution._plausibility import doubts_of_step
from zoo.volumes import InputContract


def shell(width, spacing=3.2):
    """A hollow ellipsoid, uint8, `width` mm from left to right, open at the bottom."""
    radii = np.array([width, 190, 150]) / 2 / spacing
    shape = tuple(np.ceil(2 * radii).astype(int) + 8)
    places = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2
    radius = np.linalg.norm(places / radii, axis=-1)
    return ((radius < 1) & (radius > 0.88) & (places[..., 2] > -0.8 * radii[2])).astype(np.uint8)


def volume(array, spacing=3.2):
    return zoo.Volume(array, np.diag([spacing] * 3 + [1.0]))


def skull_doubts(array, threshold=None, occupied=None, spacing=3.2):
    source = volume(array, spacing)
    given = volume(array if occupied is None else occupied, spacing)
    contract = zoo.info("skull-completion-64").input
    return doubts_of_skull(source, threshold, Prediction(given, None, given, {}), contract)


def test_a_skull_is_not_doubted():
    assert skull_doubts(shell(150)) == []
    assert skull_doubts(np.where(shell(150), 900, -1000), 300, shell(150)) == []


def test_what_is_larger_or_smaller_than_a_head_is():
    (pelvis,) = skull_doubts(shell(290))
    assert "measures 29" in pelvis and "200 x 240 x 320 mm are plausible" in pelvis
    (metres,) = skull_doubts(shell(150), spacing=0.0032)
    assert "in mm?" in metres


def test_a_threshold_that_takes_too_much_or_too_little_is():
    full = np.zeros((60, 70, 60), np.uint8)
    full[5:55, 5:65, 5:55] = 1
    assert "soft tissue or air too" in " ".join(skull_doubts(full))
    head = full * (np.arange(70) % 5 < 2).astype(np.uint8)[:, None]  # 40 %, as of a CT above 0 HU
    assert "soft tissue or air too" in " ".join(skull_doubts(head))
    sparse = np.zeros_like(full)
    sparse[5:55:6, 5:65:6, 5:55:6] = 1
    assert "fragments alone" in " ".join(skull_doubts(sparse))


def test_a_threshold_in_the_middle_of_bone_is():
    bone = np.random.default_rng(0).integers(200, 400, shell(150).shape)
    ramp = np.where(shell(150), bone, -1000)
    ramp[0, 0, :9] = 2000
    (unstable,) = skull_doubts(ramp, 300, ramp > 300)
    assert "are above 270" in unstable and "above 330" in unstable
    grey = np.where(shell(150), 255, 0)
    (units,) = skull_doubts(grey, 200, grey > 200)
    assert "values from 0 to 255 are not Hounsfield units" in units


def test_an_implant_in_parts_or_too_large_is():
    mask = np.zeros((60, 60, 60), np.uint8)
    mask[2:10, 2:10, 2:10] = mask[30:36, 30:36, 30:36] = mask[50, 50, 50] = 1
    made = Prediction(volume(mask), volume(mask), volume(mask), {})
    (parts,) = doubts_of_implant(made)
    assert parts.startswith("the implant is in 2 parts, of 16.8, 7.1 ml")
    whole = np.zeros((9, 20, 20), np.uint8)
    whole[4] = 1
    whole.flags.writeable = False  # as those of a prediction are, all of whose rows one may fill
    assert doubts_of_implant(Prediction(*[volume(whole)] * 3, {})) == []
    large = volume(np.pad(np.ones((20, 20, 20), np.uint8), 5))
    assert doubts_of_implant(Prediction(large, large, large, {})) == [
        "the implant is very large: 262 ml"
    ]


def test_a_mask_whose_field_of_view_ends_in_the_vault_is():
    model = zoo.load("skull-completion-64", backend="torch", device="cpu")

    def said(skull, threshold=None):
        given = volume(skull.view(np.uint8), SPACING)
        empty = given.with_array(np.zeros_like(given.array))
        return model.task.doubts(model, given, threshold, Prediction(given, empty, given, {}))

    assert said(head()) == []
    assert said(head()[:, :, :95]) == ["the field of view ends in the vault: superior"]
    assert said(head()[:, :, :95], "auto") == []  # which has said so itself


@pytest.mark.slow
def test_a_skull_with_a_hole_that_is_scored_as_a_complete_one_is():
    grid = np.diag([SPACING] * 3 + [1.0])
    assert doubts_of_complete(zoo.Volume(head().view(np.uint8), grid)) == []
    (said,) = doubts_of_complete(zoo.Volume((head() & ~hole()).view(np.uint8), grid))
    area = int(said.split()[0])
    assert 0.7 * np.pi * 2.0**2 < area < 1.1 * np.pi * 2.0**2  # 2.5 cm, less a rim
    assert "scored as a complete skull" in said


def test_voxels_that_are_several_steps_coarser_are():
    card = zoo.info("skull-superres-512")
    cubes, slices = volume(np.zeros((8, 8, 8))), volume(np.zeros((64, 64, 8)))
    fine = volume(np.zeros((64, 64, 64)), 0.4)
    (said,) = doubts_of_step(card, cubes, fine)
    assert "made these 8 times finer: --chain" in said
    assert doubts_of_step(card, slices, fine) == []
    assert doubts_of_step(zoo.info("skull-superres-128"), cubes, fine) == []  # the first of a chain


def test_what_is_no_ct_is():
    (mask,) = doubts_of_scan(volume(np.array([[[-1000, 40, -1000]]])))
    assert "it is a mask" in mask
    (grey,) = doubts_of_scan(volume(np.arange(256).reshape(8, 8, 4)))
    assert "values from 0 to 255 are not Hounsfield units" in grey
    for lowest, doubts in ((-50.0, 1), (50.0, 0)):  # vessels with the background set to zero
        contract = InputContract.around(1, kind="intensity", windows=((lowest, 800.0),))
        assert len(doubts_of_scan(volume(np.arange(256).reshape(8, 8, 4)), contract)) == doubts
    for exterior, doubts in (
        ({"exterior": -400.0}, 1),
        ({"exterior": 140.0}, 0),
        ({"bright_exterior": -90.0}, 0),
    ):
        trained = InputContract.around(1, kind="intensity", windows=((-50.0, 800.0),), **exterior)
        assert len(doubts_of_scan(volume(np.arange(256).reshape(8, 8, 4)), trained)) == doubts
    found = volume(np.array([[[0, 2, 2]]], np.uint8))
    (missing,) = doubts_of_labels(Prediction(found, None, found, {}), ("aorta", "heart", "trachea"))
    assert missing == "not found: aorta, trachea"


@pytest.mark.slow
def test_doubts_reach_the_user_everywhere(tmp_path, capfd, caplog):
    """The report, the log, scores, stderr; and --strict refuses, and writes nothing."""
    given, out = tmp_path / "pelvis.nii.gz", tmp_path / "out.nii.gz"
    volume(shell(290)).save(given)
    model = zoo.load("skull-completion-64.phantom", backend="cpu")
    with caplog.at_level(logging.WARNING, "zoo"):
        prediction = model.predict(given)
    (said,) = prediction.report["warnings"]
    assert said in caplog.text and cost(prediction)["warnings"] == said
    assert "warnings: 1" in repr(prediction)
    with pytest.raises(VolumeError, match="wanted no warnings"):
        model.predict(given, strict=True)
    words = ["predict", "skull-completion-64.phantom", "-i", f"{given}", "-o", f"{out}"]
    assert main([*words, "--strict"]) == 2
    assert capfd.readouterr().err.count("\n") == 1 and not out.exists()
    assert main(words) == 0
    assert f"warning: {given}: {said}\n" == capfd.readouterr().err


def test_what_is_too_small_to_be_seen_is_refused():
    grid = volume(shell(150), 0.0032)
    with pytest.raises(VolumeError, match="in all: repair the file's spacing or units"):
        zoo.load("skull-completion-64.skullfix", backend="torch").predict(grid)
