"""What super-resolution and segmentation make of a volume."""

import nibabel as nib
import numpy as np
import pytest
import torch
from command_line import hollow_box, save_model

import zoo
from zoo.cards import Card
from zoo.contract import InputContract
from zoo.errors import ConfigError, VolumeError
from zoo.models.loading import build_network
from zoo.models.model import Model
from zoo.sparse import select_backend, torch_device
from zoo.tasks.super_resolution._prediction import factors_to

SMALL = {"channels": [2, 2, 4, 4], "thresholds": [-9.0] * 3}  # a random network keeps every voxel


def model(task, spacing=1.0, **facts):
    """A model of a task with random weights, on the reference backend."""
    facts = {"config": SMALL, "input": InputContract.around(spacing, 0.66, 1.34), **facts}
    card = Card(name="mine", task=task, architecture=f"sparse-{task}", **facts)
    place = torch_device("cpu")
    return Model(build_network(card), card, select_backend("torch", place), place)


def corner(volume):
    """RAS millimetres of the outer corner of the first voxel."""
    return volume.affine @ [-0.5, -0.5, -0.5, 1]


def test_super_resolution_divides_voxels_and_keeps_the_field_of_view():
    coarse = hollow_box()  # 2 x 2 x 3 mm, oblique, axes to the left, anterior and inferior
    answer = model("super-resolution").predict(coarse)
    assert answer.volume.shape == (40, 36, 48)
    assert answer.volume.orientation == coarse.orientation == "LAI"
    np.testing.assert_allclose(corner(answer.volume), corner(coarse))
    far = [*np.array(coarse.shape) - 0.5, 1], [*np.array(answer.volume.shape) - 0.5, 1]
    np.testing.assert_allclose(coarse.affine @ far[0], answer.volume.affine @ far[1])
    assert answer.implant is None and answer.probabilities is None
    blocks = coarse.array.repeat(2, 0).repeat(2, 1).repeat(3, 2)
    np.testing.assert_array_equal(answer.occupied.array, blocks)
    assert (answer.volume.array >= blocks).all()  # this network removes nothing
    assert answer.report["voxels_in"] == coarse.array.sum()
    assert answer.report["grid"]["spacing"] == pytest.approx([1, 1, 1], rel=0.01)


@pytest.mark.slow
def test_super_resolution_does_not_depend_on_cropping_or_orientation():
    made = model("super-resolution")
    head = made.network.heads[0]
    head.threshold = -1.0  # where its logits lie
    head.classifier.kernel.data.normal_(generator=torch.Generator().manual_seed(0))
    coarse = hollow_box()
    whole = made.predict(coarse)
    start = np.eye(4)
    start[:3, 3] = (3, 1, 2)
    part = coarse.regrid(coarse.array[3:, 1:, 2:], start)
    cropped = made.predict(part).volume.array
    np.testing.assert_array_equal(cropped, whole.volume.array[6:, 2:, 6:])
    assert 0 < cropped.sum() < cropped.size
    turned = made.predict(coarse.canonical()).volume
    np.testing.assert_array_equal(turned.array, whole.volume.canonical().array)


@pytest.mark.parametrize("own", [1.36, 1.4, 1.5, 2.0, 2.7, 3.4, 9.1])
def test_some_whole_number_divides_any_larger_voxel(own):
    contract = InputContract.around(1.0, 0.66, 1.34)
    (factor, one, _) = factors_to((own, 1.0, 1.0), contract)
    assert one == 1 and 0.66 <= own / factor <= 1.34


def test_a_field_of_view_of_no_patient_is_refused():
    volume = zoo.Volume(hollow_box().array, np.diag([900.0, 1, 1, 1]))
    with pytest.raises(VolumeError, match="wanted at most 4096 voxels an axis"):
        model("super-resolution").predict(volume)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 0.3), (1.3, 1.3, 1.3)])
def test_voxels_that_cannot_be_divided_are_refused(spacing):
    volume = zoo.Volume(hollow_box().array, np.diag([*spacing, 1]))
    with pytest.raises(
        VolumeError, match=r"wanted voxels larger than the 1 mm of mine's predictions"
    ):
        model("super-resolution").predict(volume)


