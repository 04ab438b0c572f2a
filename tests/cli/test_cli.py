"""The command line on good input: what is written, what is printed, what is skipped."""

import json
import os
import re
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
from command_line import KEEP_ALL, ROOT, contents, hollow_box, save_model, start

import zoo
from zoo import registries
from zoo.cli import main
from zoo.cli._main import COMMANDS

pytestmark = pytest.mark.slow

NAMES = ["list", "info", "predict", "evaluate", "train", "phantom", "doctor"]
NAMES += ["bench", "convert", "download", "push", "verify", "view"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def filling_model(tmp_path_factory):
    """Its answer is the whole grid."""
    return save_model(tmp_path_factory.mktemp("filling"), thresholds=KEEP_ALL)


@pytest.fixture
def run(capfd):
    """Run a command that must succeed in silence; returns what it printed."""

    def run(*words):
        status = main(list(map(str, words)))
        printed, complaints = capfd.readouterr()
        assert (status, complaints) == (0, "")
        return printed

    return run


@pytest.fixture
def scans(tmp_path):
    """A folder of three volumes; the second is damaged."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "c.d.nrrd"):
        hollow_box().save(folder / name)
    (folder / "b.nii.gz").write_bytes((folder / "b.nii.gz").read_bytes()[:90])
    (folder / "notes.txt").write_text("no volume")
    return folder


def test_every_command_has_help_that_fits_80_columns():
    assert set(NAMES) == set(COMMANDS)
    words = ("", *NAMES, "plugin")
    processes = {command: start(*command.split(), "--help") for command in words}
    helps = {command: process.communicate(timeout=60) for command, process in processes.items()}
    for command, (printed, complaints) in helps.items():
        assert (processes[command].returncode, complaints) == (0, "")
        assert f"Usage: zoo {command}" in printed
        assert max(map(len, printed.splitlines())) <= 80
    assert all(f" {command} " in helps[""][0] for command in COMMANDS)


def test_predict_writes_everything_on_the_grid_of_the_input(filling_model, run, tmp_path):
    given = hollow_box()
    given.save(tmp_path / "in.nii.gz")
    names = {"-i": "in.nii.gz", "-o": "out.nii.gz", "--implant": "implant.nii.gz"}
    names |= {"--report": "report.json", "--preview": "preview.png"}
    words = [word for key, name in names.items() for word in (key, tmp_path / name)]
    printed = run("predict", filling_model, *words)
    assert "712 occupied voxels" in printed and printed.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())
    answer, implant = (zoo.Volume.of(tmp_path / names[key]) for key in ("-o", "--implant"))
    assert answer.shape == implant.shape == given.shape
    for volume in (answer, implant):
        np.testing.assert_allclose(volume.affine, given.affine, atol=1e-5)
    outside = np.ones(given.shape)
    outside[4:15, 4:14, 4:12] = 0  # the hollow is a speck beside it
    assert answer.array.all() and np.array_equal(implant.array, outside)
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_report_states_the_facts(filling_model, run, tmp_path):
    hollow_box().save(tmp_path / "in.nii.gz")
    words = ["-i", tmp_path / "in.nii.gz", "-o", tmp_path / "out.nii", "--backend", "cpu"]
    run("predict", filling_model, *words, "--report", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["voxels_in"], report["voxels_out"]) == (712, 20 * 18 * 16)
    assert report["backend"] == "cpu" and report["versions"]["zoo"] == zoo.__version__
    assert report["peak_memory"] > 1e6
    parts = report["timings"]
    assert list(parts) == ["read", "conform", "network", "restore", "write"]
    assert all(seconds >= 0 for seconds in parts.values())
    assert sum(parts.values()) + report["seconds_compiling"] == pytest.approx(report["seconds"])
    for digest in (report["sha256"]["weights"], report["sha256"]["input"]):
        assert re.fullmatch("[0-9a-f]{64}", digest)


def test_from_a_ct_to_an_implant_and_a_page(run, tmp_path, capfd):
    """A head of balls: a shell with a hole, soft tissue, and a plate behind it."""
    places = np.moveaxis(np.indices((80, 90, 85)), 0, -1) * 2.5 - [100, 112, 106]
    radius = np.linalg.norm(places, axis=-1)
    shell = (
        (radius > 68)
        & (radius < 75)
        & ~((np.hypot(*places[..., :2].T).T < 15) & (places[..., 2] < 0))
    )
    hole = np.linalg.norm(places - [60, 0, 40], axis=-1) < 22
    values = np.where(radius < 80, 40, -1000).astype(np.int16)
    values[shell & ~hole] = 900
    values[10:70, 4:6, 10:70] = 600
    scan, page = tmp_path / "ct.nii.gz", tmp_path / "report.html"
    zoo.Volume(values, np.diag([2.5, 2.5, 2.5, 1])).save(scan)
    outputs = ["-o", tmp_path / "whole.nii.gz", "--implant", tmp_path / "implant.nii.gz"]
    more = ["--report", page, "--uncertainty", tmp_path / "shares.nii.gz", "--region", "right"]
    words = ["-i", scan, "--threshold", "auto", *outputs, *more]
    printed = run("predict", "skull-completion-64", *words, "--backend", "cpu")
    assert "bone above" in printed and "of other things" in printed
    whole, implant, shares = (
        zoo.Volume.of(tmp_path / f"{name}.nii.gz").array for name in ("whole", "implant", "shares")
    )
    assert not whole[:, :6].any()
    assert (implant & hole).sum() > 0.5 * (shell & hole).sum()
    assert shares.max() == 1
    assert "Research use only" in page.read_text()


@pytest.mark.parametrize("suffix", ["nrrd", "npz"])
def test_predict_reads_and_writes_other_formats(suffix, model, run, tmp_path):
    hollow_box().save(tmp_path / f"in.{suffix}")
    run("predict", model, "-i", tmp_path / f"in.{suffix}", "-o", tmp_path / f"out.{suffix}")
    answer = zoo.Volume.of(tmp_path / f"out.{suffix}")
    np.testing.assert_allclose(answer.affine, hollow_box().affine)
    assert answer.array[hollow_box().array != 0].all()


def test_threshold_makes_a_scan_binary(model, run, tmp_path):
    scan = np.where(hollow_box().array, 900, -1000).astype(np.int16)
    scan[0, 0, 0] = 199
    zoo.Volume(scan).save(tmp_path / "in.nii.gz")
    words = ["-i", tmp_path / "in.nii.gz", "-o", tmp_path / "out.nii.gz"]
    assert "712 occupied" in run("predict", model, *words, "--threshold", "200")
    assert "713 occupied" in run("predict", model, *words, "--threshold", "198.5")


def test_quiet_prints_nothing(model, run, tmp_path):
    hollow_box().save(tmp_path / "in.nii.gz")
    words = ["-i", tmp_path / "in.nii.gz", "-o", tmp_path / "out.nii.gz"]
    assert run("predict", model, *words, "-q") == ""
    assert (tmp_path / "out.nii.gz").exists()


def test_names_are_printed_as_they_are(model, run, tmp_path):
    """Neither wrapped nor read as markup."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    hollow_box().save(folder / "a [red] :skull:.npz")
    words = ["-i", folder / "a [red] :skull:.npz", "-o", folder / "out.npz"]
    assert run("predict", model, *words).startswith(f"{folder}/a [red] :skull:.npz: 712")


def test_folder_goes_on_after_a_failure_and_loads_the_model_once(
    model, scans, tmp_path, capfd, monkeypatch
):
    loads = []
    monkeypatch.setattr("zoo.models.loading.fill", lambda *given: loads.append(given))
    out, facts = tmp_path / "out", tmp_path / "facts"
    assert main(["predict", model, "-i", f"{scans}", "-o", f"{out}", "--report", f"{facts}"]) == 1
    printed, complaints = capfd.readouterr()
    assert len(loads) == 1
    assert printed.count("712 occupied voxels") == 2
    assert re.findall(r"^(case \d of \d), ", printed, re.M) == ["case 1 of 3", "case 3 of 3"]
    first, last = complaints.splitlines()
    assert f"{scans}/b.nii.gz" in first and "1 of 3 inputs failed" in last
    tables = [".zoo", "failures.csv", "manifest.csv"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*tables, "a.nii.gz", "c.d.nrrd"])
    assert sorted(path.name for path in facts.iterdir()) == ["a.json", "c.d.json"]


