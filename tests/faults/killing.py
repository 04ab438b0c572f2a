"""Trains a recipe twice at once, of which one run is killed again and again: both must end alike.

    python tests/faults/killing.py FOLDER RECIPE.yaml [--every SECONDS] [--seed N]

The time to the next kill is drawn from 0 to twice `--every`; what was killed is resumed. It prints,
as JSON, how long that took, how often it was killed, and which files differ in more than times; the
exit status is 1 if any do. Both runs have one thread.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from zoo.cards import WEIGHTS
from zoo.training._log import read_log


def start(recipe: Path, output: Path) -> subprocess.Popen[bytes]:
    """Begin a run, or go on with it, in a process group of its own."""
    words = ["train", str(recipe), "-o", str(output), "--log-every", "1000"]
    if (output / "checkpoint.safetensors").exists():
        words.append("--resume")
    with open(output.with_suffix(".txt"), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "zoo", *words],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            process_group=0,
        )


def killed_again_and_again(recipe: Path, output: Path, every: float, seed: int) -> int:
    """Train to the end, killed at random times; how often it was killed."""
    rng = random.Random(seed)
    kills = 0
    while True:
        process = start(recipe, output)
        try:
            status = process.wait(rng.uniform(0, 2 * every))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        if status:
            raise SystemExit(f"{output}: exit status {status}, see {output.with_suffix('.txt')}")
        return kills


def differences(one: Path, other: Path) -> list[str]:
    """The files of two runs that differ in more than times."""
    found = [] if logged(one) == logged(other) else ["log.csv"]
    weights, others = (run / "model" / WEIGHTS for run in (one, other))
    return found if weights.read_bytes() == others.read_bytes() else [*found, f"model/{WEIGHTS}"]


def logged(run: Path) -> list[dict[str, str]]:
    """The lines of a run's log, without their times."""
    return [{**row, "seconds": ""} for row in read_log(run / "log.csv")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--every", type=float, default=180, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    begun = time.monotonic()
    whole, killed = given.folder / "undisturbed", given.folder / "killed"
    with start(given.recipe, whole) as undisturbed:
        try:
            kills = killed_again_and_again(given.recipe, killed, given.every, given.seed)
        except BaseException:
            os.killpg(undisturbed.pid, signal.SIGKILL)
            raise
    seconds = time.monotonic() - begun
    if undisturbed.returncode:
        raise SystemExit(f"{whole}: exit status {undisturbed.returncode}")
    found = differences(whole, killed)
    facts = {
        "seconds": round(seconds),
        "kills": kills,
        "validations": len(read_log(killed / "log.csv")),
        "differences": found,
    }
    print(json.dumps(facts))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
