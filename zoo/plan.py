"""What a prediction would cost, before it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import psutil
import torch

from zoo.conform import Bools
from zoo.sparse.memory import COPIES, free_memory
from zoo.tasks.base import Engine
from zoo.voxels import bounds, pooled

Run = Callable[[Bools], object]

SAMPLE = 50_000  # voxels of the trial run

# Bytes that index and kernel map of the finest level take per voxel, measured with `zoo bench`
# (`gpu`: counted).
INDEX_BYTES = {"cpu": 4, "gpu": 8, "torch": 350, "minkowski": 1200}
INDEX_BYTES_UNKNOWN = 400


@dataclass(frozen=True)
class Plan:
    """The expected cost of one prediction.

    Attributes:
        voxels: occupied voxels on the model's grid.
        shape: (I, J, K) of the model's grid.
        seconds: expected time of the network, from a trial run on a coarsened copy.
        peak_memory: expected peak of the whole process, bytes.
        free_memory: bytes that are free now.
        peak_device_memory: expected peak on the GPU, bytes; None on the CPU.
        free_device_memory: bytes that are free there now.
    """

    voxels: int
    shape: tuple[int, int, int]
    seconds: float
    peak_memory: int
    free_memory: int
    peak_device_memory: int | None = None
    free_device_memory: int | None = None


def plan_prediction(run: Run, grid: Bools, channels: int, engine: Engine) -> Plan:
    """Plan running a network on bool (I, J, K) `grid`, with `channels` at tensor stride 1."""
    voxels = int(np.count_nonzero(grid))
    generated = 8 * int(np.count_nonzero(pooled(grid, 2)))
    if engine.backend.name == "dense":
        low, high = bounds(grid)
        generated, overhead = int(np.prod(high - low + 1)), 0
    else:
        overhead = INDEX_BYTES.get(engine.backend.name, INDEX_BYTES_UNKNOWN)
    needed = 4 * channels * (COPIES * generated + voxels) + overhead * generated
    seconds = _trial(run, grid, voxels)
    process, free = psutil.Process().memory_info().rss, free_memory()
    if engine.device.type == "cpu":
        return Plan(voxels, grid.shape, seconds, process + needed, free)
    on_device = torch.cuda.memory_allocated(engine.device) + needed
    return Plan(voxels, grid.shape, seconds, process, free, on_device, free_memory(engine.device))


def _trial(run: Run, grid: Bools, voxels: int) -> float:
    """Seconds for the grid, from those for a coarsened one: the work grows with the voxels."""
    small = grid
    while np.count_nonzero(small) > SAMPLE and min(small.shape) > 1:
        small = pooled(small, 2)
    run(small)  # compiles, and fills caches
    started = perf_counter()
    run(small)
    return (perf_counter() - started) * voxels / int(np.count_nonzero(small))
