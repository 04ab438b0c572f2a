"""Scores of cases with ground truth, the command that prints them, and the folder it fills."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from anatomy.heads import headrest, scan, shell
from command_line import KEEP_ALL, contents, save_model
from PIL import Image

import zoo
from zoo.cli import main
from zoo.datasets.cases import Case
from zoo.datasets.pairs import Pair, load_pair
from zoo.evaluation import summarise
from zoo.models.loading import load
from zoo.models.model import Model
from zoo.models.prediction import Prediction
from zoo.tasks.completion._scoring import MEASURES, CompletionScore, completion_score
from zoo.volumes import metrics

pytestmark = pytest.mark.slow

KEEP_NONE = [9.0] * 6  # thresholds with which a random network adds nothing
GOOD = CompletionScore(
    case="good",
    implant_dice=0.9,
    border_dice=0.8,
    hausdorff_distance=3.0,
    hd95=2.0,
    pooled_hd95=1.5,
    roughness=0.2,
    true_roughness=0.1,
    complete_dice=0.99,
    reconstruction_error=0.5,
    input_kept=1.0,
    implant_voxels=7,
    implant_ml=0.007,
    seconds=0.1,
    peak_memory=None,
)
EMPTY = GOOD.model_copy(
    update={"case": "empty", "implant_dice": 0.0, "hd95": np.inf, "implant_voxels": 0}
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Its answer is the whole grid."""
    return save_model(tmp_path_factory.mktemp("filling"), thresholds=KEEP_ALL)


@pytest.fixture(scope="module")
def idle_model(tmp_path_factory):
    """Its answer is the input."""
    return save_model(tmp_path_factory.mktemp("idle"), thresholds=KEEP_NONE)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Three skulls of 16^3."""
    folder = tmp_path_factory.mktemp("phantoms")
    main(["phantom", "skull", "-o", f"{folder}", "--resolution", "16", "--count", "3"])
    return folder


@pytest.fixture
def run(capfd):
    """Run `zoo evaluate`; returns its status and what it printed and complained of."""

    def run(*words):
        capfd.readouterr()
        status = main(["evaluate", *map(str, words)])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def predicted(monkeypatch):
    """Counts predictions; the one whose number is in `broken` is interrupted."""
    calls, broken, predict = [], [], Model.predict

    def counted(self, volume, **options):
        calls.append(volume)
        if len(calls) in broken:
            raise KeyboardInterrupt
        return predict(self, volume, **options)

    monkeypatch.setattr(Model, "predict", counted)
    return SimpleNamespace(calls=calls, broken=broken)


def test_a_case_that_fails_in_any_way_leaves_the_others(idle_model, phantoms, run, monkeypatch):
    """As a plugin's task or reader may; --debug shows where."""
    predict = Model.predict

    def sometimes(self, volume, **options):
        if volume.array.sum() == first.array.sum():
            raise TypeError("a plugin's own\nmistake")
        return predict(self, volume, **options)

    first = zoo.Volume.of(phantoms / "defective_skull" / "000.nii.gz")
    monkeypatch.setattr(Model, "predict", sometimes)
    status, printed, complaint = run(idle_model, "--data", phantoms)
    assert status == 0 and "001" in printed and "Traceback" not in complaint
    said = "zoo: 000: unexpected TypeError: a plugin's own mistake; --debug shows where"
    assert said in complaint.splitlines()
    status, printed, complaint = run(idle_model, "--data", phantoms, "--debug")
    assert status == 0 and "Traceback" in complaint and "in sometimes" in complaint


def volume(*occupied):
    grid = np.zeros((10, 1, 1), np.uint8)
    grid[list(occupied)] = 1
    return zoo.Volume(grid, np.diag([2.0, 1, 1, 1]))


def test_the_score_of_a_case():
    pair = Pair(volume(0, 1), volume(0, 1, 2, 3, 4, 5, 6, 7), volume(2, 3, 4, 5, 6, 7))
    report = {"timings": {"read": 1.0, "network": 2.0}, "peak_memory": 5}
    answer = Prediction(volume(0, *range(2, 6), 9), volume(2, 3, 4, 5, 9), volume(0, 1), report)
    wanted = {
        "case": "a",
        "implant_dice": 2 * 4 / (5 + 6),
        "border_dice": 2 * 4 / (4 + 5),  # up to 10 mm from voxel 1: voxels 2 to 6
        "hausdorff_distance": 4,
        "hd95": 3.5,  # of 0, 0, 0, 0, 2 and 4 mm
        "pooled_hd95": 4,  # of these and 0, 0, 0, 0 and 4 mm
        "complete_dice": 2 * 5 / (6 + 8),
        "reconstruction_error": 40,
        "input_kept": 0.5,
        "implant_voxels": 5,
        "implant_ml": 0.01,
        "seconds": 3,
        "peak_memory": 5,
        "warnings": None,
    }
    found = completion_score("a", answer, pair).model_dump()
    assert found.pop("roughness") > found.pop("true_roughness") > 0
    assert found == pytest.approx(wanted)


