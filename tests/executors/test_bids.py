"""BIDS: which images of a dataset are inputs, and the derivative dataset that predictions go to."""

import json

import numpy as np
import pytest
from command_line import hollow_box, save_model

import zoo
from zoo.cli import main
from zoo.executors import Derivative, dataset_of_all, inputs_of


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "model")


@pytest.fixture
def dataset(tmp_path):
    """Two subjects, one with sessions, and what is not to be predicted on."""
    root = tmp_path / "data"
    for name in (
        "sub-01/ses-1/ct/sub-01_ses-1_run-2_ct",
        "sub-02/anat/sub-02_space-T1w_desc-bone_mask",
        "sub-02/func/sub-02_task-rest_bold",
        "derivatives/other/sub-01/anat/sub-01_desc-brain_mask",
        "sourcedata/sub-01/anat/sub-01_T1w",
        "code/sub-01/anat/sub-01_T1w",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        hollow_box().save(root / f"{name}.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Boxes", "BIDSVersion": "1.10.0"}')
    return root


def predict(*words, status=0):
    assert main(["predict", *map(str, words)]) == status


CASES = ("sub-01/ses-1/ct/sub-01_ses-1_run-2_ct", "sub-02/anat/sub-02_space-T1w_desc-bone_mask")
STEMS = ("sub-01/ses-1/ct/sub-01_ses-1_run-2_space-orig", "sub-02/anat/sub-02_space-T1w")


def test_a_dataset_stands_for_the_images_of_its_subjects(dataset):
    found = inputs_of([dataset])
    assert [each.name for each in found] == list(CASES)
    assert dataset_of_all(found) == dataset
    below = inputs_of([dataset / "derivatives"])
    assert len(below) == 1 and dataset_of_all(below) is None


def test_predictions_become_a_derivative(model, dataset, capfd):
    predict(model, "-i", dataset)
    (out,) = dataset.glob("derivatives/zoo-*")
    assert out.name == "zoo-sparse-completion"
    for case, stem in zip(CASES, STEMS, strict=True):
        added = zoo.Volume.of(out / f"{stem}_desc-implant_mask.nii.gz")
        complete = zoo.Volume.of(out / f"{stem}_desc-complete_mask.nii.gz")
        assert np.all(complete.array >= added.array)
        sidecar = json.loads((out / f"{stem}_desc-complete_mask.json").read_text())
        assert sidecar["Sources"] == [f"bids:source:{case}.nii.gz"]
        assert sidecar["SpatialReference"] == ("orig" if "orig" in stem else "T1w")
        assert sidecar["sha256"]["input"]
        assert (out / ".zoo" / f"{case}.json").exists()
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative" and described["BIDSVersion"]
    (pipeline,) = described["GeneratedBy"]
    assert (pipeline["Name"], pipeline["Version"]) == ("zoo", zoo.__version__)
    assert (out / described["DatasetLinks"]["source"]).resolve() == dataset.resolve()
    capfd.readouterr()
    predict(model, "-i", dataset, "--resume")
    assert capfd.readouterr().out.count("skipped") == 2


def test_a_derivative_elsewhere_and_one_of_a_derivative(model, dataset, tmp_path):
    scan = dataset / f"{CASES[0]}.nii.gz"
    predict(model, "-i", scan)
    first = dataset / "derivatives" / "zoo-sparse-completion"
    assert len(list(first.rglob("*.nii.gz"))) == 2
    predict(model, "-i", dataset, "-o", tmp_path / "there")
    assert (tmp_path / "there" / f"{STEMS[1]}_desc-complete_mask.nii.gz").exists()
    implants = first / "sub-*" / "**" / "*implant_mask.nii.gz"
    assert dataset_of_all(inputs_of([implants])) == first
    card = zoo.info("thorax-segmentation-128")
    second = Derivative.of(card, first)
    assert second.folder == first.parent / "zoo-thorax-segmentation-128"
    made = second.path(next(first.rglob("*implant_mask.nii.gz")), "split", ".nii.gz")
    assert str(made) == f"{STEMS[0]}_label-*_mask.nii.gz"
    predict(model, "-i", scan, "-o", tmp_path / "one.nii.gz")
    predict(model, "-i", dataset / "sub-*" / "**" / "*.nii.gz", "-o", tmp_path / "files")
    assert len(list((tmp_path / "files").rglob("*_ct.nii.gz"))) == 1


def test_structures_have_labels(tmp_path):
    config = {"channels": [2, 2, 4], "classes": 3}
    made = zoo.create("sparse-segmentation", config, backend="torch")
    made.save(tmp_path / "model")
    root = tmp_path / "data"
    scan = root / "sub-01" / "ct" / "sub-01_ct.nii"
    scan.parent.mkdir(parents=True)
    (root / "dataset_description.json").write_text("{}")
    values = np.random.default_rng(0).uniform(-1000, 1000, (16, 16, 16)).astype(np.int16)
    zoo.Volume(values).save(scan)
    words = [f"local-dir:{tmp_path / 'model'}", "-i", root, "--split", "--resume"]
    predict(*words)
    out = root / "derivatives" / "zoo-sparse-segmentation"
    stem = out / "sub-01" / "ct" / "sub-01_space-orig"
    labels = zoo.Volume.of(f"{stem}_dseg.nii").array
    for number in (1, 2):
        mask = zoo.Volume.of(f"{stem}_label-Class{number}_mask.nii").array
        assert np.array_equal(mask, labels == number)
    assert (out / "dseg.tsv").read_text() == "index\tname\n1\tclass 1\n2\tclass 2\n"
    before = stem.parent.stat().st_mtime_ns
    predict(*words)
    assert stem.parent.stat().st_mtime_ns == before


def test_what_does_not_fit_is_refused(model, dataset, tmp_path, capfd):
    other = tmp_path / "other"
    other.mkdir()
    (other / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    (dataset / "sub-02" / "anat" / "sub-02_space-T1w_T1w.nii.gz").write_bytes(b"")
    for words, said in (
        (["-i", dataset], "would both write"),
        (["-i", dataset, "-o", dataset], "wanted a folder for predictions, got a dataset"),
        (["-i", dataset, "-o", other], "wanted a folder for predictions, got a dataset"),
        (["-i", other], "no image in this BIDS dataset"),
        (["-i", dataset / "sourcedata"], "wanted -o PATH"),
    ):
        predict(model, *words, status=2)
        assert said in capfd.readouterr().err
    assert not (dataset / "derivatives" / "zoo-sparse-completion").exists()
