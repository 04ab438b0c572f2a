"""Rotates skulls with a defect, and measures the implants that are made for them.

    python benchmarks/poses.py SKULLFIX MODEL... [--cases N] [--degrees D]

SKULLFIX is a folder of SkullFix with `validation.txt`, whose first N cases are rotated by D degrees
around each axis, nodding also by twice as much. Printed is, for each model and pose, the mean Dice
of the implant. Skulls are rotated on every second pixel of a slice, for time, by interpolation, so
`as it is` may differ from `zoo evaluate` by a little.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

import zoo
from zoo.datasets import Defects, find_cases, load_pair
from zoo.volumes import HALF, Volume, dice

STEP = 2  # of the pixels of a slice, every so many
MARGIN = 40  # voxels around a skull, into which it may be rotated
Bools = NDArray[np.bool_]


def poses(degrees: float) -> dict[str, tuple[float, float, float]]:
    """Degrees of the rotations around the axes to the right, forwards and upwards, by name."""
    return {
        "as it is": (0, 0, 0),
        f"nods by {degrees:g}": (-degrees, 0, 0),
        f"nods by {2 * degrees:g}": (-2 * degrees, 0, 0),
        f"looks up by {degrees:g}": (degrees, 0, 0),
        f"looks up by {2 * degrees:g}": (2 * degrees, 0, 0),
        f"leans by {degrees:g}": (0, degrees, 0),
        f"turns by {degrees:g}": (0, 0, degrees),
    }


def rotated(mask: Bools, spacing: tuple[float, float, float], degrees: tuple[float, ...]) -> Bools:
    """A mask (I, J, K), axes RAS, rotated around the middle of its grid."""
    matrix = Rotation.from_euler("xyz", degrees, degrees=True).inv().as_matrix()
    back = np.diag(1 / np.array(spacing)) @ matrix @ np.diag(spacing)
    middle = (np.array(mask.shape) - 1) / 2
    moved = affine_transform(mask.astype(np.float32), back, middle - back @ middle, order=1)
    return np.asarray(moved > HALF)


def pairs(
    folder: Path, count: int, margin: int, defects: Defects
) -> Iterator[tuple[Bools, Bools, tuple[float, float, float]]]:
    """Defective skulls, their implants and the spacing of both, axes RAS.

    Both are taken at every second pixel of a slice, with `margin` voxels more on every side.
    """
    for case in find_cases(folder, "skullfix", folder / "validation.txt", kind="shape")[:count]:
        pair = load_pair(case, defects=defects)
        defective, implant = (each.canonical() for each in (pair.defective, pair.implant))
        masks = [np.pad(each.array[::STEP, ::STEP] > 0, margin) for each in (defective, implant)]
        i, j, k = defective.spacing
        yield masks[0], masks[1], (STEP * i, STEP * j, k)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--degrees", type=float, default=10)
    given = parser.parse_args()
    models = {name: zoo.load(name) for name in given.models}
    scores: dict[tuple[str, str], list[float]] = {}
    for skull, implant, spacing in pairs(given.data, given.cases, MARGIN, "official"):
        for pose, degrees in poses(given.degrees).items():
            defective, wanted = (rotated(mask, spacing, degrees) for mask in (skull, implant))
            volume = Volume(defective.view(np.uint8), np.diag([*spacing, 1.0]))
            for name, model in models.items():
                found = model.predict(volume).implant
                assert found is not None
                score = dice(found.array, wanted & ~defective)
                scores.setdefault((pose, name), []).append(score)
    for pose in poses(given.degrees):
        figures = "  ".join(f"{np.mean(scores[pose, name]):.3f} {name}" for name in models)
        print(f"{pose:15} {figures}")


if __name__ == "__main__":
    main()