def test_distances_are_measured_once_each_way(monkeypatch):
    calls, measure = [], metrics._distances
    monkeypatch.setattr(
        metrics, "_distances", lambda *points: calls.append(points) or measure(*points)
    )
    pair = Pair(volume(0), volume(0, 1, 2), volume(1, 2))
    report = {"timings": {}, "peak_memory": 5}
    completion_score("a", Prediction(volume(0, 1), volume(1), volume(0), report), pair)
    assert len(calls) == 2


def test_infinite_distances_do_not_poison_the_summary():
    other = GOOD.model_copy(update={"hd95": 4.0, "peak_memory": 8})
    summary = summarise([GOOD, EMPTY, other], MEASURES)
    assert summary["hd95"] == {"mean": 3, "median": 3, "worst": np.inf, "cases": 2}
    assert summary["implant_dice"] == {"mean": 0.6, "median": 0.9, "worst": 0, "cases": 3}
    assert summary["peak_memory"] == {"mean": 8, "median": 8, "worst": 8, "cases": 1}


def test_the_scores_are_those_of_the_files(model, phantoms, run):
    status, printed, complaints = run(model, "--data", phantoms, "--json")
    assert (status, complaints) == (0, "")
    facts = json.loads(printed)
    assert [case["case"] for case in facts["cases"]] == ["000", "001", "002"]
    assert facts["summary"]["input_kept"]["worst"] == 1
    truth = zoo.Volume.of(phantoms / "complete_skull/000.nii.gz").array
    dice = 2 * truth.sum() / (truth.sum() + truth.size)
    case = facts["cases"][0]
    assert case["complete_dice"] == pytest.approx(dice)
    assert case["reconstruction_error"] == pytest.approx(100 * (truth == 0).mean())
    assert case["hausdorff_distance"] >= case["hd95"] > 0
    assert f"{dice:.4f}" in run(model, "--data", phantoms)[1]


def test_cases_without_a_prediction_are_null_and_counted(idle_model, phantoms, run):
    _, printed, _ = run(idle_model, "--data", phantoms, "--json")
    facts = json.loads(printed, parse_constant=pytest.fail)
    assert facts["without_prediction"] == 3 and facts["cases"][0]["hd95"] is None
    assert facts["summary"]["hd95"] == {"mean": None, "median": None, "worst": None, "cases": 0}
    _, printed, _ = run(idle_model, "--data", phantoms)
    assert "the prediction is empty for 3 of 3 cases" in printed and " inf " in printed


def test_a_case_that_fails_is_listed_and_the_others_scored(model, tmp_path, run):
    main(["phantom", "skull", "-o", f"{tmp_path}", "--resolution", "16", "--count", "2"])
    (tmp_path / "complete_skull" / "001.nii.gz").write_bytes(b"damaged")
    words = (model, "--data", tmp_path, "--json")
    status, printed, complaints = run(*words, "-o", tmp_path / "scores", "--pictures", 0)
    assert status == 0 and [case["case"] for case in json.loads(printed)["cases"]] == ["000"]
    assert "zoo: 001: " in complaints and "1 of 2 cases failed" in complaints
    assert "001" in json.loads((tmp_path / "scores" / "summary.json").read_text())["failures"]
    (tmp_path / "complete_skull" / "000.nii.gz").write_bytes(b"damaged")
    status, printed, complaints = run(*words)
    assert (status, printed, complaints.count("\n")) == (2, "", 1)
    assert "every case failed; the first, 000: " in complaints


def test_a_resumed_evaluation_scores_what_is_missing(model, phantoms, tmp_path, run, predicted):
    out = tmp_path / "scores"
    words = (model, "--data", phantoms, "-o", out, "--json")
    predicted.broken.append(3)
    assert run(*words, "--resume")[0] == 130
    assert [row["case"] for row in rows(out)] == ["000", "001"]
    assert not (out / "summary.json").exists()
    status, printed, _ = run(*words, "--resume")
    assert status == 0 and len(predicted.calls) == 3 + 1 + 1  # what was missing, and a picture
    facts = json.loads(printed)
    assert facts["scored"] == 3 and [case["case"] for case in facts["cases"]][2] == "002"
    with Image.open(out / "scores.png") as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 100
    (picture,) = out.glob("worst-1-*.png")
    with Image.open(picture) as image:
        assert image.size == (1200, 1304)
    again = json.loads(run(*words, "--resume", "--pictures", "0")[1])
    assert again == facts and len(predicted.calls) == 5
    del facts["cases"]
    assert json.loads((out / "summary.json").read_text()) == facts


