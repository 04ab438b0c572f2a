"""Scores super-resolution: against the ground truth, and against interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.datasets import Case, CaseKind
from zoo.errors import VolumeError
from zoo.evaluation import COST, Measure, Measures, Score, cost
from zoo.models import Model, Prediction
from zoo.tasks.super_resolution._options import SuperResolutionSettings
from zoo.volumes import (
    InputContract,
    Volume,
    binarise,
    dice,
    pooled,
    read_volume,
    reconstruction_error,
    replicated,
    resample_mask,
)

FACTOR = 2


class SuperResolutionScore(Score):
    """The score of one refined shape.

    Attributes:
        dice: Dice of the shape.
        reconstruction_error: percentage of the grid's voxels that are wrong.
        nearest_error, linear_error: the same for interpolation of the coarse shape: by the nearest
            voxel, and trilinear with a threshold of one half.
        error_ratio: the model's error divided by the smaller of these two.
        voxels: number of occupied voxels in the prediction.
    """

    dice: float
    reconstruction_error: float
    nearest_error: float
    linear_error: float
    error_ratio: float
    voxels: int


MEASURES: Measures = {
    "dice": Measure("Dice", high=True),
    "reconstruction_error": Measure("error %", unit="%"),
    "nearest_error": Measure("nearest error %", unit="%"),
    "linear_error": Measure("trilinear error %", unit="%"),
    "error_ratio": Measure("error ratio"),
    **COST,
}


class SuperResolutionScoring:
    """Makes complete shapes coarse by any-pooling, and compares their refinement with them.

    A shape whose voxels are not those that the model predicts is brought to its spacing first.
    """

    case_kind: CaseKind = "shape"
    score_class: type[Score] = SuperResolutionScore
    measures = MEASURES

    def __init__(self, settings: SuperResolutionSettings) -> None:
        self.settings = settings

    def score(self, model: Model, case: Case) -> tuple[Prediction, SuperResolutionScore]:
        fine = read_volume(case.target)
        fine = fine.with_array(binarise(fine, self.settings.threshold))
        fine = as_predicted(fine, model.card.input)
        coarse, fine = coarsened(fine, self.settings.factor or FACTOR)
        prediction = model.predict(coarse, chain=self.settings.chain)
        return prediction, super_resolution_score(case.name, prediction, coarse, fine)

    def is_empty(self, score: SuperResolutionScore) -> bool:
        return score.voxels == 0


def as_predicted(fine: Volume, contract: InputContract) -> Volume:
    """A shape on the grid that a model predicts on: its own if the contract accepts it.

        >>> fine = Volume(np.ones((8, 8, 8), dtype=bool), np.diag([0.4, 0.4, 0.4, 1.0]))
        >>> as_predicted(fine, InputContract.around(1.6)).shape
        (2, 2, 2)

    Raises:
        VolumeError: the grid would be larger than any patient.
    """
    found = resample_mask(fine, contract)
    if not found.resampled:
        return fine
    canonical = fine.canonical()
    ratios = np.divide(found.spacing, canonical.spacing)
    to_index = np.diag([*ratios, 1.0])
    to_index[:3, 3] = 0.5 * ratios - 0.5  # the corner of the first voxel stays where it is
    return canonical.regrid(found.array, to_index)


def coarsened(fine: Volume, factor: int) -> tuple[Volume, Volume]:
    """Make a volume coarse by any-pooling.

    Args:
        fine: the volume.
        factor: fine voxels along an edge of a coarse one.

    Returns:
        The coarse volume, and the fine one cropped to whole coarse voxels.

    Raises:
        VolumeError: the volume is smaller than one coarse voxel.
    """
    i, j, k = (n - n % factor for n in fine.shape)
    if not min(i, j, k):
        raise VolumeError(
            f"wanted {factor} voxels or more along each axis, got {fine.shape}; lower --factor"
        )
    whole = fine.regrid(np.ascontiguousarray(fine.array[:i, :j, :k], dtype=bool), np.eye(4))
    to_index = np.diag([factor, factor, factor, 1.0])
    to_index[:3, 3] = (factor - 1) / 2
    return whole.regrid(pooled(np.asarray(whole.array), factor).view(np.uint8), to_index), whole


def super_resolution_score(
    name: str, prediction: Prediction, coarse: Volume, fine: Volume
) -> SuperResolutionScore:
    """Compare a prediction on `coarse` with the ground truth `fine`, and with interpolation.

    Raises:
        VolumeError: the grids of the prediction and the ground truth differ.
    """
    predicted, truth = prediction.volume.array, fine.array
    if predicted.shape != truth.shape:
        raise VolumeError(
            f"wanted a prediction on the ground truth's grid of {fine.shape}, got one on"
            f" {prediction.volume.shape}: use a model for these voxels, or another --factor"
        )
    factor = fine.shape[0] // coarse.shape[0]
    occupied = np.asarray(coarse.array, dtype=bool)
    nearest = reconstruction_error(replicated(occupied, (factor,) * 3), truth)
    linear = reconstruction_error(_trilinear(occupied, factor), truth)
    own = reconstruction_error(predicted, truth)
    best = min(nearest, linear)
    return SuperResolutionScore(
        case=name,
        dice=dice(predicted, truth),
        reconstruction_error=own,
        nearest_error=nearest,
        linear_error=linear,
        error_ratio=own / best if best else float("inf"),
        voxels=int(np.count_nonzero(predicted)),
        **cost(prediction),
    )


def _trilinear(coarse: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    finer: NDArray[np.float32] = ndimage.zoom(
        coarse.astype(np.float32), factor, order=1, grid_mode=True, mode="nearest"
    )
    occupied: NDArray[np.bool_] = finer >= 0.5
    return occupied
