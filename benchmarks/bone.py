"""Changes the bone of skulls with a defect, and measures the implants that are made for them.

    python benchmarks/bone.py SKULLFIX MODEL... [--cases N]

SKULLFIX is a folder of SkullFix with `validation.txt`. A defect is cut into each of its first N
cases, and their bone becomes thinner, thicker, rough or empty within, as other scanners and
thresholds show it. Printed are, for each model and change, the share of bone that is left, and the
mean Dice of the implant with what was cut out of the changed bone. Skulls are taken at every second
pixel of a slice, for time.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from poses import pairs
from scipy.ndimage import distance_transform_edt, gaussian_filter

import zoo
from zoo.volumes import Volume, dice

MARGIN = 4  # voxels around a skull, into which it may grow
THICKNESS = 0.5  # mm: by which bone becomes thinner or thicker, and is rough
CORTEX = 1.6  # mm: below it lies marrow
Bools = NDArray[np.bool_]
Triple = tuple[float, float, float]


def changes(bone: Bools, spacing: Triple) -> Iterator[tuple[str, Bools]]:
    """The same bone, changed, and what was changed."""
    outwards = distance_transform_edt(~bone, sampling=spacing)
    outwards = outwards - distance_transform_edt(bone, sampling=spacing)  # below 0 within
    surface = gaussian_filter(outwards, 0.6)
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(bone.shape), 2)
    noise /= noise.std()
    yield "as it is", bone
    yield f"thinner by {THICKNESS} mm", surface < -THICKNESS
    yield f"thicker by {THICKNESS} mm", surface < THICKNESS
    yield f"rough, {THICKNESS} mm", surface + THICKNESS * noise * (abs(outwards) < 2) < 0
    marrow = outwards < -CORTEX
    yield "a sixth of the marrow empty", bone & ~(marrow & (noise > 1))
    yield "half of the marrow empty", bone & ~(marrow & (noise > 0))
    yield "all of the marrow empty", bone & ~marrow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--cases", type=int, default=4)
    given = parser.parse_args()
    models = {name: zoo.load(name) for name in given.models}
    scores: dict[str, dict[str, list[float]]] = {}
    for rest, cut, spacing in pairs(given.data, given.cases, MARGIN, "cut"):
        bone = rest | cut
        to_cut, to_rest = (distance_transform_edt(~each, sampling=spacing) for each in (cut, rest))
        hole = to_cut < to_rest
        for name, changed in changes(bone, spacing):
            rows = scores.setdefault(name, {})
            rows.setdefault("of the bone", []).append(changed.sum() / bone.sum())
            defective = Volume((changed & ~hole).view(np.uint8), np.diag([*spacing, 1.0]))
            for model in models.values():
                found = model.predict(defective).implant
                assert found is not None
                rows.setdefault(model.card.name, []).append(dice(found.array, changed & hole))
    for name, rows in scores.items():
        print(f"{name:28}", "  ".join(f"{np.mean(each):.3f} {row}" for row, each in rows.items()))


if __name__ == "__main__":
    main()
