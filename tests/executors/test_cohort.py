"""Many cases: what the journal keeps, what is done again, and disks that are full or read-only."""

import csv
import json
import os
import platform
import signal
import time

import nibabel as nib
import numpy as np
import pytest
from command_line import hollow_box, mounted, save_model, start

import zoo
from zoo.cli import main
from zoo.cli.predict import shard_of
from zoo.errors import ConfigError, ReadError
from zoo.executors import done_in, inputs_of
from zoo.models import Model


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "model")


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    for name in ("a", "b", "deeper/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        hollow_box().save(folder / f"{name}.nii.gz")
    return folder


def predict(*words, status=0):
    assert main(["predict", *map(str, words)]) == status


def entry(out, case):
    return json.loads((out / ".zoo" / f"{case}.json").read_text())


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_folders_below_a_folder_keep_their_names(model, scans, tmp_path, capfd):
    out = tmp_path / "out"
    predict(model, "-i", scans, "-o", out)
    assert (out / "deeper" / "a.nii.gz").exists() and (out / "a.nii.gz").exists()
    found = entry(out, "deeper/a")
    assert found["status"] == "done" and found["attempts"] == 1 and found["reason"] is None
    assert len(found["sha256"]["input"]) == 64 and len(found["sha256"]["weights"]) == 64
    assert [row["case"] for row in table(out / "manifest.csv")] == ["a", "b", "deeper/a"]
    assert not (out / "failures.csv").exists()


def test_resume_goes_by_the_journal(model, scans, tmp_path, capfd):
    out = tmp_path / "out"
    words = [model, "-i", scans, "-o", out, "--resume"]
    predict(*words)
    capfd.readouterr()
    predict(*words)
    assert capfd.readouterr().out.count("skipped, its outputs exist") == 3
    os.utime(scans / "a.nii.gz")  # touched, but the same
    hollow_box().with_array(hollow_box().array[::-1]).save(scans / "b.nii.gz")
    (out / "deeper" / "a.nii.gz").unlink()
    predict(*words)
    printed = capfd.readouterr().out
    assert printed.count("skipped") == 1
    assert "b.nii.gz: predicted again: the input changed" in printed
    assert "a.nii.gz: predicted again: an output is missing" in printed
    predict(*words, "--threshold", "0.5")
    assert capfd.readouterr().out.count("predicted again: another threshold") == 3
    other = save_model(tmp_path / "other", channels=[3, 2, 4, 4, 4, 4, 16])
    predict(other, *words[1:], "--threshold", "0.5")
    assert capfd.readouterr().out.count("or other weights") == 3
    (out / ".zoo" / "a.json").write_text("{")
    predict(other, *words[1:], "--threshold", "0.5")
    assert capfd.readouterr().out.count("skipped") == 2


def test_what_failed_is_named_and_tried_again_when_asked(model, scans, tmp_path, capfd):
    out = tmp_path / "out"
    (scans / "b.nii.gz").write_bytes(b"junk")
    words = [model, "-i", scans, "-o", out, "--resume"]
    predict(*words, status=1)
    (row,) = table(out / "failures.csv")
    assert row["case"] == "b" and "b.nii.gz" in row["reason"]
    capfd.readouterr()
    predict(*words, status=1)
    assert "failed before" in capfd.readouterr().err
    predict(*words, "--retry-failed", status=1)
    assert entry(out, "b")["attempts"] == 2
    hollow_box().save(scans / "b.nii.gz")
    predict(*words)
    assert entry(out, "b")["status"] == "done" and not (out / "failures.csv").exists()


@pytest.mark.slow
def test_workers_give_the_same_bytes(model, scans, tmp_path):
    for name, more in (("here", []), ("one", ["--workers", "1"]), ("two", ["--workers", "2"])):
        predict(model, "-i", scans, "-o", tmp_path / name, *more)
    for path in ("a.nii.gz", "b.nii.gz", "deeper/a.nii.gz"):
        contents = {(tmp_path / name / path).read_bytes() for name in ("here", "one", "two")}
        assert len(contents) == 1


@pytest.mark.slow
def test_shards_divide_the_cases(model, scans, tmp_path):
    out = tmp_path / "out"
    for part in (1, 2):
        predict(model, "-i", scans, "-o", out, "--shard", f"{part}/2")
        assert (out / f"manifest.{part}-of-2.csv").exists()
    done = [len(table(out / f"manifest.{part}-of-2.csv")) for part in (1, 2)]
    assert sorted(done) == [1, 2] and len(list(out.rglob("*.nii.gz"))) == 3


def test_a_slurm_array_is_a_shard():
    array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "5"}
    assert shard_of(None, array) == (3, 4) and shard_of(None, {}) == (1, 1)
    assert shard_of("2/3", array) == (2, 3)
    for wrong in ("2", "a/b", "1/"):
        with pytest.raises(ConfigError, match="wanted I/N"):
            shard_of(wrong, {})


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on(model, tmp_path):
    """By SIGKILL, three times; every file is whole, and nothing that was journalled is repeated."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for number in range(12):
        hollow_box().save(scans / f"{number:02}.nii.gz")
    words = ["predict", model, "-i", scans, "-o", out, "--resume"]
    for _ in range(3):
        process = start(*words)
        deadline = time.monotonic() + 60
        before = len(list(out.glob(".zoo/*.json")))
        while len(list(out.glob(".zoo/*.json"))) < before + 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        kept = {path: path.stat().st_mtime_ns for path in out.glob(".zoo/*.json")}
        for path in kept:
            zoo.Volume.of(out / f"{path.stem}.nii.gz")
    half_written = out / ".zoo" / f".zoo-{platform.node()}-{process.pid}-killed" / "11.json"
    half_written.parent.mkdir()
    half_written.write_text("{")
    assert {entry.case for entry in done_in(out)} == {path.stem for path in kept}
    predict(*words[1:])
    assert not list(out.rglob(".zoo-*"))
    assert len(list(out.glob("*.nii.gz"))) == 12
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


def test_a_full_disk(model, scans, tmp_path, capfd):
    """What fits is there, whole, and in the journal; what does not is named."""
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 64), np.uint8)
    zoo.Volume(noise, np.diag([2.0, 2, 2, 1])).save(scans / "c.nii.gz")
    out = tmp_path / "out"
    out.mkdir()
    with mounted(out, "size=64k"):
        predict(model, "-i", scans, "-o", out, status=1)
        assert "No space left" in entry(out, "c")["reason"]
        assert [row["case"] for row in table(out / "failures.csv")] == ["c"]
        assert sorted(path.name for path in out.rglob("*.nii.gz")) == ["a.nii.gz"] * 2 + [
            "b.nii.gz"
        ]
        for path in out.rglob("*.nii.gz"):
            zoo.Volume.of(path)


def test_a_folder_that_is_read_only(model, scans, tmp_path, capfd):
    out = tmp_path / "out"
    out.mkdir()
    with mounted(out, "ro"):
        predict(model, "-i", scans, "-o", out, status=1)
    lines = capfd.readouterr().err.splitlines()
    assert [line.count(".nii.gz: ") for line in lines[:2]] == [2, 2]
    assert "no permission to write it" in lines[0] and "3 of 3 inputs failed" in lines[-1]


def test_a_volume_larger_than_its_file(model, scans, tmp_path):
    """Its header is sound, and asks for 8 TB."""
    header = nib.Nifti1Header()
    header.set_data_shape((20000, 20000, 20000))
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"] = b"n+1", 352
    (scans / "large.nii").write_bytes(header.binaryblock + bytes(4096))
    out = tmp_path / "out"
    predict(model, "-i", scans, "-o", out, status=1)
    (row,) = table(out / "failures.csv")
    assert row["case"] == "large" and "large.nii" in row["reason"]


def test_a_volume_larger_than_the_memory(model, scans, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.volumes.formats._bounds.free_memory", lambda: 1000)
    out = tmp_path / "out"
    predict(model, "-i", scans, "-o", out, status=1)
    reasons = [row["reason"] for row in table(out / "failures.csv")]
    assert len(reasons) == 3 and all("wanted voxels that fit into memory" in r for r in reasons)


def test_lists_and_patterns(scans, tmp_path):
    (tmp_path / "list.txt").write_text("scans/b.nii.gz\n\nscans/a.nii.gz\n")
    (tmp_path / "list.csv").write_text("id,input\n1,scans/a.nii.gz\n2,scans/deeper\n")
    assert [each.name for each in inputs_of([tmp_path / "list.txt"])] == ["b", "a"]
    found = inputs_of([tmp_path / "list.csv"])
    assert [each.name for each in found] == ["a", "deeper/a"]
    matched = inputs_of([tmp_path / "scans" / "*.nii.gz"])
    assert [each.name for each in matched] == ["a", "b"]
    for wrong, said in ((tmp_path / "none*.nii", "matches"), (tmp_path / "empty.txt", "got none")):
        (tmp_path / "empty.txt").write_text("\n")
        with pytest.raises(ReadError, match=said):
            inputs_of([wrong])


def test_two_inputs_of_one_name_keep_their_folders(scans, model, tmp_path):
    out = tmp_path / "out"
    names = "a.nii.gz", "deeper/a.nii.gz"
    hollow_box().with_array(hollow_box().array[::-1]).save(scans / names[1])
    predict(model, "-i", scans / names[0], "-i", scans / names[1], "-o", out)
    assert len(list(out.rglob("*.nii.gz"))) == 2
    for name in names:
        predict(model, "-i", scans / name, "-o", tmp_path / "alone.nii.gz")
        alone, together = (zoo.Volume.of(p).array for p in (tmp_path / "alone.nii.gz", out / name))
        assert np.array_equal(alone, together)


def test_a_list_that_names_itself(tmp_path):
    (tmp_path / "one.txt").write_text("other.txt\n")
    (tmp_path / "other.txt").write_text("one.txt\n")
    with pytest.raises(ReadError, match="one that names itself"):
        inputs_of([tmp_path / "one.txt"])


def test_no_output_replaces_an_input(model, scans, capfd):
    """Not even that of another case."""
    before = (scans / "deeper" / "a.nii.gz").read_bytes()
    words = ["-i", scans / "a.nii.gz", scans / "deeper" / "a.nii.gz", "-o", scans]
    predict(model, *words, status=2)
    assert "is one of the inputs" in capfd.readouterr().err
    (scans / "more").mkdir()
    (scans / "more" / "a.nii.gz").symlink_to(scans / "a.nii.gz")
    predict(model, "-i", scans / "more" / "a.nii.gz", scans / "b.nii.gz", "-o", scans, status=2)
    assert (scans / "deeper" / "a.nii.gz").read_bytes() == before


def test_outputs_below_the_inputs_are_not_predicted_on(model, scans, capfd):
    words = ["-i", scans, "-o", scans / "out", "--implant", scans / "implants", "--resume"]
    predict(model, *words)
    written = sorted(scans.rglob("*.nii.gz"))
    assert len(written) == 9
    capfd.readouterr()
    predict(model, *words)
    assert capfd.readouterr().out.count("skipped") == 3
    assert sorted(scans.rglob("*.nii.gz")) == written


def test_two_formats_of_one_name_are_two_cases(model, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in ("x.nii.gz", "x.npz", "y.nii.gz"):
        hollow_box().save(scans / name)
    (scans / "x.npz").write_bytes(b"junk")
    words = [model, "-i", scans, "-o", out, "--resume"]
    predict(*words, status=1)
    assert [row["case"] for row in table(out / "manifest.csv")] == ["x.nii.gz", "x.npz", "y"]
    assert [row["case"] for row in table(out / "failures.csv")] == ["x.npz"]


def test_what_a_killed_process_left_is_removed_from_all_folders(model, scans, tmp_path):
    out, implants = tmp_path / "out", tmp_path / "implants"
    left = [folder / f".zoo-{platform.node()}-{2**30}-killed" for folder in (out, implants)]
    for folder in left:
        folder.mkdir(parents=True)
    predict(model, "-i", scans, "-o", out, "--implant", implants)
    assert not any(folder.exists() for folder in left)


def test_a_moved_folder_is_resumed(model, scans, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    predict(model, "-i", scans, "-o", "out", "--implant", "out/implants")
    (tmp_path / "out").rename(tmp_path / "moved")
    capfd.readouterr()
    there = tmp_path / "moved"
    predict(model, "-i", scans, "-o", there, "--implant", there / "implants", "--resume")
    assert capfd.readouterr().out.count("skipped") == 3
    assert table(there / "manifest.csv")[0]["output"] == str(there / "a.nii.gz")


def test_an_input_that_is_replaced_while_it_is_predicted_is_done_again(
    model, scans, tmp_path, monkeypatch, capfd
):
    predicted = Model.predict

    def replaced(self, source, **options):
        found = predicted(self, source, **options)
        hollow_box().with_array(hollow_box().array[::-1]).save(source)
        return found

    words = [model, "-i", scans / "a.nii.gz", scans / "b.nii.gz", "-o", tmp_path / "out"]
    with monkeypatch.context() as patch:
        patch.setattr(Model, "predict", replaced)
        predict(*words)
    predict(*words, "--resume")
    assert capfd.readouterr().out.count("predicted again: the input changed") == 2


def test_a_task_of_an_array_predicts_on_the_volume_that_it_is_given(
    model, scans, tmp_path, monkeypatch
):
    """The other tasks have volumes of their own."""
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "4")
    predict(model, "-i", scans / "a.nii.gz", "-o", tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").exists()


def test_what_a_table_holds_is_no_formula(model, scans, tmp_path):
    (scans / "=1+1.nii.gz").write_bytes(b"junk")
    out = tmp_path / "out"
    predict(model, "-i", scans, "-o", out, status=1)
    (row,) = table(out / "failures.csv")
    assert row["case"] == "'=1+1"
