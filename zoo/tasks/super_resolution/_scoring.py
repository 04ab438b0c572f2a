"""Scores super-resolution: against the ground truth, and against interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.datasets import Case, CaseKind, load_complete
from zoo.errors import VolumeError
from zoo.evaluation import COST, Measure, Measures, Score, cost
from zoo.models import Model, Prediction
from zoo.tasks.super_resolution._options import SuperResolutionSettings
from zoo.tasks.super_resolution._prediction import HALF
from zoo.volumes import (
    InputContract,
    Volume,
    dice,
    pooled,
    reconstruction_error,
    replicated,
    resample_mask,
)

Factors = tuple[int, int, int]
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
    """Makes complete shapes coarse, and compares their refinement with them.

    Either by any-pooling, or by averaging over slices, which are then refined with a threshold of
    one half.

    A shape whose voxels are not those that the model predicts is brought to its spacing first.
    """

    case_kind: CaseKind = "shape"
    score_class: type[Score] = SuperResolutionScore
    measures = MEASURES

    def __init__(self, settings: SuperResolutionSettings) -> None:
        self.settings = settings

    def score(self, model: Model, case: Case) -> tuple[Prediction, SuperResolutionScore]:
        prediction, coarse, fine = self._refined(model, case)
        return prediction, super_resolution_score(case.name, prediction, coarse, fine)

    def compared(self, model: Model, case: Case) -> tuple[Prediction, Volume]:
        prediction, _, fine = self._refined(model, case)
        return prediction, fine

    def _refined(self, model: Model, case: Case) -> tuple[Prediction, Volume, Volume]:
        """The prediction, the coarse shape that it refines, and the fine one that is the truth."""
        whole = load_complete(case, threshold=self.settings.threshold)
        fine = as_predicted(whole, model.card.input)
        if self.settings.slices:
            coarse, fine = averaged(fine, self.settings.slices)
        else:
            coarse, fine = coarsened(fine, self.settings.factor or FACTOR)
        threshold = HALF if self.settings.slices else None
        prediction = model.predict(coarse, threshold=threshold, chain=self.settings.chain)
        return prediction, coarse, fine

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
    return canonical.rescaled(found.array, np.divide(found.spacing, canonical.spacing).tolist())


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
    factors = (factor,) * 3
    whole = _whole(fine, factors, "--factor")
    return whole.rescaled(pooled(np.asarray(whole.array), factor).view(np.uint8), factors), whole


def averaged(fine: Volume, slices: int) -> tuple[Volume, Volume]:
    """Average a volume over slices along its last axis, as a scan with thick slices does.

        >>> fine = Volume(np.array([[[0, 1, 1, 1, 0]]], dtype=bool))
        >>> averaged(fine, 2)[0].array.tolist()
        [[[0.5, 1.0]]]

    Args:
        fine: the volume.
        slices: its slices in a thick one.

    Returns:
        The volume with thick slices, float32 from 0 to 1, and the fine one cropped to whole ones.

    Raises:
        VolumeError: there are fewer slices than one thick one has.
    """
    factors = (1, 1, slices)
    whole = _whole(fine, factors, "--slices")
    i, j, k = whole.shape
    means = whole.array.reshape(i, j, k // slices, slices).mean(axis=3, dtype=np.float32)
    return whole.rescaled(means, factors), whole


def _whole(fine: Volume, factors: Factors, option: str) -> Volume:
    """The volume cropped to whole coarse voxels, as a mask."""
    i, j, k = (n - n % factor for n, factor in zip(fine.shape, factors, strict=True))
    if not min(i, j, k):
        where = "each" if min(factors) > 1 else "the last"
        raise VolumeError(
            f"wanted {max(factors)} voxels or more along {where} axis, got {fine.shape};"
            f" lower {option}"
        )
    return fine.regrid(np.ascontiguousarray(fine.array[:i, :j, :k], dtype=bool), np.eye(4))


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
    i, j, k = factors = [n // m for n, m in zip(fine.shape, coarse.shape, strict=True)]
    values = np.asarray(coarse.array, dtype=np.float32)
    nearest = reconstruction_error(replicated(values > HALF, (i, j, k)), truth)
    linear = reconstruction_error(_trilinear(values, factors), truth)
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


def _trilinear(coarse: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.bool_]:
    finer: NDArray[np.float32] = ndimage.zoom(
        coarse, factors, order=1, grid_mode=True, mode="nearest"
    )
    occupied: NDArray[np.bool_] = finer >= HALF
    return occupied
