"""How the answers of each task are scored against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, create_model
from scipy import ndimage

from zoo.cards import Card
from zoo.conform import binarise
from zoo.data.cases import Case
from zoo.data.datasets import Pair, load_labels, load_pair
from zoo.errors import ConfigError, VolumeError
from zoo.files import read_volume
from zoo.metrics import (
    border_dice,
    dice,
    greatest_percentile,
    hd95,
    reconstruction_error,
    surface_distances,
)
from zoo.model import Model
from zoo.prediction import Prediction
from zoo.volume import Volume
from zoo.voxels import pooled, replicated


@dataclass(frozen=True)
class Measure:
    """What a column of scores says.

    Attributes:
        heading: as a person reads it.
        high: whether high is good.
        unit: of the values; none for shares of one.
    """

    heading: str
    high: bool = False
    unit: str = ""


Measures = dict[str, Measure]
COST: Measures = {
    "seconds": Measure("s", unit="s"),
    "peak_memory": Measure("peak GB", unit="bytes"),
}


class Settings(BaseModel):
    """What scores depend on besides the cases; every row of a score file has it.

    Attributes:
        model: its name.
        weights: their sha256.
        threshold: above which a scan's voxels are occupied; None if there was none.
        seed: of the defects that were cut.
        factor: of super-resolution, voxels along an edge of a coarse one; None: 2.
        chain: of super-resolution, whether coarser models go before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    weights: str | None
    threshold: float | None = None
    seed: int = 0
    factor: int | None = None
    chain: bool = False


