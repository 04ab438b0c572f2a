"""On a real cluster: a head without CPUs and two nodes, on this machine."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from zoo_ray import run_on_ray
from zoo_ray.cluster import check_address

import zoo
from zoo.plugins import ConfigError, Run
from zoo.testing import check_executor, command

NODE = {"include_dashboard": False, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster  # reads the environment as it is imported

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
        for _ in range(2):
            made.add_node(num_cpus=1, **NODE)
        yield made
        made.shutdown()


@pytest.fixture
def model(tmp_path):
    settings = {"channels": [2, 2, 4, 4, 4, 4, 16]}
    zoo.create("sparse-completion", settings, backend="torch").save(tmp_path / "model")
    return f"local-dir:{tmp_path / 'model'}"


@pytest.fixture
def scans(tmp_path):
    """Twelve different boxes, in two folders, and a file that is not what its name says."""
    folder = tmp_path / "scans"
    (folder / "deeper").mkdir(parents=True)
    for number in range(12):
        grid = np.zeros((16, 16, 16), np.uint8)
        grid[2 : 4 + number, 2:14, 2:14] = 1
        path = folder / ("deeper" if number % 2 else "") / f"{number:02}.nii.gz"
        zoo.Volume(grid, np.diag([2.0, 2, 2, 1])).save(path)
    (folder / "corrupt.nii.gz").write_bytes(b"junk")
    return folder


def finished(folder, pattern):
    """The files that are not in a hidden folder, where a process writes until they are complete."""
    return [path for path in folder.rglob(pattern) if ".zoo-" not in path.parent.name]


def files(folder):
    found = finished(folder, "*.nii.gz")
    return {path.relative_to(folder): path.read_bytes() for path in found}


def until(there, seconds=60):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def mounted(folder, options):
    """A tiny file system in a new folder, where the user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_nothing_is_lost_and_nothing_repeated(cluster):
    check_executor(run_on_ray, Run(address=cluster.address))


def test_a_full_disk(cluster, model, scans, tmp_path):
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 64), np.uint8)
    zoo.Volume(noise, np.diag([2.0, 2, 2, 1])).save(scans / "noise.nii.gz")
    words = ["--executor", "ray", "--address", cluster.address]
    with mounted(tmp_path / "out", "size=128k") as out:
        assert command("predict", model, "-i", scans, "-o", out, *words) == 1
        assert len(files(out)) == 12
        with (out / "failures.csv").open() as table:
            failures = {row["case"]: row["reason"] for row in csv.DictReader(table)}
        assert failures.keys() == {"corrupt", "noise"} and "No space left" in failures["noise"]


def test_a_folder_that_is_read_only(cluster, model, scans, tmp_path, capfd):
    """Every case is named, in one line each, and the run ends."""
    words = ["--executor", "ray", "--address", cluster.address]
    with mounted(tmp_path / "out", "ro") as out:
        assert command("predict", model, "-i", scans, "-o", out, *words) == 1
    complaints = [line for line in capfd.readouterr().err.splitlines() if line.startswith("zoo: ")]
    assert len(complaints) == 14 and "13 of 13 inputs failed" in complaints[-1]
    said = ("no permission to write it", "cannot be made: Read-only file system")
    assert all(any(reason in line for reason in said) for line in complaints[:-1])


class Waits:
    """Work that takes longer than Ray's memory monitor."""

    device = "cpu"

    def load(self):
        pass

    def __call__(self, job):
        time.sleep(60)
        return {}


class Bytes(int):
    """A number of bytes that notes what is asked for instead."""

    def __lshift__(self, doublings):
        self.asked.append(int(self) << doublings)
        return self.asked[-1]


def test_a_node_that_is_short_of_memory(monkeypatch):
    """Ray ends every task there: a job is tried with twice as much, and twice that, and fails."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    wanted = Bytes(50_000_000)
    wanted.asked = []
    (outcome,) = run_on_ray(Waits(), ["case"], Run(workers=1, memory=lambda job: wanted))
    assert "its node had too little memory" in str(outcome.error) and outcome.attempts == 3
    assert wanted.asked == [50_000_000, 100_000_000, 200_000_000]


def test_a_node_and_the_driver_are_killed(cluster, model, scans, tmp_path):
    """Then the run goes on where it was, with the same bytes as in one process."""
    here, out = tmp_path / "here", tmp_path / "out"
    assert command("predict", model, "-i", scans, "-o", here) == 1
    words = ["predict", model, "-i", str(scans), "-o", str(out), "--resume"]
    words += ["--executor", "ray", "--address", cluster.address]

    def entries():
        return {path: path.stat().st_mtime_ns for path in finished(out / ".zoo", "*.json")}

    with subprocess.Popen([sys.executable, "-m", "zoo", *words]) as driver:
        until(lambda: len(entries()) >= 2)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        until(lambda: len(entries()) >= 5)
        driver.send_signal(signal.SIGKILL)
    kept = entries()
    assert files(out).items() <= files(here).items()
    assert command(*words) == 1
    assert files(out) == files(here) and len(files(out)) == 12
    assert kept.items() <= entries().items() and len(entries()) == 13
    assert not list(out.rglob(".zoo-*"))
    assert json.loads((out / ".zoo" / "corrupt.json").read_text())["status"] == "failed"


def test_addresses_that_are_refused(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    check_address("127.0.0.1:6379")
    for address, said in (("here", "wanted HOST:PORT"), ("192.0.2.1:6379", "RAY_AUTH_MODE=token")):
        with pytest.raises(ConfigError, match=said):
            check_address(address)
