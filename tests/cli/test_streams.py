"""`-` for standard input and output."""

import io
import json

import numpy as np
import pytest
from command_line import hollow_box, save_model

from zoo.cli import main
from zoo.volumes.files import read_volume, write_volume
from zoo.volumes.formats.recognition import LONGEST_START, suffix_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"), thresholds=[0.0] * 6)


@pytest.fixture
def piped(monkeypatch):
    def pipe(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return pipe


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "npy", "npz"])
def test_a_format_is_known_by_its_first_bytes(suffix, tmp_path):
    path = tmp_path / f"v.{suffix}"
    write_volume(hollow_box(), path)
    assert suffix_of(path.read_bytes()[:LONGEST_START]) == suffix
    assert suffix_of(b"") is suffix_of(b"GIF89a") is None


def test_a_volume_goes_through_a_pipe(model, piped, tmp_path, capfdbinary):
    write_volume(hollow_box(), tmp_path / "in.nrrd")
    assert main(["predict", model, "-i", f"{tmp_path}/in.nrrd", "-o", f"{tmp_path}/o.nii.gz"]) == 0
    capfdbinary.readouterr()
    piped((tmp_path / "in.nrrd").read_bytes())
    assert main(["predict", model, "-i", "-", "-o", "-"]) == 0
    written, said = capfdbinary.readouterr()
    assert b"standard input: 712 occupied voxels" in said and b" -> standard output\n" in said
    (tmp_path / "piped.nii.gz").write_bytes(written)
    wanted, found = (read_volume(tmp_path / f"{name}.nii.gz") for name in ("o", "piped"))
    assert np.array_equal(found.array, wanted.array) and np.allclose(found.affine, wanted.affine)


def test_a_report_alone_is_printed(model, tmp_path, capfd):
    write_volume(hollow_box(), tmp_path / "in.nrrd")
    words = ["-i", f"{tmp_path}/in.nrrd", "-o", f"{tmp_path}/o.nii.gz", "--report", "-"]
    assert main(["predict", model, *words]) == 0
    assert json.loads(capfd.readouterr().out)["voxels_in"] == 712
    assert (tmp_path / "o.nii.gz").exists()


def test_an_error_names_the_stream(model, piped, tmp_path, capfd):
    write_volume(hollow_box(), tmp_path / "in.nii")
    piped((tmp_path / "in.nii").read_bytes()[:400])
    assert main(["predict", model, "-i", "-", "-o", "o.nii.gz"]) == 2
    assert capfd.readouterr().err.startswith("zoo: standard input: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-i - -o o.nii.gz", "got b'GIF89a'; save it"),
        ("-i - a.nii -o o", "-i -: wanted nothing besides it, got 2 inputs"),
        ("-i a.nii -o - --report -", "wanted one output to be -, got 2"),
    ],
)
def test_what_cannot_be_piped_is_refused(words, said, model, piped, capfd):
    piped(b"GIF89a")
    assert main(["predict", model, *words.split()]) == 2
    assert said in capfd.readouterr().err
