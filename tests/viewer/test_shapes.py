"""What a case shows: shapes on one grid, small enough to be sent."""

import numpy as np
import pytest
from view_cases import skull, volume

import zoo
from zoo.viewer.shapes import LARGEST_AXIS, Shape, Shown
from zoo.volumes.volume import About


def shown(**volumes):
    return Shown.of({name.replace("_", " "): each for name, each in volumes.items()})


def test_a_completion_shows_the_implant_even_if_it_is_not_given():
    complete, implant = skull()
    found = shown(input=volume(complete & ~implant), prediction=volume(complete))
    assert [(each.name, each.when, each.shown) for each in found.shapes] == [
        ("input", "always", True),
        ("prediction", "after", False),
        ("implant", "after", True),
    ]
    assert np.array_equal(found.implant(), implant)
    assert found.millilitres()[2] == pytest.approx(implant.sum() * 0.027)


def test_of_a_complete_ground_truth_what_the_input_lacks_is_shown():
    complete, implant = skull()
    found = shown(
        input=volume(complete & ~implant),
        prediction=volume(complete),
        ground_truth=volume(complete),
    )
    assert np.array_equal(found.shapes[-1].array, implant)


def test_other_axes_are_brought_to_one_grid():
    complete, implant = skull()
    to_left = np.diag([-3.0, 3, 3, 1])
    to_left[0, 3] = 47 * 3
    flipped = zoo.Volume(complete[::-1].astype(np.uint8), to_left)
    found = shown(input=volume(complete & ~implant), prediction=flipped)
    assert np.array_equal(found.implant(), implant)


def test_super_resolution_shows_input_before_and_prediction_after():
    complete, _ = skull()
    coarse = volume(complete[::2, ::2, ::2], 6)
    found = shown(input=coarse, prediction=volume(complete))
    assert [(each.name, each.when) for each in found.shapes] == [
        ("input", "before"),
        ("prediction", "after"),
    ]
    assert found.grid == (48, 48, 48)


def test_labels_have_the_names_that_are_known():
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:4], labels[5:7] = 1, 2
    found = shown(
        input=zoo.Volume(np.random.default_rng(0).normal(0, 400, (8, 8, 8))),
        prediction=zoo.Volume(labels + 0, about=About(labels=("aorta",))),
        ground_truth=zoo.Volume(labels),
    )
    assert [each.name for each in found.shapes] == [
        *("aorta", "label 2"),
        *("label 1, ground truth", "label 2, ground truth"),
    ]
    assert found.scan is not None


def test_no_label_is_lost_where_all_voxels_have_one():
    labels = zoo.Volume(np.repeat([1, 2, 3], 3)[:, None, None] * np.ones((9, 9, 9), np.uint8))
    scan = zoo.Volume(np.random.default_rng(0).normal(0, 400, (9, 9, 9)))
    found = shown(input=scan, prediction=labels)
    assert [each.name for each in found.shapes] == ["label 1", "label 2", "label 3"]


@pytest.mark.parametrize("suffix", ["nii.gz", "seg.nrrd"])
def test_names_of_labels_are_read_from_their_file(tmp_path, suffix):
    labels = (np.arange(6**3).reshape(6, 6, 6) % 3).astype(np.uint8)
    path = tmp_path / f"labels.{suffix}"
    zoo.Volume(labels, about=About(labels=("aorta", "left lung"))).save(path)
    found = shown(prediction=zoo.Volume.of(path))
    assert [each.name for each in found.shapes] == ["aorta", "left lung"]


def test_what_is_sent_is_cropped_pooled_and_in_its_place():
    array = np.zeros((300, 40, 40), np.uint8)
    array[10:290, 12:20, 14:20] = 1
    whole = shown(prediction=zoo.Volume(array, np.diag([0.5, 1, 1, 1])))
    sent = whole.fit_for_a_laptop()
    assert max(sent.grid) <= LARGEST_AXIS
    assert sent.grid == (141, 5, 4)  # a margin of one voxel, and blocks of two
    corner = sent.affine @ [-0.5, -0.5, -0.5, 1]
    assert corner[:3] == pytest.approx([(9 - 0.5) * 0.5, 11 - 0.5, 13 - 0.5])


def test_a_scan_is_averaged_and_not_cropped():
    scan = np.random.default_rng(0).normal(0, 100, (301, 4, 4))
    labels = np.zeros((301, 4, 4), np.uint8)
    labels[100:102] = 3
    labels[0, 0] = 2
    sent = shown(input=zoo.Volume(scan), prediction=zoo.Volume(labels)).fit_for_a_laptop()
    assert sent.grid == sent.scan.shape == (151, 2, 2)
    assert sent.scan[0, 0, 0] == pytest.approx(scan[:2, :2, :2].mean(), rel=1e-4)


def test_codes_stand_for_the_shapes_in_a_voxel():
    arrays = np.random.default_rng(0).random((10, 6, 7, 8)) > 0.5
    shapes = tuple(Shape(str(n), array, np.zeros(3)) for n, array in enumerate(arrays))
    codes, table = Shown(shapes, None, np.eye(4)).coded()
    for place in np.ndindex(codes.shape):
        assert table[codes[place]] == np.flatnonzero(arrays[:, *place]).tolist()
    assert codes.dtype == np.int16
    assert table[0] == []
