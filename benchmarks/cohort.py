"""What driving a cohort costs, without what the network costs.

    python benchmarks/cohort.py [CASES] > benchmarks/results/cohort.json

CASES (10,000) volumes of 16^3 are predicted on by a network of a few weights, in this process, with
the journal; then the same command is run again with --resume, in a process of its own. It prints
cases a second, the driver's memory after each tenth of them, and the seconds of the second run.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import psutil

import zoo
from zoo.executors import Outputs, Predict, plan_jobs, run_jobs

CHANNELS = [2, 2, 4, 4, 4, 4, 16]


def make_scans(folder: Path, count: int) -> None:
    """Write the cases, a hundred in each folder."""
    grid = np.zeros((16, 16, 16), np.uint8)
    grid[4:12, 4:12, 4:12] = 1
    volume = zoo.Volume(grid, np.diag([2.0, 2, 2, 1]))
    first = folder / "first.nii.gz"
    volume.save(first)
    content = first.read_bytes()
    first.unlink()
    for number in range(count):
        path = folder / f"{number // 100:04}" / f"{number:06}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def measure(folder: Path, count: int) -> dict[str, object]:
    """Predict on the cases, then resume."""
    scans, out = folder / "scans", folder / "out"
    scans.mkdir()
    make_scans(scans, count)
    config = {"channels": CHANNELS}
    zoo.create("sparse-completion", config, backend="cpu").save(folder / "model")
    name = f"local-dir:{folder / 'model'}"
    model = zoo.load(name)
    model.shows_progress = False
    model.predict(next(scans.rglob("*.nii.gz")))  # compiles
    started = perf_counter()
    jobs = plan_jobs([scans], Outputs(out))
    planning = perf_counter() - started
    process, memory, marks = psutil.Process(), [], max(count // 10, 1)
    started = perf_counter()
    for number, outcome in enumerate(run_jobs(Predict(name), jobs, model, folder=out), 1):
        assert outcome.error is None, outcome.error
        if number % marks == 0:
            memory.append(round(process.memory_info().rss / 1e6))
    seconds = perf_counter() - started
    words = [sys.executable, "-m", "zoo", "predict", name, "-i", scans, "-o", out, "--resume"]
    started = perf_counter()
    subprocess.run([*map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return {
        "cases": count,
        "planning_seconds": round(planning, 2),
        "cases_per_second": round(count / seconds, 1),
        "driver_mb_after_each_tenth": memory,
        "resume_seconds": round(perf_counter() - started, 1),
    }


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else 10_000
    with TemporaryDirectory() as folder:
        found = measure(Path(folder), count)
    load = os.getloadavg()[0]
    where = {"cpus": os.cpu_count(), "machine": platform.machine(), "load": round(load, 1)}
    print(json.dumps({**found, **where, "zoo": zoo.__version__}, indent=2))


if __name__ == "__main__":
    main()
