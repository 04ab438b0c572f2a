"""Measurements: real ones on a tiny grid, each in its own process."""

import json

import numpy as np
import pytest
from rich.console import Console

from zoo.benchmark._measure import Spec
from zoo.benchmark._suite import (
    Row,
    _works,
    filled,
    machine,
    measure_start,
    plot,
    run_measurement,
)
from zoo.benchmark.command import bench as run
from zoo.benchmark.command import table
from zoo.cli import main

SMALL = (2, 2, 4, 4, 4, 4, 16)
NOTHING = {
    "task": "completion",
    "volume": None,
    "occupancies": "",
    "train": False,
    "timeout": 1,
    "picture": None,
}


@pytest.fixture
def spec(tmp_path):
    grid = np.zeros((20, 20, 20), dtype=bool)
    grid[3:17, 3:17, 3:17] = True
    grid[5:15, 5:15, 5:15] = False
    np.save(tmp_path / "grid.npy", grid)
    facts = {"volume": str(tmp_path / "grid.npy"), "backend": "torch", "threads": 1}
    return lambda **change: Spec(**({"work": "forward", "channels": SMALL} | facts | change))


@pytest.mark.slow
def test_a_measurement_has_seconds_memory_and_voxels(spec):
    result = run_measurement(spec(work="convolution", channels=(1, 2)))
    assert result["seconds"] > 0 and result["repeats"] >= 1 and result["peak_memory"] > 0
    assert result["voxels"] == 14**3 - 10**3


@pytest.mark.slow
def test_a_measurement_that_fails_says_why(spec):
    assert "unknown backend" in run_measurement(spec(backend="tohrc"))["error"]
    assert "error" in run_measurement(spec(work="no such work"))


@pytest.mark.slow
@pytest.mark.long
def test_command_prints_ratios(tmp_path, capsys):
    """For the U-Net on a chest: the benchmark of completion also measures single convolutions."""
    path = tmp_path / "result.json"
    words = "--task segmentation --channels 2,4,4 --resolutions 16 --backends cpu,torch"
    assert main(["bench", *words.split(), "--json", "-o", str(path)]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result == json.loads(path.read_text())
    assert "forward, 16, 2,4,4, torch: " in printed.err
    assert result["machine"]["cores"] >= 1 and "torch" in result["machine"]["versions"]
    rows = {(row["work"], row["backend"]): row for row in result["rows"]}
    assert all(row["error"] is None for row in rows.values())
    assert {work for work, _ in rows} == {"index", "forward"}
    own, other = (rows["forward", name] for name in ("cpu", "torch"))
    assert 0 < own["voxels"] == other["voxels"] < 16**3
    assert own["time_ratio"] == own["memory_ratio"] == 1
    assert other["time_ratio"] == pytest.approx(other["seconds"] / own["seconds"])
    assert table(result)[0]["backend"] == "cpu"


def test_what_was_measured_is_kept_when_a_run_is_stopped(tmp_path, monkeypatch, capsys):
    path = tmp_path / "result.json"

    def stopped(*_, **__):
        yield Row(work="forward", resolution=16, channels="2", backend="cpu", error="no memory")
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.benchmark.command.run_suite", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("16", [], "cpu", device="cpu", output=path, console=Console(stderr=True), **NOTHING)
    (row,) = json.loads(path.read_text())["rows"]
    assert row["backend"] == "cpu"
    assert "forward, 16, 2, cpu: no memory" in capsys.readouterr().err


@pytest.mark.slow
def test_a_start_is_a_whole_process(spec, tmp_path):
    facts = measure_start(spec(), 300, tmp_path / "compiled")
    assert facts["seconds"] > facts["first"] > 0 and facts["repeats"] == 1


def test_a_completion_network_is_measured_with_its_parts():
    works = [work for work, _ in _works([SMALL], True, "cpu", with_parts=True, starts=True)]
    assert works[:3] == ["cold start", "warm start", "index"]
    assert works[3:] == ["convolution"] * 3 + ["forward", "train"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resolutions", "a"], "--resolutions takes numbers"),
        (["--channels", "1,2"], "--channels: channels"),
        (["--backends", "tohrc"], "torch"),
        (["--task", "magic"], "--task: wanted one of"),
        (["--volume", "nothing.nii.gz"], "no such file"),
        (["--occupancies", "0.5,2"], "shares above 0 and up to 1"),
        (["--plot", "no/such/folder.png"], "mkdir"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(words, message, capsys):
    assert main(["bench", *words]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint and complaint.count("\n") == 1


def test_shapes_fill_what_they_are_asked_to():
    for share in (0.1, 0.6, 1.0):
        grid = filled(16, share)
        assert grid.shape == (16,) * 3 and grid.mean() == pytest.approx(share, abs=1e-3)
    assert np.array_equal(filled(16, 0.1) & filled(16, 0.6), filled(16, 0.1))


@pytest.mark.slow
@pytest.mark.long
def test_backends_are_compared_by_occupancy(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = "--task segmentation --channels 2,4 --resolutions 16 --backends torch,dense"
    figure = tmp_path / "figure.png"
    command = ["bench", *words.split(), "--occupancies", "0.5", "--plot", str(figure), "--json"]
    assert main(command) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["backend"] for row in rows if row["work"] == "forward"] == ["torch", "dense"]
    assert all(row["occupancy"] == pytest.approx(0.5, abs=0.1) for row in rows)
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_plot_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        Row(work="forward", resolution=r, channels="2", backend=b, seconds=r, peak_memory=10**8)
        for b in ("cpu", "dense")
        for r in (64, 128)
    ]
    plot(rows, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_machine_is_described():
    assert machine()["processor"] and machine()["memory"] > 1e8
