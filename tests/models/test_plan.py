"""Plans against what predictions really take."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

import zoo
from zoo.cli import main
from zoo.errors import VolumeError
from zoo.executors.planning import occupied_share
from zoo.volumes.volume import Volume
from zoo.volumes.voxels import pooled


@pytest.fixture(scope="module")
def model():
    return zoo.create("sparse-completion", {"channels": [2, 2, 4, 4, 4, 4, 16]}, backend="cpu")


def hollow(size):
    grid = np.zeros((size,) * 3, dtype=bool)
    grid[2:-2, 2:-2, 2:-2] = True
    grid[4:-4, 4:-4, 4:-4] = False
    return grid


def test_plan_counts_and_is_in_proportion(model):
    small, large = (model.plan(hollow(size)) for size in (40, 160))
    assert small.voxels == hollow(40).sum() and small.shape == (40, 40, 40)
    assert large.voxels == hollow(160).sum()
    assert all(plan.seconds > 0 and plan.free_memory > 0 for plan in (small, large))


def test_a_plan_is_in_proportion(model, monkeypatch):
    """By a clock and a process that are held still."""
    ticks = iter(range(100))
    monkeypatch.setattr("zoo.models.plan.perf_counter", lambda: next(ticks))  # a second a run
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=10**8))
    monkeypatch.setattr("zoo.models.plan.psutil.Process", lambda: process)
    small, large = (model.plan(hollow(size)) for size in (40, 160))
    assert small.seconds == 1  # the whole of it is the trial
    assert large.seconds > 2
    needed = [plan.peak_memory - 10**8 for plan in (small, large)]
    assert needed[1] / needed[0] == pytest.approx(large.voxels / small.voxels, rel=0.3)


def test_what_fills_blocks_needs_less_than_what_grows():
    """Super-resolution fills the blocks that it is given, and needs memory for no more voxels."""
    config = {"channels": [4, 4, 8, 8]}
    completing, refining = (
        zoo.create(f"sparse-{task}", config, backend="cpu", device="cpu").bytes_per_voxel
        for task in ("completion", "super-resolution")
    )
    assert 0.3 * completing < refining < 0.5 * completing


def test_plan_refuses_what_predict_refuses(model):
    with pytest.raises(VolumeError, match="more than two values"):
        model.plan(np.arange(27.0).reshape(3, 3, 3))


def test_pooling_keeps_any():
    grid = np.zeros((5, 4, 3), dtype=bool)
    grid[4, 1, 2] = True
    assert pooled(grid, 2).shape == (3, 2, 2)
    assert np.argwhere(pooled(grid, 2)).tolist() == [[2, 0, 1]]


def test_command_line_plan_writes_nothing(tmp_path, capsys):
    Volume(hollow(20), np.diag([3.2, 3.2, 3.2, 1])).save(tmp_path / "in.nii.gz")
    assert (
        main(["predict", "skull-completion-64", "-i", str(tmp_path / "in.nii.gz"), "--plan"]) == 0
    )
    printed = capsys.readouterr().out
    assert f"about {hollow(20).sum():,} occupied voxels, of {20**3:,} in the file" in printed
    assert " s and a peak of " in printed and " GB on cpu" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["in.nii.gz"]


def test_a_plan_is_of_no_uncertainty(tmp_path, capsys):
    words = [
        "predict",
        "skull-completion-64",
        "-i",
        "in.nii.gz",
        "--plan",
        "--uncertainty",
        "u.nii",
    ]
    assert main(words) == 2
    assert "--plan does not take --uncertainty; leave it out" in capsys.readouterr().err


def test_a_folder_is_planned_as_a_table(tmp_path, capsys, monkeypatch):
    """By its headers, and without the network."""
    monkeypatch.setattr("zoo.networks.application.generated_occupancy", None)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        Volume(hollow(20), np.diag([3.2, 3.2, 3.2, 1])).save(folder / f"{number}.nii.gz")
    (folder / "1.nii.gz").write_bytes((folder / "1.nii.gz").read_bytes()[:400])
    words = ["predict", "skull-completion-64", "-i", f"{folder}", "--plan"]
    assert main(words) == 0
    printed, remarks = capsys.readouterr()
    rows = list(csv.DictReader(printed.splitlines()))
    assert [row["case"] for row in rows] == [*"01234", "total"]
    assert {row["occupied_voxels"] for row in rows[:-1]} == {str(hollow(20).sum())}
    assert int(rows[-1]["voxels"]) == 5 * 20**3 and float(rows[-1]["seconds"]) > 0
    assert (
        "5 cases; the largest needs 0.4" in remarks and "about 00:00 on 1, 00:00 on 10, " in remarks
    )
    assert main([*words, "-o", f"{tmp_path / 'plan.csv'}"]) == 0
    assert (tmp_path / "plan.csv").read_text() == printed
    assert main([*words, "-o", f"{tmp_path / 'plan'}"]) == 2


def test_a_sample_tells_what_is_occupied(model):
    grid = np.zeros((300, 300, 300), np.uint8)
    grid[:, :, :60] = 1
    share = occupied_share(model, Volume(grid), None)
    assert share == pytest.approx(0.2, rel=0.05)
    grid[:] = 0
    grid[151, 151, 151] = 1
    assert occupied_share(model, Volume(grid), None) == 1 / 300**3
