"""A task that the zoo does not have, brought by a package that pip installs."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import yaml
from command_line import ROOT
from fresh_environment import environment, install, rows, uninstall

pytestmark = [pytest.mark.slow, pytest.mark.long]

PACKAGE = ROOT / "tests/plugins/zoo-outliers"
TASK = "outlier-removal"
RUN = {
    "architecture": "outlier-net",
    "outliers": {"edge": 20, "share": 0.03},
    "steps": 60,
    "batch_size": 2,
    "learning_rate": 0.02,
    "average": 0.8,
    "validate_every": 30,
    "validation_cases": 2,
    "statistics_batches": 4,
}
CARD = '[project.entry-points.zoo_cards]\noutliers-1 = "zoo_outliers:CARD"\n\n'


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    run = environment(tmp_path_factory.mktemp("fresh"))
    install(run, PACKAGE)
    yield run
    uninstall(run, "zoo-outliers")


@pytest.fixture(scope="module")
def trained(fresh, tmp_path_factory):
    """The folder of a model that `zoo train` made in some seconds."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    words = ("train", folder / "run.yaml", "-o", folder / "run", "--workers", "0")
    said = fresh("-m", "zoo", *words, "--backend", "torch").stdout
    assert "dice" in said
    return folder / "run" / "model"


@pytest.fixture
def skulls(fresh, tmp_path):
    fresh("-m", "zoo", "phantom", "skull", "-o", tmp_path / "data", "--resolution", "32")
    return tmp_path / "data" / "complete_skull"


def noisy_skull(fresh, path):
    """A skull among outliers, saved at `path`; returns how many voxels it has."""
    code = (
        "import numpy as np, zoo; from zoo.plugins import complete_skull;"
        "skull = complete_skull(3, 32);"
        "noise = np.random.default_rng(0).random(skull.shape) < 0.02;"
        f"zoo.Volume((skull | noise).astype(np.uint8)).save({str(path)!r}); print(skull.sum())"
    )
    return int(fresh("-c", code).stdout)


def test_it_predicts_with_an_option_of_its_own(fresh, trained, tmp_path):
    voxels = noisy_skull(fresh, tmp_path / "in.nii.gz")
    words = ("-m", "zoo", "predict", f"local-dir:{trained}", "-i", tmp_path / "in.nii.gz")
    words += ("--backend", "torch")
    fresh(*words, "-o", tmp_path / "kept.nii.gz", "--report", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["voxels_in"] > report["voxels_out"] > 0.5 * voxels
    assert list(report["timings"]) == ["read", "conform", "network", "restore"]
    fresh(*words, "-o", tmp_path / "rest.nii.gz", "--outliers-only")
    code = (
        "import zoo; kept, rest, all = (zoo.Volume.of(name).array for name in"
        " ('kept.nii.gz', 'rest.nii.gz', 'in.nii.gz')); print(((kept + rest) == all).all())"
    )
    assert fresh("-c", code, folder=tmp_path).stdout.strip() == "True"
    refused = fresh(*words, "-o", tmp_path / "no.nii.gz", "--chain", check=False)
    assert refused.returncode == 2 and "which takes only outliers_only" in refused.stderr
    unknown = fresh(*words, "-o", tmp_path / "no.nii.gz", "--outlier-only", check=False)
    assert unknown.returncode == 2 and "No such option" in unknown.stderr


def test_it_plans(fresh, trained, tmp_path):
    noisy_skull(fresh, tmp_path / "in.nii.gz")
    words = ("predict", f"local-dir:{trained}", "-i", tmp_path / "in.nii.gz", "--plan")
    assert f"occupied voxels, of {32**3:,} in" in fresh("-m", "zoo", *words).stdout


def test_it_is_scored_by_its_own_columns(fresh, trained, skulls, tmp_path):
    words = ("evaluate", f"local-dir:{trained}", "--data", skulls, "-o", tmp_path / "out")
    words += ("--backend", "torch")
    facts = rows(fresh, *words, "--share", "0.05")
    assert facts["share"] == 0.05 and facts["scored"] == 1
    assert 0.5 < facts["summary"]["dice"]["mean"] <= 1
    assert (tmp_path / "out" / "cases.csv").read_text().startswith("case,seconds,peak_memory,dice")
    assert list((tmp_path / "out").glob("worst-1-*.png"))


def test_it_is_verified_and_listed(fresh, trained, tmp_path):
    """With a card in its package, as a plugin ships one."""
    package = tmp_path / "zoo-outliers"
    shutil.copytree(PACKAGE, package)
    folder = package / "zoo_outliers"
    card = (trained / "README.md").read_text()
    weights = (trained / "model.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    assert digest in card
    (folder / "outliers-1.md").write_text(re.sub(r"(?m)^  name: .*$", "  name: outliers-1", card))
    (folder / "outliers-1.safetensors").write_bytes(weights)
    for case in trained.glob("golden-*"):
        shutil.copy(case, folder / f"outliers-1.{case.name}")
    project = package / "pyproject.toml"
    project.write_text(project.read_text().replace("[tool.hatch", CARD + "[tool.hatch"))
    with (folder / "__init__.py").open("a") as file:
        file.write('\nfrom pathlib import Path\nCARD = Path(__file__).parent / "outliers-1.md"\n')
    install(fresh, package)
    (row,) = rows(fresh, "list", "--task", TASK)
    assert row["name"] == "outliers-1" and row["origin"] == "zoo-outliers 0.1.0"
    verdicts = rows(fresh, "verify", "outliers-1", "--backends", "torch,dense")
    assert [verdict["agrees"] for verdict in verdicts] == [True] * 2
    code = (
        "import numpy as np, zoo; model = zoo.load('outliers-1', backend='torch');"
        "print(model.predict(np.eye(8)[None].repeat(8, 0), outliers_only=True).volume.shape)"
    )
    assert fresh("-c", code).stdout.strip() == "(8, 8, 8)"


def test_it_is_benchmarked(fresh, tmp_path):
    words = ("bench", "--task", TASK, "--resolutions", "16", "--backends", "torch,dense")
    result = rows(fresh, *words)
    forward = [row for row in result["rows"] if row["work"] == "forward"]
    assert [row["backend"] for row in forward] == ["torch", "dense"]
    assert all(np.isfinite(row["seconds"]) and not row["error"] for row in forward)


def test_a_config_with_another_tasks_section_is_refused(fresh, tmp_path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN | {"thorax": {}}))
    words = ("-m", "zoo", "train", tmp_path / "run.yaml", "-o", tmp_path / "run")
    refused = fresh(*words, check=False)
    assert refused.returncode == 2 and "thorax: Extra inputs are not permitted" in refused.stderr


def test_nothing_of_it_is_left(fresh, tmp_path):
    """A card of a task whose package is not there says which tasks are."""
    assert {"package": "zoo-outliers 0.1.0", "kind": "task", "name": TASK} in rows(fresh, "doctor")[
        "plugins"
    ]
    uninstall(fresh, "zoo-outliers")
    try:
        refused = fresh("-m", "zoo", "list", "--task", TASK, check=False)
        assert refused.returncode == 2 and "the tasks are: completion" in refused.stderr
    finally:
        install(fresh, PACKAGE)
