"""How super-resolution and segmentation are scored, and `zoo evaluate` for both."""

import json

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.cards import Card
from zoo.cli import main
from zoo.contract import InputContract
from zoo.errors import ConfigError, VolumeError
from zoo.evaluation import Settings, evaluate_cases, summarise
from zoo.models.loading import build_network
from zoo.models.model import Model
from zoo.models.prediction import Prediction
from zoo.sparse import select_backend, torch_device
from zoo.tasks.segmentation._options import SegmentationSettings
from zoo.tasks.segmentation._scoring import SegmentationScoring
from zoo.tasks.super_resolution._options import SuperResolutionSettings
from zoo.tasks.super_resolution._scoring import (
    as_predicted,
    averaged,
    coarsened,
    super_resolution_score,
)

REPORT = {"timings": {"network": 1.5}, "peak_memory": 7}


def answered(volume):
    return Prediction(volume, None, volume, REPORT)


def test_coarse_voxels_hold_whole_fine_ones():
    fine = zoo.Volume(np.zeros((5, 4, 6), np.uint8), np.diag([1.0, 2, 3, 1]))
    array = fine.array.copy()
    array[3, 0, 0] = array[4, 3, 5] = 1
    coarse, whole = coarsened(fine.with_array(array), 2)
    assert coarse.shape == (2, 2, 3) and whole.shape == (4, 4, 6)
    assert np.argwhere(coarse.array).tolist() == [[1, 0, 0]]
    np.testing.assert_allclose(coarse.spacing, (2, 4, 6))
    for volume in (coarse, whole):
        np.testing.assert_allclose(volume.affine @ [-0.5, -0.5, -0.5, 1], [-0.5, -1, -1.5, 1])
    with pytest.raises(VolumeError, match="wanted 8 voxels or more"):
        coarsened(fine, 8)


def test_thick_slices_are_means_of_thin_ones():
    fine = zoo.Volume(np.zeros((2, 3, 7), np.uint8), np.diag([1.0, 2, 0.5, 1]))
    array = fine.array.copy()
    array[1, 2, 3:] = 1
    thick, whole = averaged(fine.with_array(array), 3)
    assert thick.shape == (2, 3, 2) and whole.shape == (2, 3, 6)
    assert thick.array[1, 2].tolist() == [0, 1] and thick.array.sum() == 1
    np.testing.assert_allclose(thick.spacing, (1, 2, 1.5))
    for volume in (thick, whole):
        np.testing.assert_allclose(volume.affine @ [-0.5, -0.5, -0.5, 1], [-0.5, -1, -0.25, 1])
    with pytest.raises(VolumeError, match="wanted 8 voxels or more along the last axis"):
        averaged(fine, 8)


def test_thick_slices_are_compared_with_repeating_them():
    truth = np.zeros((3, 3, 8), bool)
    truth[1, 1, 1:7] = True
    thick, fine = averaged(zoo.Volume(truth), 4)
    assert thick.array[1, 1].tolist() == [0.75, 0.75]
    score = super_resolution_score("a", answered(zoo.Volume(truth * 1)), thick, fine)
    assert score.nearest_error == pytest.approx(100 * 2 / 72)
    assert score.error_ratio == 0


def test_a_shape_is_made_coarse_in_one_way():
    with pytest.raises(ValueError, match="exclude each other"):
        SuperResolutionSettings(model="a", weights=None, factor=2, slices=3)


