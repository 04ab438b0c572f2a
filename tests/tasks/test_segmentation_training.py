"""Segmentation trained on scans on disk: windows, structures, splits, mixtures, a whole run."""

import json
import shutil

import numpy as np
import pytest
import yaml
from case_folders import save

import zoo
from zoo.cards import parse_card
from zoo.cli import main
from zoo.datasets import find_cases, load_labels
from zoo.datasets.phantoms.files import write_thorax
from zoo.errors import ConfigError
from zoo.evaluation import Settings
from zoo.tasks.segmentation._scoring import SegmentationScoring
from zoo.tasks.segmentation._windows import _threshold, find_exterior, find_windows
from zoo.training import check_config
from zoo.training._initial import start_from
from zoo.training._loop import make_training
from zoo.training.run import model_card
from zoo.volumes import InputContract, Volume, windowed


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    """Three chests as SegTHOR has them, in intensities of another kind than Hounsfield units."""
    folder = tmp_path_factory.mktemp("chests")
    for number in range(3):
        write_thorax(folder, number, 10 + number, 24)
        name = f"Patient_{number + 1:02d}"
        path = folder / name / f"{name}.nii.gz"
        scan = Volume.of(path)
        scan.with_array((0.001 * scan.array + 2).astype(np.float32)).save(path)
    (folder / "held.txt").write_text("Patient_03\n")
    return folder


def config(folder, classes=5, dataset=None, **changes):
    return {
        "architecture": "sparse-segmentation",
        "config": {"channels": [2, 4, 4], "classes": classes},
        "dataset": {"folder": str(folder), "spacing": 16} | (dataset or {}),
        "thorax": {"resolution": 24, "chests": 2},
        "steps": 2,
        "batch_size": 2,
        "validate_every": 2,
        "validation_cases": 1,
        "statistics_batches": 2,
    } | changes


def training(cache, *args, **kwargs):
    return make_training(check_config(config(*args, **kwargs), source="test"), cache, 4)


def test_windows_hold_the_structures_and_little_else():
    rng = np.random.default_rng(0)
    air, fat, heart = (rng.normal(hu, 15, 4000).astype(np.float32) for hu in (-1000, -100, 40))
    gullet = np.concatenate([air[:400], heart[:1000]])
    anywhere = np.concatenate([air, fat, heart])
    windows = find_windows({"heart": heart, "gullet": gullet}, anywhere)

    def inside(values):
        return np.mean([any(low <= v <= high for low, high in windows) for v in values])

    assert inside(heart) > 0.96 and inside(gullet) > 0.96
    assert inside(fat) < 0.05
    assert -970 < _threshold(anywhere) < -150
    with pytest.raises(ConfigError, match="some voxels of vein in the training cases"):
        find_windows({"vein": heart[:0]}, anywhere)


def slices(air, body, organ):
    """A body in air, an organ with a hole in it, and the class of both of these."""
    rng = np.random.default_rng(0)
    scan = np.full((20, 20, 4), air, np.float32)
    scan[3:17, 3:17] = body
    scan[8:12, 8:12] = organ
    scan[10, 10] = air
    scan += rng.normal(0, 15, scan.shape).astype(np.float32)
    classes = np.zeros(scan.shape, np.uint8)
    classes[8:12, 8:12] = 1
    return scan, classes


def exteriors(scan, classes, *windows):
    """`exterior` and `bright_exterior` for these windows, or for all values."""
    windows = windows or ((-2000.0, 2000.0),)
    grid = InputContract.around(1.0, kind="intensity", windows=windows)
    found = find_exterior(grid, scan.ravel(), [(scan, classes)])
    return found.exterior, found.bright_exterior


def test_air_around_the_body_is_dark_or_bright():
    exterior, none = exteriors(*slices(-1000, 0, 100))
    assert -970 < exterior < -30 and none is None
    scan, classes = slices(1000, 0, -100)
    none, bright = exteriors(scan, classes)
    assert 30 < bright < 970 and none is None
    # The same threshold, wherever between air and body it lies.
    assert exteriors(-scan, classes) == (-bright, None)
    inside = windowed(
        scan, InputContract.around(1.0, windows=((-2e3, 2e3),), bright_exterior=bright)
    )
    assert not inside[:3].any() and inside[3:17, 3:17].all()


