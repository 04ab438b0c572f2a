"""Whether super-resolution finds thin slices again in thick ones, better than interpolation.

    python benchmarks/slices.py MODEL CT THRESHOLD [--slices 2,3] [-o RESULT.json]

CT is averaged over so many slices, as a scanner with a thick slice does before anything is
thresholded. MODEL refines that with the threshold, on its own grid, and its answer is brought back
to the voxels of CT. Printed are the voxels that are wrong, as shares of those that are wrong where
every slice is repeated, and where slices are interpolated trilinearly; then the Dice of all three.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import zoo
from zoo.volumes import atomic_path, dice, read_volume

Bools = NDArray[np.bool_]
HALF = 0.5


def resized(array: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array interpolated trilinearly on another grid over the same field of view."""
    factors = [there / here for there, here in zip(shape, array.shape, strict=True)]
    found: NDArray[np.float32] = ndimage.zoom(
        array, factors, order=1, grid_mode=True, mode="nearest"
    )
    return found


def compare(model: zoo.Model, scan: zoo.Volume, threshold: float, slices: int) -> dict[str, Any]:
    """Refine a scan averaged over slices, and compare with repeated and interpolated slices."""
    i, j, k = scan.shape
    values = np.asarray(scan.array[:, :, : k - k % slices], dtype=np.float32)
    thick = values.reshape(i, j, -1, slices).mean(axis=3)
    answer = model.predict(scan.rescaled(thick, (1, 1, slices)), threshold=threshold).volume.array
    truth: Bools = values >= threshold
    found = {
        "model": resized(answer.astype(np.float32), truth.shape) >= HALF,
        "repeated": np.repeat(thick >= threshold, slices, axis=2),
        "interpolated": resized(thick, truth.shape) >= threshold,
    }
    wrong = {name: int(np.count_nonzero(mask ^ truth)) for name, mask in found.items()}
    return {
        "slices": slices,
        "of_repeated": wrong["model"] / wrong["repeated"],
        "of_interpolated": wrong["model"] / wrong["interpolated"],
        "dice": {name: dice(mask, truth) for name, mask in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("scan", type=Path)
    parser.add_argument("threshold", type=float)
    parser.add_argument("--slices", default="2,3")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    model, scan = zoo.load(given.model), read_volume(given.scan).canonical()
    rows = []
    for slices in map(int, given.slices.split(",")):
        rows.append(row := compare(model, scan, given.threshold, slices))
        scores = ", ".join(f"{name} {value:.3f}" for name, value in row["dice"].items())
        print(
            f"{slices} slices in one: {row['of_repeated']:.2f} of the voxels that repeating has"
            f" wrong, {row['of_interpolated']:.2f} of those that interpolating has; Dice: {scores}",
            flush=True,
        )
    if given.output:
        with atomic_path(given.output) as temporary:
            temporary.write_text(
                json.dumps({"model": model.card.name, "rows": rows}, indent=1) + "\n"
            )


if __name__ == "__main__":
    main()
