"""The command line on bad input: exit status 2, one line that helps, nothing written or changed."""

import os
import signal

import nibabel as nib
import numpy as np
import pytest
from command_line import contents, hollow_box, mounted, save_model, start

from zoo.cli import main
from zoo.cli._console import caution, complain, remark, say
from zoo.volumes.volume import Volume

BOX = hollow_box().array
SCAN = np.where(BOX, 900, -1000).astype(np.int16)
SCAN[0, 0, 0] = 5
NOT_A_NUMBER = np.where(BOX, np.nan, 0).astype(np.float32)
COLOUR = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
NO_ROTATION = np.diag([0.0, 0, 0, 1])
FLAT = np.diag([2.0, 2, 0, 1])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def given(tmp_path):
    """A good volume, and an older answer beside it."""
    hollow_box().save(tmp_path / "in.nii.gz")
    (tmp_path / "out.nii.gz").write_bytes(b"the old answer")
    return tmp_path / "in.nii.gz"


@pytest.fixture
def refused(tmp_path, capfd, monkeypatch):
    """Run a command below tmp_path that must be refused; returns its one line."""
    monkeypatch.chdir(tmp_path)

    def refused(*words):
        before = contents(tmp_path)
        status = main(list(map(str, words)))
        printed, complaint = capfd.readouterr()
        assert (status, printed) == (2, "")
        assert contents(tmp_path) == before
        return one_line(complaint)

    return refused


def one_line(complaint):
    assert complaint.startswith("zoo: ") and complaint.endswith("\n")
    assert complaint.count("\n") == 1
    assert "Traceback" not in complaint and "unexpected" not in complaint
    return complaint


def damage(length=None, content=None):
    return lambda path: path.write_bytes(content or path.read_bytes()[:length])


def image(array, affine=None):
    def write(path):
        made = nib.Nifti1Image(array, np.eye(4))
        if affine is not None:
            made.set_sform(affine, 1)
        made.to_filename(path)

    return write


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("in.nii.gz", os.unlink, "no such file; check the path"),
        ("in.nii.gz", damage(0), "the file is empty; copy it again"),
        ("in.nii.gz", damage(100), "wanted a complete .nii.gz file, got: Compressed file ended"),
        ("in.nii", damage(2000), "wanted a complete .nii file, got: Expected 5760 bytes"),
        ("in.nii", damage(200), "wanted a complete .nii file"),
        ("in.nii.gz", damage(content=b"some text\n" * 99), "got: Not a gzipped file"),
        ("in.nii", damage(content=b"some text\n" * 99), "not a NIfTI header"),
        ("in.nii.gz", image(BOX[0]), "wanted 3 dimensions, got shape (18, 16)"),
        ("in.nii.gz", image(np.stack([BOX] * 2, -1)), "got shape (20, 18, 16, 2); select one"),
        ("in.nii.gz", image(COLOUR), "convert colour"),
        ("in.nii.gz", image(0 * BOX), "wanted an occupied voxel, got none"),
        ("in.nii.gz", image(0 * BOX + 1), "wanted an empty voxel, got none"),
        ("in.nii.gz", image(NOT_A_NUMBER), f"got {np.isnan(NOT_A_NUMBER).sum()} NaN voxels"),
        ("in.nii.gz", image(SCAN), "more than two values between -1000 and 900; give threshold="),
        ("in.nii.gz", image(BOX, NO_ROTATION), "invertible affine"),
        ("in.nii.gz", image(BOX, FLAT), "invertible affine"),
    ],
)
def test_bad_volumes(name, spoil, said, model, tmp_path, refused):
    path = tmp_path / name
    hollow_box().save(path)
    spoil(path)
    line = refused("predict", model, "-i", path, "-o", tmp_path / "out.nii.gz")
    assert str(path) in line and said in line


def test_threshold_is_named_where_it_is_needed(model, tmp_path, refused):
    image(SCAN)(tmp_path / "in.nii")
    words = ["predict", model, "-i", "in.nii", "-o", "out.nii"]
    assert "(--threshold)" in refused(*words)
    assert "wanted an occupied voxel" in refused(*words, "--threshold", "900")
    assert "wanted an empty voxel" in refused(*words, "--threshold", "-1001")
    assert "between -1000 and 900" in refused(*words, "--threshold", "1e9")


@pytest.mark.slow
def test_broken_headers_leave_no_lines_of_the_library(model, given, tmp_path):
    """nibabel logs to the stderr of its import, so this takes a process of its own."""
    header = nib.Nifti1Image(BOX, np.eye(4)).header
    header["datatype"] = 77
    given.with_name("in.nii").write_bytes(header.binaryblock + bytes(4) + BOX.tobytes())
    words = ["-i", tmp_path / "in.nii", "-o", tmp_path / "out.nii"]
    process = start("predict", model, *words)
    assert "data code 77 not recognized" in one_line(process.communicate(timeout=60)[1])
    assert process.returncode == 2