def test_what_is_bright_at_the_border_is_air_only_if_most_of_it_is_and_it_holds_no_structure():
    soft = (50.0, 150.0)
    scan, classes = slices(-1000, 0, 100)
    assert exteriors(scan, classes, soft) == (None, None)  # no window reaches into air
    scan[8:12, :8, :2], classes[:, :, :2] = 100, 0  # shoulders, or a couch
    scan[0, 0, 3] = 100
    assert exteriors(scan, classes, soft) == (None, None)
    scan[:, :, 2:] = 100  # a field of view within the body, and the structure in one with that
    assert exteriors(scan, classes, soft) == (None, None)
    exterior, none = exteriors(scan, classes)
    assert exterior < -30 and none is None
    scan, classes = slices(1000, 0, -100)
    classes[:, :2] = 1
    assert exteriors(scan, classes) == (None, None)


def test_an_exterior_is_searched_unless_one_is_given(chests, tmp_path):
    for number, (given, wanted) in enumerate(
        [
            ({"exterior": 1.5}, (1.5, None)),
            ({"bright_exterior": 2.5}, (None, 2.5)),
            ({"exterior": 1.5, "bright_exterior": 2.5}, (1.5, 2.5)),
            ({"exterior": None}, (None, None)),
        ]
    ):
        split = {"validation_split": str(chests / "held.txt")}
        contract = training(tmp_path / str(number), chests, dataset=given | split).contract
        assert (contract.exterior, contract.bright_exterior) == wanted
    with pytest.raises(ConfigError, match="in which air is dark, as in generated chests"):
        _ = training(tmp_path, chests, dataset={"bright_exterior": 2.5}).contract


def test_windows_are_found_in_the_training_cases_whatever_the_unit(chests, tmp_path):
    made = training(tmp_path, chests, dataset={"validation_split": str(chests / "held.txt")})
    assert made.data == "a data set" and len(made.scans.cases) == 2
    assert made.facts()["labels"] == ("oesophagus", "heart", "trachea", "aorta")
    low, high = made.contract.windows[0][0], made.contract.windows[-1][1]
    assert 0.9 < low < 1.6 and 2 < high < 2.6
    given = {"windows": [[1.9, 2.2]], "exterior": None}
    contract = training(tmp_path, chests, dataset=given).contract
    assert contract.windows == ((1.9, 2.2),) and contract.exterior is None


def test_a_sample_has_the_classes_of_its_voxels(chests, tmp_path):
    made = training(tmp_path, chests, 2, dataset={"labels": {"heart": ["heart", "aorta"]}})
    scan = made.scans.scan(made.scans.cases[0])
    truth = Volume.of(chests / "Patient_01" / "GT.nii.gz").canonical().array
    assert ((scan.classes == 1) == np.isin(truth, (2, 4))).all()
    voxels, classes = made.sample(0)
    assert len(voxels.values) == len(classes.values) == len(voxels.shape.coordinates)
    assert set(classes.values.unique().tolist()) == {0, 1}


def test_a_validation_case_is_not_trained_on(chests, tmp_path):
    made = training(tmp_path, chests, dataset={"validation_split": str(chests / "held.txt")})
    assert [case.name for case in made.scans.cases] == ["Patient_01", "Patient_02"]
    assert [case.name for case in made.scans.validation_cases] == ["Patient_03"]
    assert made.chests is None


def test_a_share_of_the_samples_is_generated(chests, tmp_path):
    made = training(tmp_path, chests, dataset={"share": 0.5}, augmentation={"flip": 0.5})
    assert made.data == "generated chests and a data set"
    sources = {type(made._source(np.random.default_rng(seed))).__name__ for seed in range(9)}
    assert sources == {"Chests", "LabelledScans"}
    with pytest.raises(ConfigError, match=r"thorax.labels: wanted some of .*, got lungs"):
        training(tmp_path, chests, 2, dataset={"share": 0.5, "labels": {"lungs": 3}})


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"labels": ["heart"]}, r"config.classes: wanted 2, one for each of the labels heart"),
        ({"exterior": "water"}, "dataset.exterior"),
        ({"windows": [[3, 1]]}, "wanted the lowest intensity, then a higher one"),
        ({"folder": "absent"}, "no such folder"),
    ],
)
def test_what_does_not_fit_is_refused(dataset, said, chests, tmp_path):
    with pytest.raises(zoo.ZooError, match=said):
        training(tmp_path, chests, dataset=dataset)


