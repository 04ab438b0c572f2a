"""What `zoo predict` writes of structures: masks, statistics, largest components."""

import csv
import json

import cc3d
import numpy as np
import pytest
import torch

import zoo
from zoo.cards import Card
from zoo.cli import main
from zoo.contract import InputContract
from zoo.errors import ConfigError
from zoo.models.loading import build_network
from zoo.models.model import Model
from zoo.pictures import draw_comparison, draw_prediction
from zoo.pictures.preview import structures
from zoo.sparse import select_backend

CPU = torch.device("cpu")
LABELS = ("left atrium", "aorta", "no such thing")


def card(labels=LABELS):
    contract = InputContract.around(2.0, kind="intensity", windows=[[-200, 1000]])
    config = {"channels": [2, 2], "classes": len(labels) + 1}
    facts = {"task": "segmentation", "architecture": "sparse-segmentation"}
    return Card(name="mine", config=config, input=contract, labels=labels, **facts)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that gives label 1 or 2, by which of two features is larger, and never 3."""
    torch.manual_seed(3)
    network = build_network(card())
    made = Model(network, card(), select_backend("torch", CPU), CPU)
    network.head.classifier.kernel.data = torch.tensor([[[0.0, 1, -1, 0], [0, -1, 1, 0]]])
    network.head.classifier.bias.data = torch.tensor([-1e3, 0.0, 0.0, -1e3])
    folder = tmp_path_factory.mktemp("models") / "mine"
    made.save(folder)
    return f"local-dir:{folder}"


@pytest.fixture
def scan(tmp_path):
    hu = np.full((20, 22, 24), -1000, np.int16)
    hu[3:17, 3:17, 3:17] = np.random.default_rng(0).integers(-150, 600, (14, 14, 14))
    path = tmp_path / "scan.nii.gz"
    zoo.Volume(hu, np.diag([2.0, 2.0, 2.0, 1.0])).save(path)
    return path


def predict(model, scan, *words):
    return main(["predict", model, "-i", str(scan), "--backend", "torch", "-q", *map(str, words)])


@pytest.mark.slow
def test_masks_and_statistics_are_of_the_labels(model, scan, tmp_path):
    out = tmp_path / "labels.nii.gz"
    words = ("-o", out, "--split", "--statistics", tmp_path / "found.json")
    assert predict(model, scan, *words) == 0
    labels, hu = (zoo.Volume.of(path).array for path in (out, scan))
    assert {1, 2} <= set(np.unique(labels)), "the network says both"
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == list(LABELS)
    names = ("left_atrium.nii.gz", "aorta.nii.gz", "no_such_thing.nii.gz")
    assert {path.name for path in (tmp_path / "labels").iterdir()} == set(names)
    for value, (name, facts) in enumerate(zip(names, found.values(), strict=True), 1):
        mask = zoo.Volume.of(tmp_path / "labels" / name)
        assert np.array_equal(mask.array, labels == value)
        count = np.count_nonzero(labels == value)
        assert facts["voxels"] == count and facts["volume_ml"] == pytest.approx(0.008 * count)
        if count:
            assert facts["mean_hu"] == pytest.approx(hu[labels == value].mean(), abs=0.01)
    assert found["no such thing"]["mean_hu"] is None


@pytest.mark.slow
def test_of_several_scans_each_has_its_table_and_folder(model, scan, tmp_path):
    """One component is left of each structure."""
    other = tmp_path / "other.nii.gz"
    other.write_bytes(scan.read_bytes())
    words = ("-i", other, "-o", tmp_path / "out", "--split", "--statistics", tmp_path / "tables")
    assert predict(model, scan, *words, "--largest-component") == 0
    for name in ("scan", "other"):
        labels = zoo.Volume.of(tmp_path / "out" / f"{name}.nii.gz").array
        for value in (1, 2):
            assert cc3d.connected_components(labels == value, return_N=True)[1] == 1
        rows = list(csv.DictReader((tmp_path / "tables" / f"{name}.csv").open()))
        assert [row["structure"] for row in rows] == list(LABELS)
        counts = [np.count_nonzero(labels == value) for value in (1, 2, 3)]
        assert [int(row["voxels"]) for row in rows] == counts
        assert rows[2]["mean_hu"] == ""
        assert len(list((tmp_path / "out" / name).iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "l.nii.gz", "--statistics", "s.txt"), "ends in .json or .csv for the statistics"),
        (("-o", "folder", "--split"), "wanted a file name that ends in one of"),
    ],
)
def test_wrong_names_are_refused(words, said, scan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert predict("thorax-segmentation-128", scan, *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_without_structures_says_so(tmp_path, capsys):
    cube = np.zeros((12, 12, 12), np.uint8)
    cube[4:8, 4:8, 4:8] = 1
    zoo.Volume(cube, np.diag([3.2, 3.2, 3.2, 1.0])).save(tmp_path / "cube.nii.gz")
    words = ("-o", tmp_path / "out.nii.gz", "--split")
    assert predict("skull-completion-64", tmp_path / "cube.nii.gz", *words) == 2
    assert "predicts no structures; leave --statistics and --split out" in capsys.readouterr().err
    assert not (tmp_path / "out.nii.gz").exists()


def test_labels_whose_files_would_be_one_are_refused():
    twice = card(("left lung", "left-lung"))
    network = build_network(twice)
    with pytest.raises(ConfigError, match="differ in their letters and digits"):
        Model(network, twice, select_backend("torch", CPU), CPU)


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "wanted"), [((32, 2), "dense"), ((16, 2), "cpu")])
def test_auto_takes_the_faster_backend_and_says_so(channels, wanted):
    """Dense where a box is full and the network wide; the labels are the same."""
    torch.manual_seed(0)
    design = ("sparse-segmentation", {"channels": channels, "classes": 3})
    model = zoo.create(*design, device="cpu")
    sparse = Model(model.network, model.card, select_backend("cpu", CPU), CPU)
    hu = np.full((14, 14, 14), -1000, np.int16)
    hu[2:12, 2:12, 2:12] = np.random.default_rng(0).integers(-150, 600, (10, 10, 10))
    found = model.predict(hu)
    assert found.report["backend"] == wanted
    assert any("faster" in note for note in found.report["notes"]) == (wanted == "dense")
    assert np.array_equal(found.volume.array, sparse.predict(hu).volume.array)
    hu[4:12, 4:12, 4:12] = -1000
    assert model.predict(hu).report["backend"] == "cpu", "less than the share"
    assert sparse.predict(hu).report["backend"] == "cpu"


@pytest.mark.slow
def test_a_tilted_scan_has_its_labels_in_place(model, tmp_path):
    """Labels and probabilities lie on the scan's own grid, and the picture shows a straight one."""
    lean = np.eye(4)
    lean[:3, 2] = (0, np.sin(0.3), np.cos(0.3))
    hu = np.full((20, 22, 24), -1000, np.int16)
    hu[3:17, 3:17, 3:17] = 300
    tilted = zoo.Volume(hu, np.diag([2.0, 2.0, 2.0, 1.0]) @ lean)
    found = zoo.load(model, backend="torch").predict(tilted)
    assert found.volume.shape == found.probabilities.volume("aorta").shape == tilted.shape
    middle = (slice(6, 14),) * 3
    assert found.volume.array[middle].all()
    assert np.count_nonzero(found.volume.array[hu < 0]) < 0.1 * found.volume.array.size
    scan, shapes, _ = structures(found)
    anything = np.logical_or.reduce([mask for _, mask, _ in shapes])
    assert {mask.shape for _, mask, _ in shapes} == {scan.shape}
    assert scan.shape != tilted.shape
    assert scan[anything].mean() > 0.8 > 0.2 > scan[~anything].mean()
    draw_prediction(tmp_path / "a.png", found, "tilted")
    draw_comparison(tmp_path / "b.png", found, found.volume, "tilted")
    assert (tmp_path / "a.png").stat().st_size > 10_000 < (tmp_path / "b.png").stat().st_size
