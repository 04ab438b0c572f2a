"""The typed config of a training run, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from zoo.errors import ConfigError
from zoo.validation import validate

EVALUATION_SEEDS = 1_000_000  # phantoms from here on are never trained on
VALIDATION_SEEDS = 900_000


class PhantomConfig(BaseModel):
    """Training pairs made on the fly: generated skulls, endless defects.

    Attributes:
        resolution: voxels along an edge of the grid.
        skulls: how many different skulls, seeds 0 to skulls - 1; every sample cuts a new defect.
        jitter: largest shift of a sample off the centre of its grid, in voxels per axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: PositiveInt = 64
    skulls: PositiveInt = Field(default=2000, le=VALIDATION_SEEDS)
    jitter: NonNegativeInt = 3


class TrainingConfig(BaseModel):
    """Everything that decides a run's weights; where and on what it runs is left to the command.

    Attributes:
        architecture: name in the architectures registry.
        config: the architecture's own config.
        phantoms: the data.
        steps: optimiser steps.
        batch_size: skulls per step.
        learning_rate: peak of the schedule: linear warm-up, then half a cosine down to zero.
        warmup: share of the steps that warm up.
        average: decay of the exponential moving average of weights, which is what is exported.
        seed: of the initial weights and of the order of the data.
        validate_every: steps between validations, which also write a checkpoint.
        validation_cases: phantoms in a validation.
        statistics_batches: batches that the final BatchNorm statistics are measured on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    config: dict[str, Any] = {}
    phantoms: PhantomConfig = PhantomConfig()
    steps: PositiveInt = 4000
    batch_size: PositiveInt = 8
    learning_rate: PositiveFloat = 1e-3
    warmup: float = Field(default=0.1, ge=0, le=1)
    average: float = Field(default=0.999, ge=0, lt=1)
    seed: NonNegativeInt = 0
    validate_every: PositiveInt = 250
    validation_cases: PositiveInt = 8
    statistics_batches: PositiveInt = 50


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
