"""What the task owns: prediction, training, scoring, and the options of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from zoo import Card, Model, Prediction, Volume
from zoo.plugins import (
    COST,
    VALIDATION_SEEDS,
    Backend,
    Batch,
    Bools,
    Case,
    CaseKind,
    InputContract,
    Measure,
    Measures,
    Options,
    Sample,
    Score,
    Scores,
    Scoring,
    Section,
    Settings,
    Shape,
    SparseTensor,
    Stage,
    Task,
    Training,
    TrainingConfig,
    binarise,
    cost,
    dice,
    read_volume,
    resample_mask,
    sparse,
    sparse_input,
)


def hollow_ball(edge: int, radius: float) -> Bools:
    """Bool (R, R, R): a ball's shell three voxels thick."""
    distance = np.sqrt(((np.indices((edge,) * 3) - (edge - 1) / 2) ** 2).sum(0))
    return abs(distance - radius) < 1.5


def with_outliers(shape: Bools, share: float, rng: np.random.Generator) -> Bools:
    """The shape and, strewn over its grid, single voxels: that share of all voxels."""
    return shape | (rng.random(shape.shape) < share)


def kept(network: nn.Module, mask: Bools, backend: Backend, device: torch.device) -> Bools:
    """The voxels of a mask that a network keeps."""
    x = SparseTensor.from_grids([mask], backend=backend, device=device)
    with torch.inference_mode():
        return network(x).occupancy.to_grid((0, 0, 0), mask.shape)


class OutlierOptions(Options):
    """Options of a prediction."""

    outliers_only: Annotated[
        bool, Field(description="Give what would be removed, not what is kept.")
    ] = False


class OutlierSettings(Settings):
    """Settings of an evaluation."""

    share: Annotated[
        float,
        Field(ge=0, le=1, description="Share of voxels made outliers; 0.02 if not given."),
    ] = 0.02


class OutlierRemoval(Task):
    """Predicts which occupied voxels belong to a shape."""

    prediction_options = OutlierOptions
    settings_class = OutlierSettings

    def predict(
        self,
        model: Model,
        source: Volume,
        threshold: float | None,
        options: OutlierOptions,
        stage: Stage,
    ) -> Prediction:
        with stage("conform"):
            occupied = binarise(source, threshold)
            resampled = resample_mask(source.with_array(occupied), model.card.input)
        with stage("network"):
            found = kept(model.network, resampled.array, model.backend, model.device)
        with stage("restore"):
            found = resampled.back(found) & occupied
            if options.outliers_only:
                found = occupied & ~found
        volume, given = (source.with_array(mask.astype(np.uint8)) for mask in (found, occupied))
        report = {"voxels_in": int(occupied.sum()), "grid": resampled.facts()}
        return Prediction(volume, None, given, report)

    def trial(
        self, model: Model, source: Volume, threshold: float | None
    ) -> tuple[Bools, Callable[[Bools], object]]:
        mask = resample_mask(source.with_array(binarise(source, threshold)), model.card.input).array
        return mask, lambda grid: kept(model.network, grid, model.backend, model.device)

    def reference_input(self, card: Card) -> Volume:
        noisy = with_outliers(hollow_ball(24, 8), 0.02, np.random.default_rng(0))
        return Volume(noisy.astype(np.uint8), np.diag([*card.input.spacing, 1.0]))

    def training(self) -> type[Training]:
        return OutlierTraining

    def scoring(self, card: Card, settings: Settings) -> Scoring:
        assert isinstance(settings, OutlierSettings)
        return OutlierScoring(settings)


class OutliersSection(Section):
    """The task's own section of a training config: the data."""

    edge: PositiveInt = 24
    share: float = Field(default=0.02, ge=0, le=1)


class OutlierRun(TrainingConfig):
    """Config of a run."""

    outliers: OutliersSection = OutliersSection()


class OutlierTraining:
    """Hollow balls of any size, among outliers."""

    config_class: ClassVar[type[TrainingConfig]] = OutlierRun
    data = "hollow balls among outliers"

    def __init__(self, config: OutlierRun, cache: Path, cell: int) -> None:
        self.config = config

    def sample(self, number: int) -> Sample:
        noisy, shape = (Shape.cut_out(mask, np.zeros(3, int)) for mask in self._masks(number))
        return noisy, shape

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Tensor]:
        x, target = (sparse_input(items, backend, device) for items in batch)
        return x, sparse.contains(x.index, target.index)

    def loss(self, network: nn.Module, x: SparseTensor, target: Tensor, *, forced: bool) -> Tensor:
        return binary_cross_entropy_with_logits(network(x).logits, target.float())

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        found = []
        for number in range(self.config.validation_cases):
            noisy, shape = self._masks(VALIDATION_SEEDS + number)
            found.append(dice(kept(network, noisy, backend, device), shape))
        return {"dice": float(np.mean(found))}

    def facts(self) -> dict[str, Any]:
        return {"input": InputContract.around(1.0, 0.1, 10)}

    def _masks(self, number: int) -> tuple[Bools, Bools]:
        """A shape among outliers, and the shape alone."""
        rng = np.random.default_rng([self.config.seed, number])
        edge, share = self.config.outliers.edge, self.config.outliers.share
        shape = hollow_ball(edge, rng.uniform(edge / 5, edge / 2.5))
        return with_outliers(shape, share, rng), shape


class OutlierScore(Score):
    """Dice of what was kept, and how many voxels that is."""

    dice: float
    voxels: int


class OutlierScoring:
    """Complete shapes among outliers that are strewn by seed."""

    case_kind: CaseKind = "shape"
    score_class: type[Score] = OutlierScore
    measures: ClassVar[Measures] = {"dice": Measure("Dice", high=True), **COST}

    def __init__(self, settings: OutlierSettings) -> None:
        self.settings = settings

    def score(self, model: Model, case: Case) -> tuple[Prediction, OutlierScore]:
        whole = read_volume(case.target)
        shape = binarise(whole, self.settings.threshold)
        noisy = with_outliers(shape, self.settings.share, np.random.default_rng(self.settings.seed))
        prediction = model.predict(whole.with_array(noisy.astype(np.uint8)))
        found = prediction.volume.array
        score = OutlierScore(
            case=case.name,
            dice=dice(found, shape),
            voxels=int(np.count_nonzero(found)),
            **cost(prediction),
        )
        return prediction, score

    def is_empty(self, score: OutlierScore) -> bool:
        return score.voxels == 0
