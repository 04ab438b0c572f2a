"""Phantoms as files, in the layout of the SkullFix data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.datasets import COMPLETE, DEFECTIVE, IMPLANT
from zoo.data.phantoms import FIELD_OF_VIEW, skull_case
from zoo.files import make_folder
from zoo.volume import Volume

KINDS = ("skull",)


def write_case(folder: Path, number: int, seed: int, resolution: int) -> None:
    """Write one skull as complete_skull/, defective_skull/ and implant/NNN.nii.gz below a folder.

    Volumes are uint8 {0, 1} of shape (R, R, R), RAS, centred on the origin.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    case = skull_case(seed, resolution)
    affine = np.diag([FIELD_OF_VIEW / resolution] * 3 + [1.0])
    affine[:3, 3] = (FIELD_OF_VIEW / resolution - FIELD_OF_VIEW) / 2
    parts = {COMPLETE: case.complete, DEFECTIVE: case.defective, IMPLANT: case.implant}
    for part, array in parts.items():
        make_folder(folder / part)
        Volume(array.view(np.uint8), affine).save(folder / part / f"{number:03d}.nii.gz")