@pytest.mark.slow
def test_a_chain_goes_through_the_coarser_models(monkeypatch):
    middle = model("super-resolution", 2.0)
    last = model("super-resolution", 1.0, after="middle")
    loaded = []
    monkeypatch.setattr(
        "zoo.tasks._companions.load",
        lambda name, **_: loaded.append(name) or {"middle": middle}[name],
    )
    grid = np.pad(np.ones((4, 4, 4), np.uint8), 3)
    coarse = zoo.Volume(grid.astype(np.int16) * 300, np.diag([4.0, 4, 4, 1]))
    answer = last.predict(coarse, threshold=200, chain=True)
    assert "mine" in answer.report["timings"] and answer.volume.shape == (40,) * 3
    halfway = middle.predict(coarse, threshold=200).volume
    np.testing.assert_array_equal(answer.volume.array, last.predict(halfway).volume.array)
    assert answer.report["voxels_in"] == 64
    assert answer.report["grid"]["spacing_in"] == pytest.approx([4, 4, 4])
    blocks = grid.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    np.testing.assert_array_equal(answer.occupied.array, blocks)
    assert middle.shows_progress is False
    already = last.predict(halfway, chain=True)  # too fine for the first of the two
    assert loaded == ["middle"]
    np.testing.assert_array_equal(already.volume.array, answer.volume.array)


def test_a_chain_skips_models_that_a_volume_is_too_fine_for(monkeypatch):
    last = model("super-resolution", 1.0, after="middle")
    middle = model("super-resolution", 2.0)
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: middle)
    slices = zoo.Volume(hollow_box().array, np.diag([1.0, 1, 5, 1]))
    direct = last.predict(slices)
    np.testing.assert_array_equal(
        last.predict(slices, chain=True).volume.array, direct.volume.array
    )


def test_a_model_that_knows_the_values_of_scans_gets_them(monkeypatch):
    """Interpolated between thick slices; also in a chain whose coarser models are not needed."""
    contract = InputContract.around(1.0, 0.66, 1.34, kind="coverage")
    last, middle = (
        model("super-resolution", input=contract, after="middle"),
        model("super-resolution", 2.0),
    )
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: middle)
    values = np.full((9, 9, 5), 40.0)
    values[3:6, 3:6, 2] = 900
    values[3:6, 3:6, 1] = 350
    scan = zoo.Volume(values, np.diag([1.0, 1, 4, 1]))
    answer = last.predict(scan, threshold=300)
    assert answer.volume.shape == (9, 9, 20) and answer.report["voxels_in"] == 18
    line = answer.occupied.array[4, 4]  # at the threshold between 40 and 350, and 900 and 40
    assert np.flatnonzero(line).tolist() == [5, 6, 7, 8, 9, 10, 11, 12]
    again = last.predict(scan, threshold=300, chain=True)
    np.testing.assert_array_equal(again.occupied.array, answer.occupied.array)
    np.testing.assert_array_equal(again.volume.array, answer.volume.array)


def test_a_card_may_name_another_model_for_scans(monkeypatch):
    contract = InputContract.around(1.0, 0.66, 1.34, kind="coverage")
    other = model("super-resolution", input=contract)
    masks = model("super-resolution", scans="other")
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: other)
    values = np.pad(np.full((3, 3, 3), 900.0), 3, constant_values=40.0)
    scan = zoo.Volume(values, np.diag([1.0, 1, 4, 1]))
    answer = masks.predict(scan, threshold=300)
    np.testing.assert_array_equal(
        answer.volume.array, other.predict(scan, threshold=300).volume.array
    )
    assert answer.report["model_for_scans"] == {"name": "mine", "sha256": None}
    assert answer.report["notes"] == ["mine takes the values of the scan into account"]
    mask = zoo.Volume((values > 300).view(np.uint8), scan.affine)
    assert "model_for_scans" not in masks.predict(mask).report
    coarser = model("super-resolution", 2.0)
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: coarser)
    with pytest.raises(ConfigError, match=r"wanted `scans` to name a model .* the same voxels"):
        model("super-resolution", scans="coarser").predict(scan, threshold=300)


def test_a_chain_must_become_finer(monkeypatch):
    last = model("super-resolution", 1.0, after="mine")
    monkeypatch.setattr("zoo.tasks._companions.load", lambda name, **_: last)
    with pytest.raises(ConfigError, match=r"mine: wanted `after` to name .* larger"):
        last.predict(zoo.Volume(hollow_box().array, np.diag([4.0, 4, 4, 1])), chain=True)


