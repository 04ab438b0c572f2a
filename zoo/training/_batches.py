"""Batches of training pairs, prepared by worker processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from zoo.errors import ZooError
from zoo.training.config import TrainingConfig
from zoo.training.samples import Batch
from zoo.training.task import Training

Batches = Generator[list[Batch], None, None]


class Samples(Dataset[tuple[Any, Any]]):
    """The samples of a task: sample n is an input and its target.

    A sample only depends on the config and n, so a resumed run sees what it would have seen.
    """

    def __init__(self, task: Training) -> None:
        self.task = task

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return self.task.sample(number)


class Preparations(Dataset[int]):
    """What a task prepares before the first step; see `Training.preparations`."""

    def __init__(self, parts: Sequence[Callable[[], object]]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> int:
        self.parts[number]()
        return number


def prepare(parts: Sequence[Callable[[], object]], workers: int) -> Iterator[int]:
    """Do all parts, in several processes; yields how many are done."""
    loader = DataLoader(
        Preparations(parts),
        batch_size=None,
        num_workers=min(workers, len(parts)),
        worker_init_fn=_begin_worker,
        generator=torch.Generator(),
    )
    for done, _ in enumerate(_raised(loader), 1):
        yield done


def batches(
    samples: Samples,
    config: TrainingConfig,
    steps: range,
    workers: int,
    *,
    process: int = 0,
    processes: int = 1,
) -> Batches:
    """Yield the batches that one process computes in each step, one per pass.

    Args:
        samples: the samples; step n takes samples n B to (n + 1) B - 1, where B is the batch size.
        config: config of the run.
        steps: the steps to yield.
        workers: number of processes that prepare samples; with 0, this process does.
        process: index of this process, which takes one share of each step's samples.
        processes: number of processes; times the passes, it divides the batch size.
    """
    share = config.batch_size // processes
    starts = (step * config.batch_size + process * share for step in steps)
    loader = DataLoader(
        samples,
        batch_sampler=[list(range(start, start + share)) for start in starts],
        num_workers=workers,
        worker_init_fn=_begin_worker,
        collate_fn=partial(_passes, count=config.accumulate),
        generator=torch.Generator(),  # otherwise it would draw from the global one
    )
    yield from _raised(loader)


def _begin_worker(worker: int) -> None:
    """Keep NumPy to one thread, as PyTorch is, or workers wait for one another; leave signals.

    A signal to the whole group, as of Ctrl-C or a batch system, is the main process's, which
    completes its step; workers end when it tells them to, or has ended.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _raised(loader: DataLoader[Any]) -> Iterator[Any]:
    """The items; an error from a worker, which ends with its message, without the traceback."""
    items = iter(loader)
    try:
        yield from items
    except ZooError as error:
        text = str(error.args[0])  # as it is, where str(error) would be one line
        raise type(error)(text.rstrip().split(f"{type(error).__name__}: ")[-1]) from error
    finally:
        # While anything refers to the iterator, as a traceback does, its workers go on; and at its
        # end Python would wait for them, as they ignore that it terminates them.
        if end_workers := getattr(items, "_shutdown_workers", None):
            end_workers()


def _passes(pairs: list[tuple[Any, Any]], count: int) -> list[Batch]:
    size = len(pairs) // count
    parts = (pairs[start : start + size] for start in range(0, len(pairs), size))
    return [([s for s, _ in part], [t for _, t in part]) for part in parts]
