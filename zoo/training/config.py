"""The typed config of a training run, read from YAML."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from zoo.cards import Windows
from zoo.errors import ConfigError
from zoo.validation import validate

EVALUATION_SEEDS = 1_000_000  # phantoms from here on are never trained on
VALIDATION_SEEDS = 900_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhantomConfig(_Frozen):
    """Training pairs made on the fly: generated skulls, endless defects.

    Attributes:
        resolution: voxels along an edge of the grid, 204.8 mm; it decides the model's spacing, also
            for a data set's volumes.
        skulls: how many different skulls, seeds 0 to skulls - 1; every sample cuts a new defect.
        jitter: largest shift of a sample off the centre of its grid, in voxels per axis, whatever
            its source.
    """

    resolution: PositiveInt = 64
    skulls: PositiveInt = Field(default=2000, le=VALIDATION_SEEDS)
    jitter: NonNegativeInt = 3


class DatasetConfig(_Frozen):
    """Training pairs from volumes on disk; cases without a defect get a new one every time.

    Attributes:
        folder: of the data set.
        layout: name of its layout; found out if left out.
        split: file that lists the cases to train on; all if left out.
        validation_split: file that lists the cases to validate on; phantoms if left out. Their
            skulls are not trained on, whatever the defect.
        threshold: voxels above it are bone; needed for volumes that are not binary.
        share: of the samples that come from here; the rest are phantoms.
    """

    folder: Path
    layout: str | None = None
    split: Path | None = None
    validation_split: Path | None = None
    threshold: float | None = None
    share: float = Field(default=1, gt=0, le=1)


class AugmentationConfig(_Frozen):
    """What every sample undergoes, its defective and its complete shape alike. Off by default.

    Attributes:
        flip: probability of swapping left and right.
        degrees: largest rotation about each axis.
        scale: smallest and largest factor of size.
        noise: probability with which a voxel on either side of the surface of the defective shape,
            and of it alone, is dropped or added.
    """

    flip: float = Field(default=0, ge=0, le=1)
    degrees: float = Field(default=0, ge=0, le=180)
    scale: tuple[PositiveFloat, PositiveFloat] = (1, 1)
    noise: float = Field(default=0, ge=0, le=0.5)

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("wanted the smallest factor, then the largest")
        return scale


class RefinementConfig(_Frozen):
    """How a coarse shape is made from a fine one, for super-resolution.

    Attributes:
        factor: voxels of the fine grid along an edge of a coarse voxel.
        slices: share of the samples whose voxels are coarse along one axis alone, as in scans of
            thick slices.
        thickest: of such slices, in voxels of the fine grid; the thinnest have 2.
        crop: edge of the part of the fine grid that a sample shows, in voxels; all if left out. It
            takes a network of few levels, which looks no farther.
    """

    factor: int = Field(default=2, ge=2)
    slices: float = Field(default=0.2, ge=0, le=1)
    thickest: int = Field(default=8, ge=2)
    crop: PositiveInt | None = None


WINDOWS = ((-1100.0, -890.0), (-750.0, -140.0), (-50.0, 1000.0))  # all but lung and fat, in HU
EXTERIOR = -400.0  # HU


class ThoraxConfig(_Frozen):
    """Generated chest CTs, for segmentation.

    Attributes:
        resolution: voxels along an edge of the grid, of 384 mm.
        chests: how many different ones; every sample has a contrast and a noise of its own.
        windows: of Hounsfield units; a voxel in any of them is occupied.
        exterior: Hounsfield units below which what reaches the border of its axial slice is air
            outside the body.
        labels: of the generated structures, those to segment.
    """

    resolution: PositiveInt = 128
    chests: PositiveInt = Field(default=200, le=VALIDATION_SEEDS)
    windows: Windows = WINDOWS
    exterior: float | None = EXTERIOR
    labels: tuple[str, ...] = ("oesophagus", "heart", "trachea", "aorta")


class TrainingConfig(_Frozen):
    """Everything that decides a run's weights; where and on what it runs is left to the command.

    Attributes:
        architecture: name in the architectures registry.
        config: the architecture's own config.
        initial: model to start from, by name or as `local-dir:PATH`; random weights if left out.
            A network for a coarser grid becomes the last levels of this one, which keep their
            BatchNorm statistics. A run that is resumed needs it again.
        initial_pass_on: whether new levels in front of `initial` begin with its features, and not
            at random.
        initial_rate: factor of the learning rate for the levels that `initial` became.
        phantoms: generated data, and the grid.
        dataset: data on disk.
        augmentation: of both.
        refinement: for super-resolution, what is coarse.
        thorax: for segmentation, the data.
        steps: optimiser steps.
        batch_size: skulls per step, those of all processes and passes together.
        accumulate: passes that a step's skulls are split over, one after the other, each of which
            takes its share of memory.
        precision: `bfloat16` multiplies matrices in it, on backends that can.
        loss_weights: of the levels' losses, from tensor stride 1 up; all 1 if left out.
        forcing: share of the steps, the first ones, in which the target's voxels survive pruning
            whatever the network says. In the others it meets its own omissions, as in a prediction.
        learning_rate: peak of the schedule: linear warm-up, then half a cosine down to zero.
        warmup: share of the steps that warm up.
        average: decay of the exponential moving average of weights, which is what is exported.
        seed: of the initial weights and of the order of the data.
        validate_every: steps between validations, which also write a checkpoint.
        validation_cases: cases in a validation, at most.
        statistics_batches: batches that the final BatchNorm statistics are measured on.
    """

    architecture: str
    config: dict[str, Any] = {}
    initial: str | None = None
    initial_pass_on: bool = False
    initial_rate: NonNegativeFloat = 1
    phantoms: PhantomConfig = PhantomConfig()
    dataset: DatasetConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig()
    refinement: RefinementConfig = RefinementConfig()
    thorax: ThoraxConfig = ThoraxConfig()
    steps: PositiveInt = 4000
    batch_size: PositiveInt = 8
    accumulate: PositiveInt = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    loss_weights: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | None = None
    forcing: float = Field(default=1, ge=0, le=1)
    learning_rate: PositiveFloat = 1e-3
    warmup: float = Field(default=0.1, ge=0, le=1)
    average: float = Field(default=0.999, ge=0, lt=1)
    seed: NonNegativeInt = 0
    validate_every: PositiveInt = 250
    validation_cases: PositiveInt = 8
    statistics_batches: PositiveInt = 50

    def public(self) -> str:
        """As JSON, without the author's folders: they are nobody's business."""
        private = {"dataset": {"folder", "split", "validation_split"}}
        return self.model_dump_json(exclude=private)

    def sha256(self) -> str:
        """Hex digest of what decides a run's weights, folders apart."""
        return hashlib.sha256(self.public().encode()).hexdigest()


def read_config(path: str | Path) -> TrainingConfig:
    """Read and check a training config.

    Raises:
        ConfigError: the file is missing, not YAML, or a key does not fit; the message names it.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"no training config at {path}: give the path of a YAML file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} is not readable as YAML: {' '.join(str(error).split())}"
        ) from error
    return validate(TrainingConfig, content, source=str(path))
