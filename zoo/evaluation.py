"""Scoring a model on a folder of cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ReadError, VolumeError, ZooError
from zoo.files import is_volume, read_volume
from zoo.metrics import dice
from zoo.model import Model

COMPLETE, DEFECTIVE, IMPLANT = "complete_skull", "defective_skull", "implant"


@dataclass(frozen=True)
class Score:
    """Dice of one case, for the implant and for the complete skull, and the seconds it took."""

    case: str
    implant_dice: float
    complete_dice: float
    input_kept: float
    seconds: float


def case_names(folder: Path) -> list[str]:
    """The names that a folder's defective_skull/ has; each needs its complete_skull/ and implant/.

    Raises:
        ReadError: a folder or a file is missing; the message names it.
    """
    if not (folder / DEFECTIVE).is_dir():
        raise ReadError(
            f"{folder}: wanted a folder with {DEFECTIVE}/, {COMPLETE}/ and {IMPLANT}/, got none;"
            " `zoo phantom skull -o DIR` makes one"
        )
    names = sorted(path.name for path in (folder / DEFECTIVE).iterdir() if is_volume(path))
    if not names:
        raise ReadError(
            f"{folder / DEFECTIVE}: no volume in this folder; add one, such as 000.nii.gz"
        )
    for part in (COMPLETE, IMPLANT):
        for name in names:
            if not (folder / part / name).is_file():
                raise ReadError(
                    f"{folder / part / name}: no such file; every case needs one of its name"
                )
    return names


def evaluate(model: Model, folder: Path) -> Iterator[tuple[str, Score | ZooError]]:
    """Score case after case; a failing one is handed over as its error."""
    for name in case_names(folder):
        try:
            yield name, _score(model, folder, name)
        except ZooError as error:
            yield name, error


def _score(model: Model, folder: Path, name: str) -> Score:
    prediction = model.predict(folder / DEFECTIVE / name)
    shape = prediction.volume.shape
    truth, implant = (_truth(folder / part / name, shape) for part in (COMPLETE, IMPLANT))
    assert prediction.implant is not None
    kept = prediction.volume.array[prediction.occupied.array != 0]
    return Score(
        name,
        dice(prediction.implant.array, implant),
        dice(prediction.volume.array, truth),
        float(kept.mean()),
        sum(prediction.report["timings"].values()),
    )


def _truth(path: Path, shape: tuple[int, int, int]) -> NDArray[Any]:
    volume = read_volume(path)
    if volume.shape != shape:
        raise VolumeError(
            f"{path}: wanted shape {shape}, as predicted, got {volume.shape}; use one grid"
        )
    return volume.array


def summarise(scores: list[Score]) -> dict[str, dict[str, float]]:
    """Mean, median and worst of every score over cases."""
    summary = {}
    for name in ("implant_dice", "complete_dice", "input_kept"):
        values = np.array([getattr(score, name) for score in scores])
        summary[name] = {
            "mean": float(values.mean()),
            "median": float(np.median(values)),
            "worst": float(values.min()),
        }
    return summary
