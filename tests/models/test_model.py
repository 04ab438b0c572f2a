"""Predictions, on every backend."""

import hashlib
import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import registries
from zoo.errors import (
    BackendError,
    ConfigError,
    NotRegistered,
    ReadError,
    VolumeError,
    WeightsError,
    WriteError,
)
from zoo.models._inputs import read
from zoo.volumes.resampling import resample_mask
from zoo.volumes.volume import Volume

SMALL = {"channels": [2, 2, 4, 4, 4, 4, 16]}


@pytest.fixture(scope="module")
def eager():
    """A model that adds some: random weights, and logits that follow the features."""
    torch.manual_seed(1)
    model = zoo.create("sparse-completion", SMALL, backend="torch")
    for head in model.network.heads:
        torch.nn.init.normal_(head.classifier.kernel)
        torch.nn.init.zeros_(head.classifier.bias)
    return model


@pytest.fixture
def skull():
    from zoo.datasets.phantoms.skulls import skull_case

    return skull_case(3, 32).defective


def test_answer_lies_on_the_inputs_own_grid(eager, skull, tmp_path):
    affine = np.array([[0, 0, -3.0, 50], [-2, 0.1, 0, 60], [0, 2.5, 0, -70], [0, 0, 0, 1]])
    nib.Nifti1Image(skull.astype(np.uint8), affine).to_filename(tmp_path / "in.nii.gz")
    prediction = eager.predict(tmp_path / "in.nii.gz")
    for name in ("volume", "implant"):
        getattr(prediction, name).save(tmp_path / f"{name}.nii.gz")
        written = nib.load(tmp_path / f"{name}.nii.gz")
        assert written.shape == skull.shape
        np.testing.assert_allclose(written.affine, affine, atol=1e-5)
        assert written.get_data_dtype() == np.uint8
    assert isinstance(prediction.to_nibabel(), nib.Nifti1Image)


def test_completion_never_removes_and_the_implant_is_what_it_added(eager, skull):
    prediction = eager.predict(skull)
    answer, implant = prediction.volume.array != 0, prediction.implant.array != 0
    assert answer[skull].all()
    assert answer.sum() > skull.sum()
    assert implant.any() and not (implant & skull).any() and answer[implant].all()


def test_predictions_repeat_exactly_and_leave_the_network_in_eval_mode(eager, skull):
    first, second = eager.predict(skull), eager.predict(skull)
    assert (first.volume.array == second.volume.array).all()
    assert not eager.network.training


def test_backends_give_the_same_voxels(eager, backend, skull):
    model = zoo.Model(deepcopy(eager.network), eager.card, backend, torch.get_default_device())
    assert (model.predict(skull).volume.array == eager.predict(skull).volume.array).all()


def test_cropping_and_padding_change_nothing(eager, skull):
    padded = eager.predict(np.pad(skull, ((3, 8), (0, 5), (11, 2)))).volume.array
    whole = eager.predict(np.pad(skull, 20)).volume.array
    assert (whole[20:52, 20:52, 20:52] == padded[3:35, 0:32, 11:43]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: a,
        lambda a: torch.from_numpy(a),
        lambda a: nib.Nifti1Image(a.astype(np.uint8), np.eye(4)),
        lambda a: Volume(a.astype(np.float32) * 7),
        lambda a: a[::-1, :, ::-1][::-1, :, ::-1],
        lambda a: a.astype(">i2"),
    ],
    ids=["array", "tensor", "nibabel", "volume", "strided", "big-endian"],
)
def test_every_kind_of_input_gives_the_same_answer(eager, skull, wrap):
    wanted = eager.predict(skull.copy()).volume.array
    assert (eager.predict(wrap(skull.copy())).volume.array == wanted).all()


