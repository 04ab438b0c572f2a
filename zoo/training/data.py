"""Batches of training pairs, made in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from zoo.errors import ZooError
from zoo.training.config import TrainingConfig
from zoo.training.pairs import Batch
from zoo.training.tasks import TrainingTask


class Samples(Dataset[tuple[Any, Any]]):
    """Sample n of a task: an input and its target.

    It depends on the config and n alone, so a resumed run sees what it would have seen.
    """

    def __init__(self, task: TrainingTask) -> None:
        self.task = task

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return self.task.sample(number)


def batches(
    samples: Samples,
    config: TrainingConfig,
    steps: range,
    workers: int,
    *,
    process: int = 0,
    processes: int = 1,
) -> Iterator[list[Batch]]:
    """What one process computes in every step, pass by pass.

    Args:
        samples: what step n takes samples n B to (n + 1) B - 1 from, B being the batch size.
        config: of the run.
        steps: the steps wanted.
        workers: processes that make the samples; 0: this one.
        process: which share of a step's samples.
        processes: how many shares there are; times the passes, they divide the batch size.
    """
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


def _passes(pairs: list[tuple[Any, Any]], count: int) -> list[Batch]:
    size = len(pairs) // count
    parts = (pairs[start : start + size] for start in range(0, len(pairs), size))
    return [([s for s, _ in part], [t for _, t in part]) for part in parts]
