"""How time and memory grow with the number of occupied voxels: a table, a figure, fitted slopes.

    python benchmarks/growth.py [SKULL] [-o benchmarks/results/growth]

A complete network of 2 to 16 channels is run forward on a skull, SKULL or a generated one of 512^3,
any-pooled to coarser grids, and with every voxel divided into eight for 1024^3. Each measurement is
a process of its own. Slopes are those of straight lines fitted to the logarithms: 1 is growth in
proportion. The memory of the smallest process, which imports take, is subtracted first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from zoo.benchmark import Spec, machine, run_measurement
from zoo.plugins import complete_skull
from zoo.volumes import occupied_box, pooled, read_volume, replicated

CHANNELS = (2, 2, 4, 4, 4, 4, 16)
FACTORS = 24, 16, 12, 8, 6, 4, 3, 2, 1  # of any-pooling


def grids(skull: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The skull from coarse to fine."""
    box = skull[occupied_box(skull)]
    return [*(pooled(box, factor) for factor in FACTORS), replicated(box, (2, 2, 2))]


def measure(skull: NDArray[np.bool_]) -> list[dict[str, Any]]:
    rows = []
    with TemporaryDirectory() as folder:
        for grid in grids(skull):
            path = Path(folder, "grid.npy")
            np.save(path, grid)
            threads = torch.get_num_threads()
            spec = Spec(
                work="forward", backend="cpu", volume=str(path), channels=CHANNELS, threads=threads
            )
            facts = run_measurement(spec) | {"shape": grid.shape}
            if "error" in facts:
                raise SystemExit(f"{grid.shape}: {facts['error']}")
            print(
                f"{facts['voxels']:>12,} voxels  {facts['seconds']:8.4f} s"
                f"  {facts['peak_memory'] / 1e9:6.3f} GB",
                flush=True,
            )
            rows.append(facts)
    return rows


def slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The slope of a straight line fitted to the logarithms of both."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def plot(
    voxels: NDArray[np.float64], curves: dict[str, NDArray[np.float64]], slopes: dict[str, float]
) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        axes.loglog(voxels, values, "o-")
        axes.loglog(voxels, values[-1] * voxels / voxels[-1], ":", color="grey", label="slope 1")
        axes.set(xlabel="occupied voxels", title=f"{name}: slope {slopes[name]:.2f}")
        axes.legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("skull", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    skull = read_volume(given.skull).array > 0 if given.skull else complete_skull(0, 512)
    rows = measure(np.asarray(skull, dtype=np.bool_))
    voxels, seconds, memory = (
        np.array([row[key] for row in rows], dtype=np.float64)
        for key in ("voxels", "seconds", "peak_memory")
    )
    many = voxels > 1e5  # below, what does not grow dominates
    beyond = memory - memory.min()
    curves = {"seconds": seconds, "GB": memory / 1e9}
    slopes = {
        "seconds": slope(voxels[many], seconds[many]),
        "GB": slope(voxels[many], beyond[many]),
    }
    print("slopes above 100,000 voxels: " + ", ".join(f"{k} {v:.2f}" for k, v in slopes.items()))
    if given.output:
        facts = {"machine": machine(), "channels": CHANNELS, "slopes": slopes, "rows": rows}
        given.output.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        plot(voxels, curves, slopes).savefig(given.output.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