def test_report(eager, skull, tmp_path):
    path = tmp_path / "in.nii.gz"
    Volume(skull.astype(np.uint8)).save(path)
    stages = []
    report = eager.predict(path, progress=stages.append).report
    assert report["voxels_in"] == skull.sum() and report["voxels_out"] > report["voxels_in"]
    assert stages == list(report["timings"]) == ["read", "conform", "network", "restore"]
    assert report["sha256"]["input"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["backend"] == "torch" and report["versions"]["zoo"] == zoo.__version__
    assert report["peak_memory"] > 1e7
    assert report["grid"] == {"resampled": False, "spacing_in": [1] * 3, "spacing": [1] * 3}


def test_stages_of_a_list_say_which_case_it_is(eager, skull):
    stages = []
    eager.predict([skull, skull], progress=stages.append)
    assert stages[::4] == ["case 1 of 2: read", "case 2 of 2: read"]


@pytest.mark.parametrize(
    ("volumes", "said"),
    [
        (list, ["case 1 of 2: read", "case 2 of 2: read"]),
        (lambda given: (each for each in given), ["case 1: read", "case 2: read"]),
        (lambda given: given[:1], ["read"]),
    ],
    ids=["with a length", "without", "one"],
)
def test_stages_of_one_after_another_say_which_case_it_is(volumes, said, eager, skull):
    stages = []
    for _ in eager.predict_each(volumes([skull, skull]), progress=stages.append):
        pass
    assert stages[::4] == said


def test_the_reports_hash_is_that_of_what_was_read(eager, skull, tmp_path):
    """Even if the file is another one by the end."""
    path = tmp_path / "in.nii.gz"
    Volume(skull.astype(np.uint8)).save(path)
    read = hashlib.sha256(path.read_bytes()).hexdigest()

    def replace(stage):
        if stage == "network":
            Volume(np.eye(9, dtype=np.uint8)[None].repeat(9, 0)).save(path)

    report = eager.predict(path, progress=replace).report
    assert report["sha256"]["input"] == read != hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (np.array([0, 255], np.int64), np.uint8),
        (np.array([0, 1], np.int32), np.uint8),
        (np.array([-1024, 3071], np.int32), np.int16),
        (np.array([0, 40_000], np.int32), np.int32),
        (np.array([0, 2**64 - 1], np.uint64), np.uint64),
        (np.array([0, 1], np.int16), np.int16),
        (np.array([0.0, 1.0]), np.float64),
    ],
)
def test_integers_of_a_file_are_kept_in_few_bytes(values, kept, tmp_path):
    np.save(tmp_path / "v.npy", values.reshape(2, 1, 1))
    source, _ = read(tmp_path / "v.npy")
    assert source.array.dtype == kept and (source.array.ravel() == values).all()


def test_a_file_that_changes_while_it_is_read_is_refused(eager, skull, tmp_path, monkeypatch):
    path = tmp_path / "in.npy"
    np.save(path, skull)

    def read(given):
        np.save(given, ~skull)
        return Volume(skull)

    monkeypatch.setitem(registries.readers.own, "npy", "test_model:read_and_replace")
    monkeypatch.setattr("test_model.read_and_replace", read, raising=False)
    with pytest.raises(ReadError, match=r"in\.npy: changed while it was being read"):
        eager.predict(path)


@pytest.mark.slow
def test_loading_and_predicting_raise_no_warning(tmp_path):
    Volume(np.pad(np.ones((8, 8, 8), np.uint8), 4), np.diag([3.2] * 3 + [1])).save(
        tmp_path / "in.nii.gz"
    )
    code = (
        "import zoo; model = zoo.load('skull-completion-64', backend='torch');"
        "print(model.predict('in.nii.gz').report['voxels_in'])"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "512", done.stderr[-500:]


def test_resampled_prediction_comes_back_to_the_input_grid(eager, skull):
    contract = zoo.Card.model_fields["input"].annotation.around(1.0)
    card = eager.card.model_copy(update={"input": contract})
    model = zoo.Model(eager.network, card, eager.backend, eager.device)
    fine = np.kron(skull, np.ones((2, 2, 2), dtype=bool))
    volume = Volume(fine, np.diag([0.5, 0.5, 0.5, 1]))
    prediction = model.predict(volume)
    assert prediction.report["grid"]["resampled"]
    coarse = eager.predict(skull).volume.array
    assert (resample_mask(volume, contract).array == skull).all()
    assert (prediction.volume.array == np.kron(coarse, np.ones((2, 2, 2)))).all()


def test_saved_model_loads_and_predicts_the_same(eager, skull, tmp_path):
    eager.save(tmp_path / "mine")
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    golden = {"golden-input.nii.gz", "golden-answer.nii.gz"}
    assert files == {"config.json", "model.safetensors", "README.md"} | golden
    loaded = zoo.load(f"local-dir:{tmp_path}/mine", backend="torch")
    assert loaded.config == eager.config
    wanted = hashlib.sha256((tmp_path / "mine/model.safetensors").read_bytes()).hexdigest()
    assert loaded.card.weights.sha256 == wanted
    assert (loaded.predict(skull).volume.array == eager.predict(skull).volume.array).all()


def test_other_bytes_are_not_loaded(eager, tmp_path):
    eager.save(tmp_path / "mine")
    weights = tmp_path / "mine" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match=r"wanted sha256 .* got .* delete the file"):
        zoo.load(f"local-dir:{tmp_path}/mine", backend="torch")


def test_config_and_card_that_disagree_are_refused(eager, tmp_path):
    eager.save(tmp_path / "mine")
    path = tmp_path / "mine" / "config.json"
    path.write_text(path.read_text().replace("16", "8"))
    with pytest.raises(ConfigError, match="different networks"):
        zoo.load(f"local-dir:{tmp_path}/mine", backend="torch")


def test_wrong_names_and_devices():
    with pytest.raises(NotRegistered, match="sparse-completion"):
        zoo.create("sparse-completoin")
    with pytest.raises(NotRegistered, match="nearest are: torch"):
        zoo.create("sparse-completion", backend="torhc")
    with pytest.raises(BackendError, match="'tpu7'"):
        zoo.create("sparse-completion", device="tpu7")
    with pytest.raises(ConfigError, match="channels"):
        zoo.create("sparse-completion", {"channels": 3})
    with pytest.raises(ConfigError, match="no folder"):
        zoo.load("local-dir:/no/such")


