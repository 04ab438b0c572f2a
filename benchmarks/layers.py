"""How near the machine's limits the convolutions of a model come, and what a second thread gives.

    python benchmarks/layers.py MODEL VOLUME [--threshold T] [-o RESULT.json]

MODEL predicts on VOLUME with backend `cpu`, in one pass. Each row is a call of the backend: a
convolution, or a transfer of rows, which has no kernel. Its columns: the length of the kernel's
edge; the voxels and channels of its source and target; its milliseconds with all threads; the
percentage of them that its bytes and operations take at rates measured just before (the roofline);
and the efficiency of the threads: the time of one, divided by the time and the number of all. Calls
that take less than a hundredth of the network's time are in the result alone. The last rows are
sums; what is neither is indices, norms and activations. Nothing else should run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

import zoo
from zoo.benchmark import Tally, machine, rates, tallied
from zoo.volumes import atomic_path, read_volume

REPEATS = 3


class Run(NamedTuple):
    """The shortest times of a few predictions.

    Attributes:
        calls: those of the backend.
        seconds: of the whole network, with nothing counted.
    """

    calls: Tally
    seconds: float

    def of(self, *methods: str) -> float:
        """The seconds of some methods."""
        return sum(call.seconds for call in self.calls if call.method in methods)


def run(model: zoo.Model, predict: Any, threads: int) -> Run:
    """Predict a few times with so many threads."""
    torch.set_num_threads(threads)
    own, tallies, seconds = model.backend, [], []
    for _ in range(REPEATS + 1):  # the first one warms up
        seconds.append(predict().report["timings"]["network"])
        model.backend, tally = tallied(own)
        predict()
        tallies.append(tally)
        model.backend = own
    calls = zip(*tallies[1:], strict=True)
    return Run(Tally(min(each, key=lambda call: call.seconds) for each in calls), min(seconds[1:]))


def rows(alone: Run, together: Run, threads: int) -> list[dict[str, Any]]:
    """Each call, then the sums."""
    moved, multiplied = rates(torch.device("cpu"), torch.float32)

    def row(name: str, one: float, all_: float, floor: float | None, **more: Any) -> dict[str, Any]:
        return {
            "work": name,
            **more,
            "seconds": all_,
            "floor": floor,
            "efficiency": one / all_ / threads,
        }

    found, floors = [], []
    for one, call in zip(alone.calls, together.calls, strict=True):
        floors.append(max(call.bytes / moved, call.operations / multiplied))
        facts = {key: getattr(call, key) for key in ("size", "rows", "channels")}
        found.append(row(call.method, one.seconds, call.seconds, floors[-1], **facts))
    for method in ("convolve", "transfer"):
        floor = sum(
            least
            for least, call in zip(floors, together.calls, strict=True)
            if call.method == method
        )
        found.append(row(f"all {method}", alone.of(method), together.of(method), floor))
    both = "convolve", "transfer"
    rest = alone.seconds - alone.of(*both), together.seconds - together.of(*both)
    found.append(row("the rest", *rest, None))
    found.append(row("network", alone.seconds, together.seconds, None))
    return found


def show(found: list[dict[str, Any]]) -> None:
    table = Table("work", "kernel", "voxels", "channels", "ms", "% of roofline", "efficiency")
    whole = found[-1]["seconds"]
    for row in found:
        if "rows" in row and row["seconds"] < whole / 100:
            continue
        voxels, channels = (
            " -> ".join(f"{n:,}" for n in row.get(key, ())) for key in ("rows", "channels")
        )
        least = f"{100 * row['floor'] / row['seconds']:.0f}" if row["floor"] else ""
        table.add_row(
            row["work"],
            str(row.get("size", "")),
            voxels,
            channels,
            f"{1000 * row['seconds']:.1f}",
            least,
            f"{row['efficiency']:.2f}",
        )
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("volume", type=Path)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    model = zoo.load(given.model, backend="cpu", device="cpu")
    once = {"passes": 1} if "passes" in model.task.prediction_options.model_fields else {}
    volume = read_volume(given.volume)

    def predict() -> zoo.Prediction:
        return model.predict(volume, threshold=given.threshold, progress=None, **once)

    threads = torch.get_num_threads()
    found = rows(run(model, predict, 1), run(model, predict, threads), threads)
    show(found)
    if given.output:
        with atomic_path(given.output) as temporary:
            facts = {
                "model": model.card.name,
                "threads": threads,
                "machine": machine(),
                "rows": found,
            }
            temporary.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