def test_a_shape_is_scored_on_the_grid_that_the_model_predicts_on():
    contract = InputContract.around(1.0)
    own = zoo.Volume(np.ones((4, 4, 4), np.uint8), np.diag([1.1, 1, 0.9, 1]))
    assert as_predicted(own, contract) is own
    array = np.zeros((7, 6, 4), np.uint8)
    array[0, 5, 3] = 1
    fine = zoo.Volume(array, np.diag([-0.5, 0.5, 1, 1]))  # the first axis points left
    found = as_predicted(fine, contract)
    assert found.shape == (4, 3, 4) and found.spacing == (1, 1, 1)
    assert np.argwhere(found.array).tolist() == [[3, 2, 3]]
    corner = found.affine @ [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(corner, fine.canonical().affine @ [-0.5, -0.5, -0.5, 1])


def test_super_resolution_is_compared_with_interpolation():
    truth = np.zeros((4, 4, 4), bool)
    truth[0, 0, 0] = truth[2:, 2:, 2:] = True
    coarse, fine = coarsened(zoo.Volume(truth), 2)
    answer = truth.copy()
    answer[0, 0, 1] = True  # one of 64 voxels is wrong
    score = super_resolution_score("a", answered(zoo.Volume(answer * 1)), coarse, fine)
    assert score.dice == pytest.approx(2 * 9 / (10 + 9))
    assert score.reconstruction_error == pytest.approx(100 / 64)
    assert score.nearest_error == pytest.approx(100 * 7 / 64)  # the rest of the first block
    # Each of the two coarse voxels spreads over its block and fades at its corner towards others.
    assert 0 < score.linear_error <= score.nearest_error and score.voxels == 10
    best = min(score.nearest_error, score.linear_error)
    assert score.error_ratio == pytest.approx(score.reconstruction_error / best)
    assert (score.seconds, score.peak_memory) == (1.5, 7)
    with pytest.raises(VolumeError, match="wanted a prediction on the ground truth's grid"):
        super_resolution_score("a", answered(zoo.Volume(answer[:2] * 1)), coarse, fine)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("skull-completion-64", {"chain": True}, "skull-completion-64.skullfix: chain: "),
        ("thorax-segmentation-128", {"factor": 3}, "thorax-segmentation-128: factor: "),
        ("thorax-segmentation-128", {"threshold": 3.0}, "leave --threshold out"),
    ],
)
def test_settings_of_another_task_are_refused(name, settings, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        evaluate_cases(name, tmp_path, settings=settings)


def card():
    contract = InputContract.around(12.0, kind="intensity", windows=[[-200, 1000]])
    return Card(
        name="mine",
        task="segmentation",
        architecture="sparse-segmentation",
        config={"channels": [2, 2], "classes": 3},
        input=contract,
        labels=["left atrium", "aorta"],
    )


def test_structures_are_scored_one_by_one():
    truth, answer = np.zeros((2, 6, 6, 6), np.uint8)
    truth[1:3, 1:3, 1:3] = 1
    truth[4, 4, 4] = 2
    answer[1:3, 1:3, 1:2] = 1
    answer[4, 4, 4] = 2
    scoring = SegmentationScoring(card(), Settings(model="mine", weights=None))
    score = scoring.compare("a", answered(zoo.Volume(answer)), zoo.Volume(truth))
    facts = score.model_dump()
    assert facts["dice_left_atrium"] == pytest.approx(2 * 4 / 12) and facts["dice_aorta"] == 1
    assert facts["mean_dice"] == pytest.approx((2 / 3 + 1) / 2)
    assert facts["hd95"] == pytest.approx(0.5)  # 1 mm, and none
    assert facts["voxels"] == 5 and not scoring.is_empty(score)
    assert list(scoring.measures)[:3] == ["mean_dice", "dice_left_atrium", "dice_aorta"]
    assert (facts["hd95_left_atrium"], facts["hd95_aorta"]) == (1, 0)
    assert facts["surface_dice_left_atrium"] == 1, "1 mm is within the tolerance"


def test_surface_dice_is_at_the_tolerance_that_is_asked_for():
    truth, answer = np.zeros((2, 6, 6, 6), np.uint8)
    truth[1:3, 1:3, 1:3] = 1
    answer[1:3, 1:3, 1:2] = 1
    settings = SegmentationSettings(model="mine", weights=None, tolerance=0.5)
    score = SegmentationScoring(card(), settings).compare(
        "a", answered(zoo.Volume(answer)), zoo.Volume(truth)
    )
    assert score.surface_dice_left_atrium == pytest.approx((4 + 4) / (4 + 8))


def test_a_structure_that_is_in_neither_has_no_score_and_one_that_is_missed_scores_nothing():
    truth, answer = np.zeros((2, 6, 6, 6), np.uint8)
    truth[1:3, 1:3, 1:3] = 1
    scoring = SegmentationScoring(card(), Settings(model="mine", weights=None))
    missed = scoring.compare("a", answered(zoo.Volume(answer)), zoo.Volume(truth))
    invented = scoring.compare("b", answered(zoo.Volume(truth)), zoo.Volume(answer))
    for score in (missed, invented):
        assert (score.dice_left_atrium, score.surface_dice_left_atrium) == (0, 0)
        assert score.hd95_left_atrium == score.hd95 == np.inf
        assert score.dice_aorta is score.surface_dice_aorta is score.hd95_aorta is None
        assert score.mean_dice == 0, "the mean is over the structures that have a score"
    nothing = scoring.compare("c", answered(zoo.Volume(answer)), zoo.Volume(answer))
    assert nothing.mean_dice is nothing.hd95 is None
    summary = summarise([missed, invented, nothing], scoring.measures)
    assert summary["dice_left_atrium"]["cases"] == 2 and summary["dice_aorta"]["cases"] == 0


@pytest.mark.slow
def test_evaluate_scores_a_segmentation(tmp_path, capsys):
    place = torch_device("cpu")
    organs = ("oesophagus", "heart", "trachea", "aorta")
    made = card().model_copy(
        update={"labels": organs, "config": {"channels": [2, 2], "classes": 5}}
    )
    model = Model(build_network(made), made, select_backend("torch", place), place)
    model.save(tmp_path / "model")
    data = tmp_path / "data"
    words = f"phantom thorax -o {data} --resolution 32 --count 2"
    assert main(words.split()) == 0
    words = f"evaluate local-dir:{tmp_path / 'model'} --data {data} -o {tmp_path / 'out'} --json"
    capsys.readouterr()
    assert main(words.split()) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [case["case"] for case in facts["cases"]] == ["Patient_01", "Patient_02"]
    assert set(facts["summary"]) >= {"mean_dice", "dice_heart", "hd95", "seconds"}
    (picture,) = (tmp_path / "out").glob("worst-1-Patient*.png")
    with Image.open(picture) as image:
        assert image.width == 1200
    assert main([*words.split()[:-1], "--resume"]) == 0
    assert "mean Dice" in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_scores_super_resolution(tmp_path, capsys):
    place = torch_device("cpu")
    contract = InputContract.around(204.8 / 32, 0.66, 1.34)
    made = Card(
        name="finer",
        task="super-resolution",
        architecture="sparse-super-resolution",
        config={"channels": [2, 2, 4, 4], "thresholds": [-9] * 3},
        input=contract,
    )
    model = Model(build_network(made), made, select_backend("torch", place), place)
    model.save(tmp_path / "model")
    assert main(f"phantom skull -o {tmp_path / 'data'} --resolution 32".split()) == 0
    words = f"evaluate local-dir:{tmp_path / 'model'} --data {tmp_path / 'data'}"
    capsys.readouterr()
    assert main([*words.split(), "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    # It keeps all of every voxel that it makes: the blocks of nearest interpolation, or more.
    assert case["reconstruction_error"] >= case["nearest_error"] > 0
    assert case["error_ratio"] >= 1
    assert main([*words.split(), "--factor", "4"]) == 0  # straight to the fine grid
    assert "ratio" in capsys.readouterr().out