def test_bad_volumes(eager):
    for array in (np.zeros((4, 4, 4)), np.ones((4, 4, 4)), np.full((4, 4, 4), np.nan)):
        with pytest.raises(VolumeError):
            eager.predict(array)


def test_public_names_are_pinned():
    assert sorted(zoo.__all__) == [
        "Card", "Model", "Prediction", "Volume", "ZooError",
        "create", "info", "list_models", "load", "plugin_api_version", "registries",
    ]  # fmt: skip
    assert all(getattr(zoo, name) is not None for name in zoo.__all__)
    assert issubclass(zoo.ZooError, Exception) and Path(zoo.__file__).name == "__init__.py"


def test_a_list_gives_a_list_and_one_after_another_gives_them_as_they_come():
    model = zoo.create("sparse-completion", backend="torch", device="cpu")
    cubes = [np.pad(np.ones((n, n, n), np.uint8), 4) for n in (2, 3)]
    found = model.predict(cubes)
    assert [each.report["voxels_in"] for each in found] == [8, 27]
    assert next(model.predict_each(iter(cubes))).report["voxels_in"] == 8


def test_an_array_has_a_spacing_or_an_affine():
    model = zoo.create("sparse-completion", backend="torch", device="cpu")
    cube = np.pad(np.ones((3, 3, 3), np.uint8), 4)
    assert model.predict(cube, spacing=(0.5, 0.5, 2)).volume.spacing == (0.5, 0.5, 2.0)
    assert model.predict(cube, spacing=0.5).volume.spacing == (0.5, 0.5, 0.5)
    affine = np.diag([2, -2, 2, 1.0])
    assert np.array_equal(model.predict(torch.tensor(cube), affine=affine).volume.affine, affine)
    for wrong in (
        {"spacing": (1, 1)},
        {"spacing": 0},
        {"spacing": (1, 1, 0)},
        {"spacing": (1, 1, 1), "affine": affine},
    ):
        with pytest.raises(ConfigError, match="spacing"):
            model.predict(cube, **wrong)
    with pytest.raises(ConfigError, match="Volume, which has its own"):
        model.predict(zoo.Volume(cube), spacing=(1, 1, 1))


def test_objects_say_what_they_are():
    model = zoo.load("skull-completion-64.phantom", backend="torch", device="cpu")
    assert repr(model) == (
        "Model(skull-completion-64.phantom, completion, 3.2 mm, apache-2.0, torch on cpu)"
    )
    assert repr(model.card) == "Card(skull-completion-64.phantom, completion, 3.2 mm, apache-2.0)"
    assert repr(zoo.create("sparse-completion").card) == "Card(sparse-completion, completion)"
    cube = np.pad(np.ones((3, 3, 3), np.uint8), 4)
    said = repr(zoo.create("sparse-completion", backend="torch", device="cpu").predict(cube))
    assert said.startswith("Prediction(volume=Volume(11x11x11 uint8") and "implant of" in said


def test_what_happens_is_logged(caplog):
    model = zoo.create("sparse-completion", backend="torch", device="cpu")
    with caplog.at_level("DEBUG", logger="zoo"):
        prediction = model.predict(np.pad(np.ones((3, 3, 3), np.uint8), 4))
        zoo.load("skull-completion-64", backend="torch", device="cpu")
    assert "27 occupied voxels in" in caplog.text
    said = [record.getMessage() for record in caplog.records if record.levelname == "DEBUG"]
    assert [line.partition(":")[0] for line in said] == list(prediction.report["timings"])
    assert "skull-completion-64.skullfix: loaded on torch, cpu" in caplog.text


def test_a_prediction_is_drawn(tmp_path):
    model = zoo.create("sparse-completion", backend="torch", device="cpu")
    prediction = model.predict(np.pad(np.ones((6, 6, 6), np.uint8), 4))
    shown = prediction.preview(tmp_path / "preview.png")
    with Image.open(tmp_path / "preview.png") as written:
        assert shown.size == written.size and shown.tobytes() == written.tobytes()
    with pytest.raises(WriteError, match="folder does not exist"):
        prediction.preview(tmp_path / "missing/preview.png")


def test_a_repository_without_its_prefix_is_recognised():
    with pytest.raises(NotRegistered, match="for a repository on the Hub, hf-hub:some/model"):
        zoo.load("some/model")


def test_a_file_says_where_it_comes_from(tmp_path):
    model = zoo.load("skull-completion-64.phantom", backend="torch", device="cpu")
    cube = np.pad(np.ones((3, 3, 3), np.uint8), 4)
    model.predict(cube, spacing=(3.2, 3.2, 3.2)).save(tmp_path / "answer.nii.gz")
    image = nib.load(tmp_path / "answer.nii.gz")
    assert image.header["descrip"].item().decode() == f"{model.card.name}, zoo {zoo.__version__}"
    facts = json.loads(image.header.extensions[0].get_content())
    assert facts["weights_sha256"] == model.card.weights.sha256
    assert facts["labels"] == {"1": "completed skull"}
