"""A model's reference case: a small input, and the prediction that it must give everywhere.

The model's task makes the input; the files are called golden, like the golden files of a test.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from zoo import registries
from zoo.cards import Card
from zoo.errors import VolumeError, WeightsError
from zoo.models.prediction import Prediction
from zoo.models.report import Stopwatch
from zoo.volumes import Volume, read_volume

if TYPE_CHECKING:
    from zoo.models.model import Model

INPUT, PREDICTION = "golden-input.nii.gz", "golden-answer.nii.gz"
LARGEST_CASE = 2**18  # bytes, of a file


def reference_input(card: Card) -> Volume:
    """A small volume for the model of a card, which its task computes from formulas alone.

    Its affine is as a NIfTI file holds it, in single precision.

        >>> from zoo.cards import info
        >>> reference_input(info("skull-completion-64"))
        Volume(64x64x64 uint8, 3.2 x 3.2 x 3.2 mm, RAS)

    Args:
        card: the model's card.

    Returns:
        The volume, the same on every machine.
    """
    volume: Volume = registries.tasks.get(card.task).reference_input(card)
    return replace(volume, affine=volume.affine.astype(np.float32).astype(np.float64))


def make_reference_case(model: Model) -> dict[str, Volume]:
    """Make the two volumes of a reference case, by the names of their files.

    There are none if all intensities of the input are inside the model's windows, or all outside.
    """
    given = reference_input(model.card)
    try:
        return {INPUT: given, PREDICTION: predict_reference(model, given)}
    except VolumeError:
        return {}


def predict_reference(model: Model, given: Volume) -> Volume:
    """What a model makes of its reference input, which is too small for the doubts of `predict`."""
    task = model.task
    made: Prediction = task.predict(
        model, given, None, task.prediction_options(), Stopwatch().stage
    )
    return made.volume


def read_reference_case(model: Model) -> tuple[Volume, Volume]:
    """Read the input and the expected prediction that lie beside the weights of a model.

    Raises:
        WeightsError: the model has no reference case, or it cannot be fetched.
    """
    location = model.origin.location
    files = [
        location.find(file, LARGEST_CASE) if location else None for file in (INPUT, PREDICTION)
    ]
    if None in files:
        raise WeightsError(
            f"{model.card.name} has no reference case ({INPUT}, {PREDICTION}) beside its weights"
            " to compare with; Model.save writes one"
        )
    given, expected = (read_volume(file) for file in files if file)
    return given, expected


def differing(one: Volume, other: Volume) -> int:
    """The number of voxels where two volumes differ; all of them if the shapes differ."""
    if one.shape != other.shape:
        return max(one.array.size, other.array.size)
    return int(np.count_nonzero(one.array != other.array))