@pytest.mark.slow
def test_broken_extensions_leave_no_warnings_of_the_library(model, given, tmp_path):
    """Found by tests/fuzz: nibabel warns of them, on lines of its own."""
    made = nib.Nifti1Image(BOX, np.eye(4))
    made.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"x" * 24))
    content = bytearray(made.to_bytes())
    content[352] = 30  # bytes; no multiple of 16
    given.with_name("in.nii").write_bytes(content)
    words = ["-i", tmp_path / "in.nii", "-o", tmp_path / "out.nii"]
    process = start("predict", model, *words, "--backend", "torch")
    assert process.communicate(timeout=60)[1] == ""


def test_folders_that_hold_or_take_nothing(model, given, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    assert "no volume in this folder" in refused("predict", model, "-i", "empty", "-o", "out")
    assert "got the root of the file system" in refused("predict", model, "-i", "/", "-o", "out")
    assert "absent/out: its folder" in refused("predict", model, "-i", ".", "-o", "absent/out")
    assert "got a file" in refused("predict", model, "-i", ".", "-o", "out.nii.gz")
    (tmp_path / "in.nrrd").write_bytes(b"")
    assert "would both write" in refused(
        *("predict", model, "-i", "in.nii.gz", "-i", "in.nrrd", "-o", "out", "--report", "facts")
    )
    assert "unknown backend" in refused("predict", model, "-i", ".", "-o", "out", "--backend", "x")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backend", "cup"], "unknown backend 'cup'; the nearest are: cpu"),
        (["-d", "gpu7"], "device 'gpu7' does not work here: wanted auto, cpu, cuda or cuda:N"),
        (["-o", "absent/out.nii.gz"], "its folder does not exist; create it first: mkdir -p"),
        (["-o", "/proc/self/out.nii.gz"], "/proc/self/out.nii.gz: no permission"),
        (["-o", "out.xyz"], "wanted a file name that ends in one of"),
        (["-o", "out"], "wanted a file name that ends in one of"),
        (["-o", "."], "got a folder"),
        (["-o", "in.nii.gz"], "is also the input or another output"),
        (["-o", "./../{folder}/in.nii.gz"], "is also the input or another output"),
        (["-o", "link.nii.gz"], "is also the input or another output"),
        (["-i", "link.nii.gz", "-o", "in.nii.gz"], "is also the input or another output"),
        (["--implant", "out.nii.gz"], "is also the input or another output"),
        (["--implant", "implant.png"], "wanted a file name that ends in one of"),
        (["--preview", "preview.jpg"], "ends in .png"),
        (["--report", "absent/report.json"], "its folder does not exist"),
        (["--threshold", "high"], "Invalid value for '--threshold'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_refused_before_weights_are_fetched(
    options, said, model, given, tmp_path, refused, monkeypatch
):
    monkeypatch.setattr("zoo.models.loading.find_weights", lambda *_, **__: pytest.fail("too late"))
    (tmp_path / "link.nii.gz").symlink_to(given)
    options = [option.format(folder=tmp_path.name) for option in options]
    words = [*([] if "-i" in options else ["-i", "in.nii.gz"])]
    words += [*([] if "-o" in options else ["-o", "out.nii.gz"]), *options]
    assert said in refused("predict", model, *words)


def test_output_on_a_read_only_file_system(model, given, tmp_path, refused):
    folder = tmp_path / "mounted"
    folder.mkdir()
    with mounted(folder, "ro,size=64k"):
        assert "no permission" in refused("predict", model, "-i", given, "-o", folder / "out.nii")


@pytest.mark.slow
def test_full_disk(model, given, tmp_path, refused):
    folder = tmp_path / "mounted"
    folder.mkdir()
    with mounted(folder, "size=8k"):
        (folder / "out.nii").write_bytes(b"the old answer")
        line = refused("predict", model, "-i", given, "-o", folder / "out.nii")
        assert f"{folder}/out.nii: not written: No space left on device; free some space" in line


def test_unknown_models_list_the_nearest(model, given, tmp_path, refused, monkeypatch):
    from zoo import registries

    monkeypatch.setattr(registries.cards, "own", {"skull-completion": "nowhere.md"})
    for command in (["info"], ["predict", "-i", "in.nii.gz", "-o", "out.nii.gz"]):
        line = refused(*command, "skul-completion")
        assert "unknown model 'skul-completion'; the nearest are: skull-completion" in line
    assert "no folder absent" in refused("info", "local-dir:absent")
    assert "unknown task 'x'; the tasks are: completion" in refused("list", "--task", "x")


def test_changed_weights_are_refused(given, tmp_path, refused):
    name = save_model(tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    assert "wanted sha256" in refused("predict", name, "-i", given, "-o", "out.nii.gz")


WITHOUT_MINKOWSKI = """
import sys
from zoo.cli import main
class Hidden:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0].startswith("MinkowskiEngine"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden)
sys.exit(main())
"""


@pytest.mark.slow
def test_minkowski_engine_absent(model, given, tmp_path):
    before = contents(tmp_path)
    words = ["-i", given, "-o", tmp_path / "out.nii.gz", "--backend", "minkowski"]
    process = start("predict", model, *words, code=WITHOUT_MINKOWSKI)
    line = one_line(process.communicate(timeout=60)[1])
    assert "MinkowskiEngine is not installed" in line and "tools/minkowski_wheel.sh" in line
    assert process.returncode == 2 and contents(tmp_path) == before


STOP_WHILE_WRITING = """
import sys, time
from zoo.volumes.formats import nifti
from zoo.cli import main
def write(volume, path):
    path.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
nifti.write = write
sys.exit(main())
"""


@pytest.mark.slow
def test_ctrl_c_while_writing(model, given, tmp_path):
    before = contents(tmp_path)
    words = ["-i", given, "-o", tmp_path / "out.nii.gz"]
    process = start("predict", model, *words, code=STOP_WHILE_WRITING)
    assert process.stdout.readline() == "writing\n"
    assert len(list(tmp_path.rglob("*"))) == 4  # input, old answer, hidden folder, half an answer
    process.send_signal(signal.SIGINT)
    assert "interrupted" in one_line(process.communicate(timeout=60)[1])
    assert process.returncode == 130 and contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["list --help", "doctor --json"])
def test_broken_pipe_is_silent(command):
    process = start(*command.split())
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


CONFIG = "architecture: sparse-completion\nconfig: {channels: [2, 2, 4, 4, 4, 4, 16]}\nsteps: 1\n"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "no training config at config.yaml"),
        ("", "got None"),
        ("a: [b", "not readable as YAML"),
        (CONFIG + "phantoms: {resolutoin: 64}", "phantoms.resolutoin"),
        (CONFIG + "steps: many", "steps: Input should be a valid integer"),
        (CONFIG + "learning_rate: -1", "learning_rate: Input should be greater than 0 (got -1)"),
    ],
)
def test_bad_training_configs(config, said, tmp_path, refused):
    if config is not None:
        (tmp_path / "config.yaml").write_text(config)
    line = refused("train", "config.yaml", "-o", "run")
    assert "config.yaml" in line and said in line


