"""Phantoms as files: skulls in the layout of the SkullFix data set, chests in that of SegTHOR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.layouts import COMPLETE, DEFECTIVE, IMPLANT
from zoo.datasets.phantoms.chests import EXTENT, thorax_case
from zoo.datasets.phantoms.skulls import FIELD_OF_VIEW, skull_case
from zoo.volumes import Volume, make_folder

Writer = Callable[[Path, int, int, int], None]  # folder, number, seed, resolution


def write_case(folder: Path, number: int, seed: int, resolution: int) -> None:
    """Write one skull as complete_skull/, defective_skull/ and implant/NNN.nii.gz below a folder.

    Volumes are uint8 {0, 1} of shape (R, R, R), RAS, centred on the origin.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    case = skull_case(seed, resolution)
    affine = _centred(FIELD_OF_VIEW, resolution)
    parts = {COMPLETE: case.complete, DEFECTIVE: case.defective, IMPLANT: case.implant}
    for part, array in parts.items():
        make_folder(folder / part)
        Volume(array.view(np.uint8), affine).save(folder / part / f"{number:03d}.nii.gz")


def write_thorax(folder: Path, number: int, seed: int, resolution: int) -> None:
    """Write one chest as Patient_NN/Patient_NN.nii.gz and Patient_NN/GT.nii.gz below a folder.

    NN counts from 01. The scan is int16 HU, the labels uint8 {0..4} as in SegTHOR, both of shape
    (R, R, R), RAS, centred on the origin.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    case = thorax_case(seed, resolution)
    affine = _centred(EXTENT, resolution)
    name = f"Patient_{number + 1:02d}"
    make_folder(folder / name)
    Volume(case.hu, affine).save(folder / name / f"{name}.nii.gz")
    Volume(case.labels, affine).save(folder / name / "GT.nii.gz")


KINDS: dict[str, Writer] = {"skull": write_case, "thorax": write_thorax}


def _centred(extent: float, resolution: int) -> NDArray[np.float64]:
    """The affine of a cube of `extent` mm with its centre at the origin."""
    affine = np.diag([extent / resolution] * 3 + [1.0])
    affine[:3, 3] = (extent / resolution - extent) / 2
    return affine
