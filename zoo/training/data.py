"""Batches of training pairs, made in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from zoo.errors import ZooError
from zoo.training.augmentation import augment
from zoo.training.cache import GridCache
from zoo.training.config import TrainingConfig
from zoo.training.pairs import Batch, Pair, place_pair
from zoo.training.sources import Cases, Phantoms, Shapes
from zoo.voxels import CELL


class Samples(Dataset[Pair]):
    """Sample n is a defective skull and the complete one, around the middle of a network's cells.

    It depends on the config and n alone, so a resumed run sees what it would have seen.
    """

    def __init__(self, config: TrainingConfig, cache: Path, cell: int = CELL) -> None:
        self.config, self.cell = config, cell
        kept = GridCache(cache)
        self.phantoms = Phantoms(config.phantoms, kept)
        dataset = config.dataset
        self.cases = Cases(dataset, config.phantoms.resolution, kept) if dataset else None

    def __getitem__(self, number: int) -> Pair:
        # What not every config draws comes from a generator of its own.
        rng, extra = (
            np.random.Generator(np.random.PCG64([self.config.seed, number, *stream]))
            for stream in ((), (1,))
        )
        shapes = self._source(extra).sample(rng)
        jitter = self.config.phantoms.jitter
        offset = rng.integers(-jitter, jitter + 1, 3)
        pair = augment(shapes.defective, shapes.complete, self.config.augmentation, extra)
        return place_pair(*pair, offset, self.cell)

    def validation(self) -> Iterator[Shapes]:
        """Cases that are never trained on: the data set's own, or phantoms."""
        wanted = self.config.validation_cases
        if self.cases and self.cases.validation_cases:
            numbers = range(min(wanted, len(self.cases.validation_cases)))
            return map(self.cases.held_out, numbers)
        return map(self.phantoms.held_out, range(wanted))

    def _source(self, rng: np.random.Generator) -> Phantoms | Cases:
        dataset = self.config.dataset
        if self.cases and dataset and rng.random() < dataset.share:
            return self.cases
        return self.phantoms


def batches(
    samples: Samples,
    steps: range,
    workers: int,
    *,
    process: int = 0,
    processes: int = 1,
) -> Iterator[list[Batch]]:
    """What one process computes in every step, pass by pass.

    Args:
        samples: what step n takes samples n B to (n + 1) B - 1 from, B being the batch size.
        steps: the steps wanted.
        workers: processes that make the samples; 0: this one.
        process: which share of a step's samples.
        processes: how many shares there are; times the passes, they divide the batch size.
    """
    config = samples.config
    share = config.batch_size // processes
    starts = (step * config.batch_size + process * share for step in steps)
    loader = DataLoader(
        samples,
        batch_sampler=[list(range(start, start + share)) for start in starts],
        num_workers=workers,
        collate_fn=partial(_passes, count=config.accumulate),
        generator=torch.Generator(),  # or it would draw from the global one
    )
    try:
        yield from loader
    except ZooError as error:  # a worker's carries its traceback, the message at the end
        raise type(error)(str(error).rstrip().split(f"{type(error).__name__}: ")[-1]) from error


def _passes(pairs: list[Pair], count: int) -> list[Batch]:
    size = len(pairs) // count
    parts = (pairs[start : start + size] for start in range(0, len(pairs), size))
    return [([s for s, _ in part], [t for _, t in part]) for part in parts]