@pytest.mark.slow
def test_training_never_overwrites_a_run(tmp_path, refused):
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert "contains no checkpoint" in refused("train", "config.yaml", "-o", "run", "--resume")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"days of work")
    assert "pass --resume to continue" in refused("train", "config.yaml", "-o", "run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "wanted a command (see --help)"),
        ("predct", "No such command 'predct'. Did you mean 'predict'?"),
        ("predict", "Missing argument"),
        ("predict x -i in.nii", "wanted -o PATH"),
        ("info --jsn x", "No such option: --jsn"),
        ("phantom skul -o out", "unknown phantom 'skul'; the kinds are: skull"),
        ("phantom skull -o out --count many", "Invalid value for '--count'"),
        ("phantom skull -o out --resolution 4", "greater than or equal to 8"),
        ("phantom skull -o /proc/self/out --resolution 8", "cannot be made"),
        ("evaluate {model} --data absent", "absent: wanted a folder with defective_skull/"),
    ],
)
def test_wrong_usage(words, said, model, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.format(model=model).split()) == 2
    assert said in one_line(capfd.readouterr().err)
    assert contents(tmp_path) == {}


def test_evaluate_names_the_missing_answer(model, tmp_path, refused):
    for part in ("defective_skull", "complete_skull", "implant"):
        (tmp_path / part).mkdir()
    assert "no volume in this folder" in refused("evaluate", model, "--data", ".")
    for part in ("defective_skull", "complete_skull"):
        Volume(BOX).save(tmp_path / part / "7.nii")
    assert "implant/7.nii: no such file" in refused("evaluate", model, "--data", ".")
    Volume(BOX[1:]).save(tmp_path / "implant" / "7.nii")
    line = refused("evaluate", model, "--data", ".")
    assert "implant/7.nii: wanted shape (20, 18, 16)" in line and "(19, 18, 16)" in line


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback(place, model, tmp_path, capfd):
    words = ["info", f"local-dir:{tmp_path}/absent"]
    words.insert(place, "--debug")
    assert main(words) == 2
    complaint = capfd.readouterr().err
    assert "Traceback" in complaint and "ConfigError" in complaint


def test_a_mistake_of_the_zoo_is_one_line_too(model, given, capfd, monkeypatch):
    def fail(*_):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("zoo.tasks.completion._prediction.occupied_in", fail)
    assert main(["predict", model, "-i", f"{given}", "-o", f"{given.parent}/out.nii.gz"]) == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert "unexpected RuntimeError: first line second line; --debug" in complaint


def test_names_cannot_break_lines_or_colour_them(capsys):
    """Files may be called anything."""
    for tell in (say, remark, complain, caution):
        tell("a\nb\x1b[31m/[bold]c.nii.gz")
    said = capsys.readouterr()
    assert said.out == "a b\N{REPLACEMENT CHARACTER}[31m/[bold]c.nii.gz\n"
    assert said.err.count("\n") == 3 and "\x1b" not in said.err