def test_debug_shows_where_a_case_of_several_failed(model, scans, capfd, tmp_path, monkeypatch):
    def predict(self, volume, **options):
        raise TypeError("a plugin's own mistake")

    monkeypatch.setattr(zoo.Model, "predict", predict)
    words = ["predict", model, "-i", str(scans), "-o", str(tmp_path / "out")]
    assert main(words) == 1
    complaint = capfd.readouterr().err
    assert "unexpected TypeError: a plugin's own mistake; --debug" in complaint
    assert "Traceback" not in complaint
    assert main([*words, "--debug"]) == 1
    assert "in predict\n    raise TypeError" in capfd.readouterr().err


def test_resume_skips_what_is_done(model, scans, run, tmp_path):
    (scans / "b.nii.gz").unlink()
    out = tmp_path / "out"
    words = ["predict", model, "-i", scans, "-o", out, "--resume"]
    assert "skipped, its outputs exist" not in run(*words)
    (out / "c.d.nrrd").unlink()
    before = contents(out)
    assert run(*words).count("skipped, its outputs exist") == 1
    after = contents(out)
    assert after[out / "a.nii.gz"] == before[out / "a.nii.gz"]
    assert out / "c.d.nrrd" in after


def test_several_inputs_go_to_a_folder(model, scans, run, tmp_path):
    words = ["-i", scans / "a.nii.gz", "-i", scans / "c.d.nrrd", "-o", tmp_path / "out"]
    run("predict", model, *words)
    assert len(list((tmp_path / "out").glob("[a-c].*"))) == 2