def test_scans_outside_the_windows_are_refused(chests, tmp_path):
    """As generated chests are, in Hounsfield units, where those of the data set are in others."""
    made = training(tmp_path, chests, dataset={"windows": [[3001, 3002]], "exterior": None})
    network = zoo.create("sparse-segmentation", config(chests)["config"], backend="torch")
    said = "wanted scans with intensities in the windows 3001 to 3002, got one from"
    with pytest.raises(ConfigError, match=f"{said} .* by dataset.validation_split"):
        made.score(network.network, network.backend, network.device)
    held = {"windows": [[3001, 3002]], "validation_split": str(chests / "held.txt")}
    with pytest.raises(ConfigError, match=rf"{said} [\d.]+ to [\d.]+$"):
        training(tmp_path, chests, dataset=held).sample(0)


def test_labels_without_names_must_be_listed(tmp_path):
    save(tmp_path / "ct.nii.gz")
    save(tmp_path / "labels.nii.gz")
    (tmp_path / "cases.csv").write_text("name,source,target\na,ct.nii.gz,labels.nii.gz\n")
    with pytest.raises(ConfigError, match=r"dataset.labels: wanted the names .*labels.nii.gz"):
        training(tmp_path, tmp_path, 2)


def test_a_network_starts_from_one_of_other_classes():
    one, other = (
        zoo.create("sparse-segmentation", {"channels": [2, 4], "classes": n}) for n in (3, 5)
    )
    one.network.start_from(other.network)
    own, given = one.network.state_dict(), other.network.state_dict()
    same = [name for name in own if (own[name].shape == given[name].shape)]
    assert all((own[name] == given[name]).all() for name in same)
    assert 0 < len(own) - len(same) <= 2  # the head's
    wide = zoo.create("sparse-segmentation", {"channels": [2, 6]})
    with pytest.raises(ConfigError, match="wanted a network with channels"):
        one.network.start_from(wide.network)
    with pytest.raises(ConfigError, match="architecture SparseSegmentation"):
        start_from(one.network, "skull-completion-64")


def test_a_run_starts_from_a_model_of_other_classes(chests, tmp_path):
    other = zoo.create("sparse-segmentation", {"channels": [2, 4], "classes": 4}, backend="torch")
    other.save(tmp_path / "other")
    network = {"channels": [2, 4], "classes": 3}
    begun = {"config": network, "initial": f"local-dir:{tmp_path / 'other'}"}
    dataset = {"labels": ["aorta", "heart"]}
    (tmp_path / "organs.yaml").write_text(yaml.safe_dump(config(chests, dataset=dataset, **begun)))
    words = ["train", str(tmp_path / "organs.yaml"), "-o", str(tmp_path / "run"), "--workers", "0"]
    assert main(words) == 0
    assert zoo.load(f"local-dir:{tmp_path}/run/model").card.labels == ("aorta", "heart")
    with pytest.raises(ConfigError, match="initial_pass_on: wanted false for a segmentation"):
        other.network.start_from(other.network, pass_on=True)