def test_only_super_resolution_has_chains(tmp_path):
    other = zoo.load(save_model(tmp_path / "model"), backend="torch")
    with pytest.raises(ConfigError, match="a model for completion, which takes only region, seed"):
        other.predict(hollow_box(), chain=True)


@pytest.fixture
def scan():
    """Air, with a body of 40 and in it a bone of 600 and a hole of air, and noise; axes LPS."""
    grid = np.full((20, 20, 12), -1000.0)
    grid[3:17, 3:17, :] = 40
    grid[5:8, 5:8, :] = 600
    grid[12:14, 12:14, :] = -1000
    grid += np.random.default_rng(0).normal(0, 5, grid.shape)
    return zoo.Volume(grid.astype(np.int16), np.diag([-1.0, -1.0, 2.0, 1]))


def segmenter(spacing=(1.0, 1.0, 2.0), classes=3, **facts):
    limits = {"spacing": spacing, "finest": spacing, "coarsest": spacing}
    contract = {**limits, "kind": "intensity", "windows": [[-1100, -900], [0, 100]], **facts}
    config = {"channels": [2, 4, 4], "classes": classes}
    return model("segmentation", config=config, input=contract, labels=["one", "two"])


def test_segmentation_labels_what_lies_in_the_windows(scan):
    made = segmenter(exterior=-500)
    answer = made.predict(nib.Nifti1Image(scan.array, scan.affine))
    assert answer.volume.array.dtype == np.uint8 and answer.volume.array.max() <= 2
    np.testing.assert_array_equal(answer.volume.affine, scan.affine)
    seen = answer.occupied.array.astype(bool)
    wanted = np.zeros(scan.shape, bool)
    wanted[3:17, 3:17, :] = True
    wanted[5:8, 5:8, :] = False  # bone is above the windows; air around the body is left out
    np.testing.assert_array_equal(seen, wanted)
    assert not answer.volume.array[~seen].any()
    shares = [answer.probabilities.volume(name).array for name in ("one", "two")]
    none = 1 - sum(shares)
    likely = np.stack([none, *shares])
    chosen = np.take_along_axis(likely, answer.volume.array[None].astype(int), axis=0)
    assert (chosen[0][seen] >= likely.max(axis=0)[seen] - 1e-6).all()
    assert (shares[0][~seen] == 0).all() and none.min() > -1e-6
    with pytest.raises(VolumeError, match="wanted one of the labels one, two"):
        answer.probabilities.volume("three")


def test_segmentation_comes_back_to_the_scans_grid(scan):
    answer = segmenter(spacing=(2.0, 2.0, 2.0)).predict(scan)
    assert answer.report["grid"]["resampled"] and answer.volume.shape == scan.shape
    assert answer.occupied.array[10, 10, 6] == 1 and answer.occupied.array[6, 6, 6] == 0


def test_segmentation_refuses_what_it_cannot_use(scan):
    made = segmenter()
    with pytest.raises(VolumeError, match="got threshold 200: leave it out"):
        made.predict(scan, threshold=200)
    with pytest.raises(VolumeError, match=r"wanted a CT .* got none .* range from 300"):
        made.predict(np.full((4, 4, 4), 300))
    with pytest.raises(VolumeError, match=r"wanted a CT .* got all .* range from 0"):
        made.plan(np.arange(64).reshape(4, 4, 4))
    with pytest.raises(VolumeError, match=r"wanted a CT .* got a mask, of the values 0 and 1;"):
        made.plan(np.eye(4)[None].repeat(4, 0))
    with pytest.raises(VolumeError, match="1 NaN"):
        made.predict(np.where(np.arange(64).reshape(4, 4, 4) == 3, np.nan, 40.0))
    with pytest.raises(ConfigError, match=r"needs input\.windows and labels"):
        model("segmentation", config={"channels": [2, 2]})
    with pytest.raises(ConfigError, match="wanted a label for each of its 5 classes but the first"):
        segmenter(classes=5)


@pytest.mark.slow
def test_every_task_has_a_plan_and_a_network_of_random_weights(scan):
    for name in zoo.registries.architectures.names():
        made = zoo.create(name, backend="torch")
        volume = scan if made.card.task == "segmentation" else hollow_box()
        if made.card.task == "super-resolution":
            made = model("super-resolution")
        plan = made.plan(volume)
        assert plan.voxels > 0 and plan.seconds > 0 and plan.peak_memory > 0
