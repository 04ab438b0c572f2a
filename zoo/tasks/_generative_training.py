"""The parts that training completion and super-resolution share: skulls, loss at every level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from zoo.sparse import Backend, Index, SparseTensor
from zoo.tasks._skulls import Cases, Phantoms, Shapes
from zoo.training import (
    AugmentationConfig,
    Batch,
    DatasetConfig,
    GridCache,
    PhantomConfig,
    TrainingConfig,
    deep_supervision,
    sparse_input,
)


class GenerativeTrainingConfig(TrainingConfig):
    """Config of a run that trains a generative network.

    Attributes:
        phantoms: the generated data, and the grid.
        dataset: data on disk; None for phantoms only.
        augmentation: augmentation of all samples.
        loss_weights: weights of the levels' losses, from tensor stride 1 up; all 1 if left out.
    """

    phantoms: PhantomConfig = PhantomConfig()
    dataset: DatasetConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig()
    loss_weights: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | None = None


class GenerativeTraining:
    """Base of training generative networks: provides shapes, and a loss at every level."""

    def __init__(self, config: GenerativeTrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.cell = config, cell
        kept = GridCache(cache)
        self.phantoms = Phantoms(config.phantoms, kept)
        dataset = config.dataset
        generated = dataset is None or dataset.share < 1
        sources = ["generated phantoms"] * generated + ["a data set"] * (dataset is not None)
        self.data = " and ".join(sources)
        self.cases = Cases(dataset, config.phantoms.resolution, kept) if dataset else None

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Index]:
        x, target = (sparse_input(items, backend, device) for items in batch)
        return x, target.index

    def loss(self, network: nn.Module, x: SparseTensor, target: Index, *, forced: bool) -> Tensor:
        levels = network(x, target, forced=forced).levels
        return deep_supervision(levels, self.config.loss_weights)

    def validation(self) -> Iterator[Shapes]:
        """Cases that are never trained on: the data set's validation split, or phantoms."""
        wanted = self.config.validation_cases
        if self.cases and self.cases.validation_cases:
            numbers = range(min(wanted, len(self.cases.validation_cases)))
            return map(self.cases.held_out, numbers)
        return map(self.phantoms.held_out, range(wanted))

    def random(self, number: int) -> tuple[np.random.Generator, np.random.Generator]:
        """The generators of sample n: for draws that every config makes, and for optional ones."""
        first, extra = (
            np.random.Generator(np.random.PCG64([self.config.seed, number, *stream]))
            for stream in ((), (1,))
        )
        return first, extra

    def shapes(self, rng: np.random.Generator, extra: np.random.Generator) -> Shapes:
        """A skull with a new defect, from the data set or generated."""
        return self._source(extra).sample(rng)

    def _source(self, rng: np.random.Generator) -> Phantoms | Cases:
        dataset = self.config.dataset
        if self.cases and dataset and rng.random() < dataset.share:
            return self.cases
        return self.phantoms
