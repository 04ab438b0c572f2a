"""Labels of a case: structures by name or value, from one file or a folder of masks."""

import json

import numpy as np
import pytest
from case_folders import MAKE, PIECE, WHOLE, save

from zoo.datasets import find_cases, load_labels, structures_of
from zoo.datasets.cases import Case
from zoo.errors import ReadError, VolumeError


def labels(case, structures=None):
    return load_labels(case, structures)[1].array


@pytest.fixture
def numbered(tmp_path):
    """A case whose labels are 0 to 3 along i and have no names."""
    values = np.zeros((8, 9, 10), np.uint8)
    values[:] = (np.arange(8) // 2)[:, None, None]
    return Case("a", save(tmp_path / "ct.nii.gz"), save(tmp_path / "l.nii.gz", values), None)


def test_structures_are_merged_and_numbered_in_their_order(numbered):
    one = labels(numbered, {"lungs": (3, 1), "heart": (2,)})
    assert one[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 1, 1]
    assert labels(numbered)[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_name_stands_for_its_position_where_labels_have_none(numbered):
    found = labels(numbered, {"heart": ("heart",), "aorta": ("aorta",)})
    assert found[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    with pytest.raises(ReadError, match=r"l.nii.gz: wanted structures out of numbers.* got 'vein'"):
        labels(numbered, {"heart": ("vein",)})


def test_fractions_are_no_labels(numbered):
    save(numbered.target, WHOLE * np.float32(0.5))
    with pytest.raises(VolumeError, match="whole numbers as labels, got fractions"):
        labels(numbered, {"heart": (1,)})
    save(numbered.target, WHOLE.astype(np.float32))
    assert (labels(numbered, {"heart": (1,)}) == WHOLE).all()


def test_names_of_segthor(tmp_path):
    MAKE["segthor"](tmp_path, "nii.gz")
    case = find_cases(tmp_path)[0]
    assert structures_of(case) == ("oesophagus", "heart", "trachea", "aorta")
    assert (labels(case, {"gullet": ("oesophagus",)}) == PIECE).all()
    with pytest.raises(ReadError, match=r"out of oesophagus, .*; got 'spleen'"):
        labels(case, {"spleen": ("spleen",)})


@pytest.mark.parametrize("layout", ["nnunet", "decathlon"])
def test_names_of_a_json_file(layout, tmp_path):
    MAKE[layout](tmp_path, "nii.gz")
    case = find_cases(tmp_path)[0]
    assert "vault" in structures_of(case)
    assert (labels(case, {"vault": ("vault",)}) == PIECE).all()


def test_regions_of_nnunet_hold_several_values(tmp_path):
    MAKE["nnunet"](tmp_path, "nii.gz")
    assert find_cases(tmp_path)[0].values == {"vault": (1,), "skull": (1, 2)}


def test_a_second_channel_is_refused(tmp_path):
    MAKE["nnunet"](tmp_path, "nii.gz")
    save(tmp_path / "imagesTr" / "b_0001.nii.gz")
    with pytest.raises(ReadError, match="scans of one channel, got b_0001 too"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("{", "wanted a JSON file"),
        ("[]", "an object with labels"),
        (json.dumps({"labels": {"a": "b"}}), 'labels such as "aorta": 1'),
        (json.dumps({"labels": {"a": [None]}}), 'labels such as "aorta": 1'),
    ],
)
def test_a_broken_json_file_is_refused(facts, said, tmp_path):
    MAKE["nnunet"](tmp_path, "nii.gz")
    (tmp_path / "dataset.json").write_text(facts)
    with pytest.raises(ReadError, match=said):
        find_cases(tmp_path)


def test_masks_are_merged(tmp_path):
    MAKE["totalsegmentator"](tmp_path, "nii.gz")
    case = find_cases(tmp_path)[0]
    assert structures_of(case) == ("skull", "vault")
    assert (labels(case) == WHOLE + PIECE).all()
    assert (labels(case, {"both": ("vault", "skull")}) == WHOLE).all()
    with pytest.raises(ReadError, match=r"segmentations: wanted .* skull, vault; got 'spleen'"):
        labels(case, {"spleen": ("spleen",)})
    save(case.target / "skull.nii.gz", WHOLE, np.diag([1, 1, 1, 1]))
    with pytest.raises(VolumeError, match=r"skull.nii.gz: wanted the voxels where .*ct.nii.gz"):
        labels(case)