def test_a_run_begins_with_the_contrast_of_its_scans(chests, tmp_path, capsys):
    """Trained for a while on intensities as they are, then begun on the same, negated."""
    recipe = config(chests, steps=40, learning_rate=0.03, average=0.5, validate_every=40)
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(recipe))
    words = ["-o", str(tmp_path / "run"), "--workers", "0"]
    assert main(["train", str(tmp_path / "first.yaml"), *words]) == 0
    negated = tmp_path / "negated"
    for name in ("Patient_01", "Patient_02"):
        (negated / name).mkdir(parents=True)
        scan = Volume.of(chests / name / f"{name}.nii.gz")
        scan.with_array(-scan.array).save(negated / name / f"{name}.nii.gz")
        shutil.copy(chests / name / "GT.nii.gz", negated / name)
    begun = {"initial": f"local-dir:{tmp_path}/run/model", "steps": 1, "validate_every": 1}
    (tmp_path / "held.txt").write_text("Patient_02\n")
    dataset = {"validation_split": str(tmp_path / "held.txt")}
    for folder, inverted in ((chests, False), (negated, True)):
        path, output = tmp_path / f"{folder.name}.yaml", tmp_path / f"{folder.name}-run"
        path.write_text(yaml.safe_dump(config(folder, dataset=dataset, **begun)))
        capsys.readouterr()
        assert main(["train", str(path), "-o", str(output), "--workers", "0"]) == 0
        assert ("/run/model inverted" in capsys.readouterr().err) == inverted


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_train_predict_and_evaluate_on_a_data_set(norm, chests, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    held = str(chests / "held.txt")
    options = {"class_balance": 0.5, "augmentation": {"degrees": 5, "noise": 0.02}}
    recipe = config(chests, dataset={"validation_split": held}, **options)
    recipe["config"]["norm"] = norm
    (tmp_path / "organs.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["train", "organs.yaml", "-o", "run", "--workers", "0"]) == 0
    printed, said = capsys.readouterr()
    assert "trained:" in printed and ("averaging statistics" in said) == (norm == "batch")
    card = zoo.load("local-dir:run/model", backend="torch").card
    assert card.labels == ("oesophagus", "heart", "trachea", "aorta")
    assert card.input.spacing == (16, 16, 16) and card.input.windows
    name, scan = "local-dir:run/model", next(chests.rglob("Patient_03*"))
    words = ["evaluate", name, "--data", str(chests), "--split", held, "--json"]
    assert main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [case["case"] for case in facts["cases"]] == ["Patient_03"]
    assert 0 <= facts["cases"][0]["mean_dice"] <= 1 and "dice_oesophagus" in facts["cases"][0]
    scan = next(path for path in sorted(chests.rglob("Patient_03*")) if path.is_file())
    assert main(["predict", name, "-i", str(scan), "-o", "labels.nii.gz"]) == 0
    made, given = zoo.Volume.of("labels.nii.gz"), zoo.Volume.of(scan)
    assert made.shape == given.shape and np.allclose(made.affine, given.affine, atol=1e-4)
    assert made.array.max() <= 4


def test_structures_are_scored_by_their_names(chests):
    """As the data set orders them differently, and does not label one of them at all."""
    made = zoo.create("sparse-segmentation", {"channels": [2, 4], "classes": 3}, backend="torch")
    contract = made.card.input.model_copy(update={"windows": ((1.5, 3.0),)})
    card = made.card.model_copy(update={"labels": ("spleen", "heart"), "input": contract})
    model = zoo.Model(made.network, card, made.backend, made.device)
    settings = Settings(model="made", weights=None)
    case = find_cases(chests)[0]
    _, score = SegmentationScoring(card, settings).score(model, case)
    assert score.dice_spleen is None and score.mean_dice == score.dice_heart is not None
    other = card.model_copy(update={"labels": ("spleen", "liver")})
    with pytest.raises(zoo.ZooError, match=r"structures spleen, liver, got oesophagus, heart"):
        SegmentationScoring(other, settings).score(model, case)


def test_structures_that_were_merged_are_merged_again_for_scoring(chests, tmp_path):
    merged = {"tubes": ["trachea", "oesophagus"], "heart": "heart"}
    held = {"labels": merged, "validation_split": str(chests / "held.txt")}
    made = training(tmp_path, chests, classes=3, dataset=held)
    assert made.facts()["merged"] == {"tubes": ("trachea", "oesophagus")}
    card = model_card(made.config, "organs", made.facts(), made.data)
    assert parse_card(card.to_markdown(), source="itself").merged == card.merged
    scoring = SegmentationScoring(card, Settings(model="made", weights=None))
    case = find_cases(chests)[0]
    model = zoo.create("sparse-segmentation", {"channels": [2, 4], "classes": 3}, backend="torch")
    _, truth, labelled = scoring._labelled(
        zoo.Model(model.network, card, model.backend, model.device), case
    )
    assert labelled == ["tubes", "heart"]
    parts = load_labels(case, {"tubes": ("oesophagus", "trachea")})[1].array
    assert parts.any() and (truth.array == 1)[parts == 1].all()
    partly = card.model_copy(update={"merged": {"tubes": ("trachea", "larynx")}})
    _, score = SegmentationScoring(partly, scoring.settings).score(
        zoo.Model(model.network, partly, model.backend, model.device), case
    )
    assert score.dice_tubes is None


def test_values_stand_for_structures_in_labels_without_names(tmp_path):
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[:2], labels[2:4], labels[4:6] = 26, 27, 4
    save(tmp_path / "ct.nii.gz", labels.astype(np.float32))
    save(tmp_path / "labels.nii.gz", labels)
    (tmp_path / "cases.csv").write_text("name,source,target\na,ct.nii.gz,labels.nii.gz\n")
    card = zoo.create("sparse-segmentation", {"channels": [2, 4], "classes": 3}).card
    changes = {"labels": ("aorta", "spine"), "merged": {"spine": (26, 27), "aorta": (4,)}}
    scoring = SegmentationScoring(
        card.model_copy(update=changes), Settings(model="made", weights=None)
    )
    (case,) = find_cases(tmp_path)
    assert [scoring._parts(label, ()) for label in scoring.labels] == [(4,), (26, 27)]
    _, truth = load_labels(case, {label: scoring._parts(label, ()) for label in scoring.labels})
    assert np.bincount(truth.array.ravel()).tolist() == [128, 128, 256]
