"""Generated angiograms as files, and scores on them: python -m zoo_vessels {write,score}."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from zoo.plugins import ZooError, make_folder
from zoo_vessels.scans import WINDOW, measures, vessel_case, volume_of

HELD_OUT = 1_000_000  # seeds from here on are neither trained on nor validated on


def write(folder: Path, seeds: range) -> None:
    """Patient_NN/Patient_NN.nii.gz and Patient_NN/GT.nii.gz, for `zoo evaluate`."""
    for number, seed in enumerate(seeds, 1):
        name, case = f"Patient_{number:02d}", vessel_case(seed)
        make_folder(folder / name)
        volume_of(case, case.hu).save(folder / name / f"{name}.nii.gz")
        volume_of(case, case.labels).save(folder / name / "GT.nii.gz")


def score(name: str, seeds: range) -> None:
    """Print how a model does, case by case and in short; beside it, to take all in the window."""
    model, found = zoo.load(name), {}
    for seed in seeds:
        case = vessel_case(seed)
        predicted = model.predict(volume_of(case, case.hu)).volume.array
        window = ((case.hu >= WINDOW[0]) & (case.hu <= WINDOW[1])).astype(np.uint8)
        found[seed] = (*measures(predicted, case), measures(window, case)[0])
        _say(f"seed {seed}", [found[seed]])
    _say("mean", list(found.values()))
    _say("median", list(found.values()), np.median)
    _say("worst", list(found.values()), np.min)
    _say("mean of those with bone", [row for seed, row in found.items() if seed % 2 == 0])
    _say("mean of those without", [row for seed, row in found.items() if seed % 2])


def _say(what: str, rows: list[tuple[float, ...]], summary: Any = np.mean) -> None:
    if rows:
        dice, recall, window = summary(rows, axis=0)
        line = f"Dice {dice:.3f}, centreline recall {recall:.3f}; the window's Dice {window:.3f}"
        print(f"{what}: {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m zoo_vessels", description=__doc__)
    parser.add_argument("--seed", type=int, default=HELD_OUT, help="of the first case")
    parser.add_argument("--count", type=int, default=20)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("folder", type=Path)
    commands.add_parser("score").add_argument("model", nargs="?", default="vessel-segmentation-128")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.count)
    try:
        if given.command == "write":
            write(given.folder, seeds)
        else:
            score(given.model, seeds)
    except (ZooError, OSError) as error:
        print("zoo-vessels:", *str(error).splitlines(), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