def test_list_shows_and_filters_models(run, monkeypatch, capfd):
    card = zoo.Card(
        name="a-model",
        task="completion",
        architecture="sparse-completion",
        input={"spacing": [1] * 3, "finest": [1] * 3, "coarsest": [1] * 3},
    )
    monkeypatch.setattr(registries.cards, "own", {"a-model": card})
    assert re.search(r"a-model +completion +- +- +zoo", run("list"))
    (row,) = json.loads(run("list", "a-*", "--task", "completion", "--json"))
    assert row["name"] == "a-model" and row["architecture"] == "sparse-completion"
    assert main(["list", "--task", "segmentation", "--json"]) == 1
    assert json.loads(capfd.readouterr().out) == []
    assert main(["list", "b*"]) == 1
    assert "no model matches 'b*'" in capfd.readouterr().err


def test_names_are_listed_as_people_sort_them_and_whole_in_a_pipe():
    done = start("list", "skull-completion-*")
    printed, _ = done.communicate(timeout=60)
    names = [line.split()[0].rstrip("*") for line in printed.splitlines()[1:-1]]
    order = [int(name.split("-")[2].split(".")[0]) for name in names]
    assert order == sorted(order) and order[0] == 64
    assert printed.count("skull-completion-512.skullfix") == 1


def test_version_and_short_help(run):
    assert run("--version") == f"zoo {zoo.__version__}\n"
    assert run("-h") == run("--help")
    assert "--threshold" in run("predict", "-h")


def test_several_inputs_after_one_flag(filling_model, run, tmp_path):
    for name in "abc":
        hollow_box().save(tmp_path / f"{name}.nii.gz")
    scans = [tmp_path / f"{name}.nii.gz" for name in "abc"]
    run("predict", filling_model, "-i", *scans, "-o", tmp_path / "out", "-q")
    found = sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz"))
    assert found == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


