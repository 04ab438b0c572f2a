"""Plans a training: what its steps cost, measured on the first ones."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from zoo import sparse
from zoo.memory import free_memory
from zoo.models import forget_peak_memory, peak_memory
from zoo.sparse import DeviceMemory
from zoo.training._loop import Trainer
from zoo.training.run import make_trainer, preparations
from zoo.training.task import read_config

TRIED = 4  # steps; in the first, kernels are compiled


@dataclass(frozen=True)
class TrainingPlan:
    """The expected cost of a training.

    Attributes:
        steps: number of steps.
        samples: number of samples in each step.
        parameters: number of trainable parameters.
        step_seconds: seconds that one step takes.
        validation_seconds: seconds that all validations take together.
        data_seconds: seconds before the first step; few if the data is in the cache.
        peak_memory: peak memory of the main process, in bytes, or of the GPU; None where it is not
            known.
        free_memory: memory that was free there before, in bytes.
    """

    steps: int
    samples: int
    parameters: int
    step_seconds: float
    validation_seconds: float
    data_seconds: float
    peak_memory: int | None
    free_memory: int

    @property
    def seconds(self) -> float:
        """Seconds that the whole run is expected to take."""
        return self.data_seconds + self.steps * self.step_seconds + self.validation_seconds


def plan(
    path: Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    mixed_precision: bool = False,
    cache: Path | None = None,
) -> TrainingPlan:
    """Plan a training, from its first steps and the validation of one case; nothing is kept of it.

    Args:
        path, backend, device, threads, mixed_precision, cache: as for `train`.

    Returns:
        What the run is expected to cost on this machine, while it has nothing else to do.

    Raises:
        ConfigError: the config does not fit.
    """
    free = free_memory()
    forget_peak_memory()
    config = read_config(path)
    tried = config.model_copy(update={"validation_cases": 1})
    with TemporaryDirectory() as folder, _same_threads():
        trainer = make_trainer(
            tried,
            Path(folder),
            backend,
            device,
            threads=threads,
            mixed=mixed_precision,
            cache=cache,
        )
        parts = preparations(trainer)
        cases = len(parts) + config.validation_cases - 1
        rounds = math.ceil(cases / (os.cpu_count() or 1))
        data = rounds * _seconds(parts[0]) if parts else 0.0
        if trainer.device.type == "cuda":
            free = sparse.free_memory(trainer.device)
        with DeviceMemory(trainer.device) as memory:
            samples, steps = _tried(trainer)
            trainer.validate()  # makes the case and loads kernels, which a run does once
            validation = config.validation_cases * _seconds(trainer.validate)
        parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    return TrainingPlan(
        steps=config.steps,
        samples=config.batch_size,
        parameters=parameters,
        step_seconds=max(median(steps[1:]), median(samples[1:])),  # made by a worker meanwhile
        validation_seconds=validation * math.ceil(config.steps / config.validate_every),
        data_seconds=data,
        peak_memory=peak_memory() if memory.peak is None else memory.peak,
        free_memory=free,
    )


def _tried(trainer: Trainer) -> tuple[list[float], list[float]]:
    """Seconds that the samples of each of the first steps take, and the steps themselves."""
    batches = iter(trainer.batches(range(TRIED), workers=0))
    samples, steps = [], []
    for _ in range(TRIED):
        started = perf_counter()
        passes = next(batches)
        samples.append(perf_counter() - started)
        steps.append(_seconds(partial(trainer.update, passes)))
    return samples, steps


@contextmanager
def _same_threads() -> Iterator[None]:
    """Leave PyTorch as many threads as it had."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