class Score(BaseModel):
    """How well one case was predicted, and at what cost.

    Attributes:
        case: its name.
        seconds: that the prediction took, without reading the files.
        peak_memory: bytes, of the process so far; None where nobody counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    seconds: float
    peak_memory: int | None


class Examination(Protocol):
    """Scores one model on cases of its task.

    Attributes:
        cases: the task whose cases are wanted.
        measures: of a score; the first one says which case is the worst.
        score_class: of the scores.
    """

    @property
    def cases(self) -> str: ...
    @property
    def measures(self) -> Measures: ...
    @property
    def score_class(self) -> type[Score]: ...

    def examine(self, model: Model, case: Case) -> tuple[Prediction, Score]:
        """Read a case, predict it and compare."""
        ...

    def is_empty(self, score: Any) -> bool:
        """Whether nothing was found."""
        ...


def examination(card: Card, settings: Settings) -> Examination:
    """For the task of a model, by its card.

    Raises:
        ConfigError: settings that are for another task.
    """
    if card.task != "super-resolution" and (settings.factor or settings.chain):
        option = "--factor" if settings.factor else "--chain"
        raise ConfigError(
            f"{option} is for super-resolution, got {card.name} for {card.task}; leave it out"
        )
    if card.task == "segmentation" and settings.threshold is not None:
        raise ConfigError(f"{card.name} takes intensities as they are; leave --threshold out")
    if card.task == "completion":
        return CompletionExamination(card, settings)
    if card.task == "super-resolution":
        return SuperResolutionExamination(card, settings)
    return SegmentationExamination(card, settings)


class CompletionScore(Score):
    """The measures are those of `zoo.metrics`.

    Attributes:
        implant_dice, border_dice: of the implant.
        hausdorff_distance, hd95: of the implant, mm; infinite if one of the two implants is empty.
        complete_dice: of the complete shape.
        reconstruction_error: of the complete shape, percent of the grid's voxels.
        input_kept: share of the input's occupied voxels that the answer has.
        implant_voxels: how many the predicted implant has.
    """

    implant_dice: float
    border_dice: float
    hausdorff_distance: float
    hd95: float
    complete_dice: float
    reconstruction_error: float
    input_kept: float
    implant_voxels: int


COMPLETION: Measures = {
    "implant_dice": Measure("implant Dice", high=True),
    "border_dice": Measure("border Dice", high=True),
    "hd95": Measure("HD95 mm", unit="mm"),
    "hausdorff_distance": Measure("HD mm", unit="mm"),
    "complete_dice": Measure("whole Dice", high=True),
    "reconstruction_error": Measure("wrong %", unit="%"),
    "input_kept": Measure("input kept", high=True),
    **COST,
}


class CompletionExamination:
    cases = "completion"
    score_class = CompletionScore
    measures = COMPLETION

    def __init__(self, card: Card, settings: Settings) -> None:
        self.settings = settings

    def examine(self, model: Model, case: Case) -> tuple[Prediction, CompletionScore]:
        pair = load_pair(case, seed=self.settings.seed, threshold=self.settings.threshold)
        prediction = model.predict(pair.defective)
        return prediction, completion_score(case.name, prediction, pair)

    def is_empty(self, score: CompletionScore) -> bool:
        return score.implant_voxels == 0


def completion_score(name: str, prediction: Prediction, pair: Pair) -> CompletionScore:
    """Compare a prediction on `pair.defective` with the truth."""
    assert prediction.implant is not None
    complete, implant = prediction.volume.array, prediction.implant.array
    truth, spacing = pair.implant.array, pair.defective.spacing
    distances = surface_distances(implant, truth, spacing)
    kept = np.count_nonzero(np.logical_and(complete, pair.defective.array))
    return CompletionScore(
        case=name,
        implant_dice=dice(implant, truth),
        border_dice=border_dice(implant, truth, pair.defective.array, spacing),
        hausdorff_distance=greatest_percentile(distances, 100),
        hd95=greatest_percentile(distances, 95),
        complete_dice=dice(complete, pair.complete.array),
        reconstruction_error=reconstruction_error(complete, pair.complete.array),
        input_kept=int(kept) / int(np.count_nonzero(pair.defective.array)),
        implant_voxels=int(np.count_nonzero(implant)),
        **_cost(prediction),
    )


class SuperResolutionScore(Score):
    """Of the fine shape that a model makes of its own coarse one.

    Attributes:
        dice: of the shape.
        reconstruction_error: percent of the grid's voxels that are wrong.
        nearest_error, linear_error: the same of the coarse shape, interpolated: nearest voxel, and
            trilinear, occupied from one half on.
        error_ratio: of the model's error to the smaller one of these two.
        voxels: occupied, of the answer.
    """

    dice: float
    reconstruction_error: float
    nearest_error: float
    linear_error: float
    error_ratio: float
    voxels: int


SUPER_RESOLUTION: Measures = {
    "dice": Measure("Dice", high=True),
    "reconstruction_error": Measure("wrong %", unit="%"),
    "nearest_error": Measure("nearest: wrong %", unit="%"),
    "linear_error": Measure("trilinear: wrong %", unit="%"),
    "error_ratio": Measure("ratio"),
    **COST,
}


class SuperResolutionExamination:
    """Complete skulls, any-pooled by a whole number along all axes."""

    cases = "completion"
    score_class = SuperResolutionScore
    measures = SUPER_RESOLUTION

    def __init__(self, card: Card, settings: Settings) -> None:
        self.settings = settings

    def examine(self, model: Model, case: Case) -> tuple[Prediction, SuperResolutionScore]:
        fine = read_volume(case.target)
        fine = fine.with_array(binarise(fine, self.settings.threshold))
        coarse, fine = coarsened(fine, self.settings.factor or 2)
        prediction = model.predict(coarse, chain=self.settings.chain)
        return prediction, super_resolution_score(case.name, prediction, coarse, fine)

    def is_empty(self, score: SuperResolutionScore) -> bool:
        return score.voxels == 0


def coarsened(fine: Volume, factor: int) -> tuple[Volume, Volume]:
    """A volume any-pooled to voxels so many times as large, and itself, cut to whole ones of them.

    Raises:
        VolumeError: it has less than one of them.
    """
    i, j, k = (n - n % factor for n in fine.shape)
    if not min(i, j, k):
        raise VolumeError(
            f"wanted {factor} voxels or more along each axis, to be made coarse, got {fine.shape}"
        )
    whole = fine.regrid(np.ascontiguousarray(fine.array[:i, :j, :k], dtype=bool), np.eye(4))
    to_index = np.diag([factor, factor, factor, 1.0])
    to_index[:3, 3] = (factor - 1) / 2
    return whole.regrid(pooled(np.asarray(whole.array), factor).view(np.uint8), to_index), whole


def super_resolution_score(
    name: str, prediction: Prediction, coarse: Volume, fine: Volume
) -> SuperResolutionScore:
    """Compare a prediction on `coarse` with the truth, and with what interpolation makes of it.

    Raises:
        VolumeError: the answer is on another grid than the truth.
    """
    answer, truth = prediction.volume.array, fine.array
    if answer.shape != truth.shape:
        raise VolumeError(
            f"wanted an answer on the grid of {fine.shape} that was made coarse, got one on"
            f" {prediction.volume.shape}: take the model for these voxels, or another --factor"
        )
    factor = fine.shape[0] // coarse.shape[0]
    occupied = np.asarray(coarse.array, dtype=bool)
    nearest = reconstruction_error(replicated(occupied, (factor,) * 3), truth)
    linear = reconstruction_error(_trilinear(occupied, factor), truth)
    own = reconstruction_error(answer, truth)
    best = min(nearest, linear)
    return SuperResolutionScore(
        case=name,
        dice=dice(answer, truth),
        reconstruction_error=own,
        nearest_error=nearest,
        linear_error=linear,
        error_ratio=own / best if best else float("inf"),
        voxels=int(np.count_nonzero(answer)),
        **_cost(prediction),
    )


def _trilinear(coarse: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    finer: NDArray[np.float32] = ndimage.zoom(
        coarse.astype(np.float32), factor, order=1, grid_mode=True, mode="nearest"
    )
    occupied: NDArray[np.bool_] = finer >= 0.5
    return occupied


class SegmentationExamination:
    """Scans with a label volume: Dice of every structure, and the mean over structures."""

    cases = "segmentation"

    def __init__(self, card: Card, settings: Settings) -> None:
        self.labels = card.labels
        self.measures = {
            "mean_dice": Measure("mean Dice", high=True),
            **{_key(label): Measure(label, high=True) for label in self.labels},
            "hd95": Measure("mean HD95 mm", unit="mm"),
            **COST,
        }
        shares: dict[str, Any] = {_key(label): (float, ...) for label in self.labels}
        self.score_class: type[Score] = create_model(
            "SegmentationScore",
            __base__=Score,
            mean_dice=(float, ...),
            **shares,
            hd95=(float, ...),
            voxels=(int, ...),
        )

    def examine(self, model: Model, case: Case) -> tuple[Prediction, Score]:
        scan, truth = load_labels(case)
        prediction = model.predict(scan)
        return prediction, self.score(case.name, prediction, truth)

    def score(self, name: str, prediction: Prediction, truth: Volume) -> Score:
        """Compare labels; a structure that is in neither counts as found."""
        answer, wanted = prediction.volume.array, truth.array
        found, far = {}, []
        for value, label in enumerate(self.labels, 1):
            one, other = answer == value, wanted == value
            found[_key(label)] = dice(one, other)
            far.append(hd95(one, other, truth.spacing))
        facts = {
            "case": name,
            "mean_dice": sum(found.values()) / len(found),
            **found,
            "hd95": sum(far) / len(far),
            "voxels": int(np.count_nonzero(answer)),
            **_cost(prediction),
        }
        return self.score_class.model_validate(facts)

    def is_empty(self, score: Any) -> bool:
        return bool(score.voxels == 0)


def _key(label: str) -> str:
    return "dice_" + "".join(c if c.isalnum() else "_" for c in label)


def _cost(prediction: Prediction) -> dict[str, Any]:
    return {
        "seconds": sum(prediction.report["timings"].values()),
        "peak_memory": prediction.report["peak_memory"],
    }