def test_a_folder_is_not_called_like_a_file(filling_model, tmp_path, capfd):
    for name in "ab":
        hollow_box().save(tmp_path / f"{name}.nii.gz")
    words = ["-i", tmp_path / "a.nii.gz", "-i", tmp_path / "b.nii.gz", "-o", tmp_path / "o.nii.gz"]
    assert main(["predict", filling_model, *map(str, words)]) == 2
    said = capfd.readouterr().err
    assert "wanted a folder for several inputs, got the name of a file; leave .nii.gz out" in said
    assert not (tmp_path / "o.nii.gz").exists()


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["list"], {"torch", "numba", "huggingface_hub", "numpy", "nibabel"}),
        (
            ["info", "skull-completion-64"],
            {"torch", "numba", "huggingface_hub", "numpy", "nibabel"},
        ),
        (["--version"], {"numpy", "pydantic", "yaml", "catalogue"}),
    ],
)
def test_what_says_what_there_is_imports_no_more_than_it_needs(words, unneeded):
    """Each of these modules takes a tenth of a second or more."""
    code = f"""
        import sys
        from zoo.cli import main
        assert main({words}) == 0
        sys.exit(" ".join({unneeded} & sys.modules.keys()) or 0)
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("given", ["", "OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE"])
def test_pytorch_is_told_how_to_wait_and_to_allocate_unless_the_user_says_otherwise(given):
    """It is told before it is imported, as it reads this once."""
    code = """
        import atexit, os, sys
        from zoo.cli import run
        from zoo.cli._main import PYTORCH
        assert "torch" not in sys.modules
        sys.argv = ["zoo", "--version"]
        atexit.register(lambda: print(*[f"{name}={os.environ[name]}" for name in PYTORCH]))
        run()
    """
    told = {"OMP_WAIT_POLICY": "PASSIVE", "THP_MEM_ALLOC_ENABLE": "1"}
    own = {given: "0" if given.startswith("THP") else "ACTIVE"} if given else {}
    rest = {key: value for key, value in os.environ.items() if key not in told}
    command = [sys.executable, "-c", dedent(code)]
    done = subprocess.run(command, env=rest | own, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == [f"{k}={v}" for k, v in (told | own).items()]


def test_list_and_info_show_tag_licence_and_data(run):
    lines = run("list").splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-2].startswith("* is loaded by its name without")
    assert lines[-1].startswith("+ is a demonstration")
    assert any(line.startswith("thorax-segmentation-128+ ") for line in lines)
    assert "demonstration" not in run("list", "skull-*")
    (line,) = (line for line in lines if line.startswith("skull-completion-64.skullfix*"))
    assert re.search(r"completion +cc-by-nc-sa-4.0 +SkullFix +zoo", line)
    rows = {row["name"]: row for row in json.loads(run("list", "skull-completion-64*", "--json"))}
    alone, phantom, tagged = rows.values()
    assert json.loads(run("list", "thorax*", "--json"))[0]["status"] == "demonstration"
    assert alone["card"] == tagged["name"] and alone["tag"] == "skullfix" and tagged["default"]
    assert phantom["license"] == "apache-2.0" and not phantom["default"]
    said = json.loads(run("info", "skull-completion-64", "--json"))
    assert (said["tag"], said["license"], said["datasets"]) == (
        *("skullfix", "cc-by-nc-sa-4.0", ["SkullFix"]),
    )
    assert "license       cc-by-nc-sa-4.0" in run("info", "skull-completion-64").splitlines()


def test_info_states_the_card(model, run):
    card = json.loads(run("info", model, "--json"))
    assert card["config"]["channels"] == [2, 2, 4, 4, 4, 4, 16]
    lines = run("info", model).splitlines()
    assert "  channels    2, 2, 4, 4, 4, 4, 16" in lines
    assert f"  sha256      {card['weights']['sha256']}" in lines
    assert max(map(len, lines)) <= 80


def test_doctor_tries_every_backend(run):
    checks = json.loads(run("doctor", "--json"))["backends"]
    assert {"torch", "cpu", "minkowski"} <= {check["name"] for check in checks}
    assert {check["name"] for check in checks} == set(registries.backends.names())
    assert {"torch", "cpu", "dense"} <= {check["name"] for check in checks if check["works"]}
    assert all(check["works"] or len(check["detail"]) > 20 for check in checks)
    assert re.search(r"torch +zoo +yes", run("doctor"))


def test_phantoms_of_a_seed_have_the_same_bytes(run, tmp_path):
    for folder, seed in (("one", 5), ("two", 5), ("other", 6)):
        words = ["--resolution", 16, "--seed", seed, "--count", 1]
        run("phantom", "skull", "-o", tmp_path / folder, *words)
    one, two, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in files(tmp_path / name)}
        for name in ("one", "two", "other")
    )
    names = {f"{part}/000.nii.gz" for part in ("complete_skull", "defective_skull", "implant")}
    assert {str(path) for path in one} == names
    assert one == two and one != other


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_broken_card_of_a_plugin_leaves_the_others_listed(tmp_path, monkeypatch, capsys):
    from importlib import metadata

    import catalogue

    info = tmp_path / "plug_cards-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug_cards\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text("[zoo_cards]\nbroken-model = plug_cards:card\n")
    (tmp_path / "plug_cards.py").write_text("card = '/no/such/card.md'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(catalogue, "AVAILABLE_ENTRY_POINTS", metadata.entry_points())
    assert main(["list"]) == 0
    printed = capsys.readouterr()
    assert "skull-completion-64" in printed.out and "broken-model" in printed.out
    assert "plug_cards 3.1" in printed.out and "plug_cards 3.1 is not usable" in printed.err
    assert main(["list", "--task", "completion", "--json"]) == 0
    assert "broken-model" not in capsys.readouterr().out
    assert main(["doctor"]) == 0
    assert "plug_cards 3.1 is not usable" in capsys.readouterr().out
    assert main(["info", "broken-model"]) == 2


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("zoo pre", ["predict"]),
        ("zoo predict --reg", ["--region"]),
        ("zoo info skull-superres-512.p", ["skull-superres-512.phantom"]),
    ],
)
def test_a_shell_completes_commands_options_of_tasks_and_models(typed, wanted):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    asked = {**os.environ, **words, "_ZOO_COMPLETE": "complete_bash", "PYTHONPATH": str(ROOT)}
    code = "from zoo.cli import run; run()"
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True)
    assert done.stdout.split() == wanted
