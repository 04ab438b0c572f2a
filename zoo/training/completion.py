"""Training of completion: a defective skull, and the complete one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.cards import InputContract
from zoo.data.phantoms import FIELD_OF_VIEW
from zoo.sparse import Backend, Index, SparseTensor
from zoo.training.augmentation import augment
from zoo.training.cache import GridCache
from zoo.training.config import TrainingConfig
from zoo.training.losses import deep_supervision
from zoo.training.pairs import Batch, Pair, place_pair, sparse_input
from zoo.training.scoring import Scores, score
from zoo.training.sources import Cases, Phantoms, Shapes


class Generative:
    """What training a generative network shares: shapes, and supervision of every level."""

    def __init__(self, config: TrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.cell = config, cell
        kept = GridCache(cache)
        self.phantoms = Phantoms(config.phantoms, kept)
        dataset = config.dataset
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
        """Cases that are never trained on: the data set's own, or phantoms."""
        wanted = self.config.validation_cases
        if self.cases and self.cases.validation_cases:
            numbers = range(min(wanted, len(self.cases.validation_cases)))
            return map(self.cases.held_out, numbers)
        return map(self.phantoms.held_out, range(wanted))

    def random(self, number: int) -> tuple[np.random.Generator, np.random.Generator]:
        """Of sample n: what every config draws from, and what not every config does."""
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


class CompletionTraining(Generative):
    """A defective skull and the complete one, around the middle of a network's cells."""

    def sample(self, number: int) -> Pair:
        rng, extra = self.random(number)
        shapes = self.shapes(rng, extra)
        jitter = self.config.phantoms.jitter
        offset = rng.integers(-jitter, jitter + 1, 3)
        pair = augment(shapes.defective, shapes.complete, self.config.augmentation, extra)
        return place_pair(*pair, offset, self.cell)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        return score(network, self.validation(), backend, device)

    def facts(self) -> dict[str, Any]:
        return {"input": InputContract.around(FIELD_OF_VIEW / self.config.phantoms.resolution)}