def test_workers_score_as_one_process_does(model, phantoms, tmp_path, run):
    table = [
        "name,source,target",
        *(f"{name},,complete_skull/{name}.nii.gz" for name in ("000", "001")),
        "gone,defective_skull/002.nii.gz,complete_skull/002.nii.gz",
    ]
    data = phantoms / "some.csv"
    data.write_text("\n".join(table))
    words = (model, "--data", data, "--json", "--seed", 3)
    here = json.loads(run(*words)[1])
    there = json.loads(run(*words, "--workers", 2, "-o", tmp_path / "scores", "--pictures", 0)[1])
    for facts in (here, there):
        for case in facts["cases"]:
            assert case.pop("seconds") > 0 and case.pop("peak_memory") > 1e8
        for cost in ("seconds", "peak_memory"):
            facts["summary"].pop(cost, None)
    assert here == there and here["scored"] == 3 and len(rows(tmp_path / "scores")) == 3
    assert "name an executor" in run(*words, "--address", "127.0.0.1:1")[2]
    assert "unknown executor 'nowhere'" in run(*words, "--executor", "nowhere")[2]


def test_defects_may_be_new_ones_or_none(idle_model, phantoms, run):
    def scores(*words, of="complete_dice"):
        facts = json.loads(run(idle_model, "--data", phantoms, "--json", *words)[1])
        return [case[of] for case in facts["cases"]]

    assert scores("--defects", "none") == scores("--defects", "none", of="implant_dice") == [1] * 3
    cut = scores("--defects", "cut")
    assert cut != scores() == scores("--defects", "official") and max(cut) < 1
    assert cut == scores("--defects", "cut", "--seed", 0) != scores("--defects", "cut", "--seed", 1)


def test_skulls_are_found_in_cts(idle_model, tmp_path, run):
    """With what is beside them left out, and the same word when it goes on."""
    skull = shell()
    (tmp_path / "data").mkdir()
    scan(skull, headrest()).save(tmp_path / "data" / "a.nii.gz")
    pair = load_pair(Case("a", None, tmp_path / "data" / "a.nii.gz", None), threshold="auto")
    assert np.array_equal(pair.complete.array, skull)
    assert 0 < pair.implant.array.sum() < skull.sum() / 2
    words = (idle_model, "--data", tmp_path / "data", "-o", tmp_path / "scores", "--pictures", 0)
    for more in ((), ("--resume",)):
        assert run(*words, "--threshold", "auto", *more)[0] == 0
    assert rows(tmp_path / "scores")[0]["threshold"] == "auto"
    assert (
        "was scored with threshold auto, wanted 300"
        in run(*words, "--threshold", 300, "--resume")[2]
    )
    assert "wanted a number or auto or bone" in run(*words, "--threshold", "automatic")[2]


def rows(folder):
    with (folder / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_infinite_distances_survive_a_resumption(idle_model, phantoms, tmp_path, run):
    words = (idle_model, "--data", phantoms, "-o", tmp_path / "scores", "--json", "--pictures", 0)
    first = run(*words)
    assert rows(tmp_path / "scores")[0]["hd95"] == "inf"
    assert run(*words, "--resume") == first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-o old", "old/cases.csv exists: pass --resume"),
        ("-o old --resume --threshold 0.5", "scored with threshold none, wanted 0.5"),
        ("-o old --resume --seed 3", "scored with seed 0, wanted 3"),
        ("-o changed --resume", "row 1: was scored with weights 123, wanted "),
        ("-o torn --resume", "torn/cases.csv, row 1: border_dice: Input should be a valid number"),
        ("-o foreign --resume", "contains 'other', which is not one of the 3 cases"),
        ("-o {data}", "is the folder of the data"),
        ("--resume", "--resume needs -o OUTDIR"),
        ("--pictures 2", "--pictures needs -o OUTDIR"),
        ("--layout nonsense", "wanted a layout out of skullfix, "),
    ],
)
def test_what_does_not_fit_is_refused(words, said, model, phantoms, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = load(model).card.weights.sha256
    table = (
        f"{','.join([*CompletionScore.model_fields, 'model', 'weights', 'threshold', 'seed'])}\n"
    )
    ones = ",1" * (len(CompletionScore.model_fields) - 1)
    row = f"000{ones},m,{weights},,0\n"
    write(tmp_path / "old", table + row)
    write(tmp_path / "changed", table + row.replace(weights, "123"))
    write(tmp_path / "torn", table + row.replace("1,1,1,1,1,1,1", "1,1,1,1,x,1,1", 1))
    write(tmp_path / "foreign", table + row.replace("000", "other", 1))
    before = contents(tmp_path)
    status, printed, complaint = run(
        model, "--data", phantoms, *words.format(data=phantoms).split()
    )
    assert (status, printed, complaint.count("\n")) == (2, "", 1)
    assert said in complaint and "unexpected" not in complaint
    assert contents(tmp_path) == before


def write(folder: Path, text: str):
    folder.mkdir()
    (folder / "cases.csv").write_text(text)
