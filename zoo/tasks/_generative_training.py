"""The parts that training completion and super-resolution share: skulls, loss at every level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from zoo.sparse import Backend, Index, SparseTensor
from zoo.tasks._skulls import Cases, Phantoms, Shapes, contract_at
from zoo.training import (
    AugmentationConfig,
    Batch,
    CountsCases,
    CoveredTarget,
    DatasetConfig,
    GridCache,
    PhantomConfig,
    TrainingConfig,
    coverage_loss,
    deep_supervision,
    occupancy_loss,
    sparse_input,
)


class GenerativeTrainingConfig(TrainingConfig):
    """Config of a run that trains a generative network.

    Attributes:
        phantoms: the generated data, and the grid.
        dataset: data on disk; None for phantoms only.
        augmentation: augmentation of all samples.
        loss_weights: weights of the levels' losses, from tensor stride 1 up; all 1 if left out.
        coverage: whether the network gets and predicts the share of every voxel that is occupied,
            rather than whether any of it is.
    """

    phantoms: PhantomConfig = PhantomConfig()
    dataset: DatasetConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig()
    loss_weights: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | None = None
    coverage: bool = False


class Target(NamedTuple):
    """The ground truth of a batch.

    Attributes:
        shape: its voxels, with their coverage as features (N, 1), or ones.
        zone: the voxels around the defects at the tensor stride of the network's focus; None
            without coverage.
    """

    shape: SparseTensor
    zone: Index | None = None


class GenerativeTraining(CountsCases):
    """Base of training generative networks: provides shapes, and a loss at every level."""

    def __init__(self, config: GenerativeTrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.cell = config, cell
        self.block = 2 ** (config.config.get("focus") or 0)  # voxels along an edge at its focus
        kept = GridCache(cache)
        self.contract = contract_at(config.phantoms.resolution, covered=config.coverage)
        deformed = config.augmentation if config.coverage else None
        self.phantoms = Phantoms(config.phantoms, kept, deformed)
        dataset = config.dataset
        generated = dataset is None or dataset.share < 1
        sources = ["generated phantoms"] * generated + ["a data set"] * (dataset is not None)
        self.data = " and ".join(sources)
        resolution = config.phantoms.resolution
        self.cases = Cases(dataset, resolution, kept, deformed) if dataset else None

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Target]:
        inputs, targets = batch
        x = sparse_input(inputs, backend, device)
        if not isinstance(targets[0], CoveredTarget):
            return x, Target(sparse_input(targets, backend, device))
        complete = sparse_input([target.complete for target in targets], backend, device)
        blocks = [target.zone.to(device) for target in targets]
        zone = SparseTensor.from_coordinates(blocks, backend=backend, stride=self.block)
        return x, Target(complete, zone.index)

    def loss(self, network: nn.Module, x: SparseTensor, target: Target, *, forced: bool) -> Tensor:
        if target.zone is None:
            found = network(x, target.shape.index, forced=forced)
            return deep_supervision(found.levels, self.config.loss_weights)
        found = network(x, target.shape.index, forced=forced, zone=target.zone)
        loss = deep_supervision(found.levels, self.config.loss_weights)
        if found.focus is not None:
            loss = loss + occupancy_loss(found.focus)
        return loss + coverage_loss(found.candidates, target.shape)

    def preparations(self) -> Sequence[Callable[[], object]]:
        """Read every case of the data set that the run needs, and its variants, once."""
        if self.cases is None:
            return ()
        held_out = self.cases.validation_cases[: self.config.validation_cases]
        variants = range(self.cases.config.variants)
        needed = [(case, number) for case in self.cases.cases for number in variants]
        needed += [(case, 0) for case in held_out]
        return [partial(self.cases.prepared, *each) for each in needed]

    def validation(self) -> Iterator[Shapes]:
        """Cases that are never trained on: the data set's validation split, or phantoms."""
        wanted = self.config.validation_cases
        if self.cases and self.cases.validation_cases:
            numbers = self.shared(min(wanted, len(self.cases.validation_cases)))
            return self.counted(map(self.cases.held_out, numbers), len(numbers))
        numbers = self.shared(wanted)
        return self.counted(map(self.phantoms.held_out, numbers), len(numbers))

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
