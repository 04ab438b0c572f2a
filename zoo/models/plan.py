"""Estimates what a prediction would cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import psutil
import torch

from zoo.sparse import COPIES, Backend, free_memory
from zoo.volumes import Bools, bounds, pooled

Run = Callable[[Bools], object]

GROWTH = 3.0  # voxels of a network's finest level for each that is occupied, about
FOCUSED = 0.8  # the same, where the decoder goes on only near what is missing
SAMPLE = 50_000  # occupied voxels of the trial run, at most


@dataclass(frozen=True)
class Plan:
    """The expected cost of one prediction.

    Attributes:
        voxels: number of occupied voxels on the model's grid.
        shape: shape (I, J, K) of the model's grid.
        seconds: expected time of the network, from a trial run on a coarsened copy.
        peak_memory: expected peak memory of the whole process, in bytes.
        free_memory: memory that is free now, in bytes.
        peak_device_memory: expected peak memory on the GPU, in bytes; None on the CPU.
        free_device_memory: memory that is free on the GPU now, in bytes; None on the CPU.
    """

    voxels: int
    shape: tuple[int, int, int]
    seconds: float
    peak_memory: int
    free_memory: int
    peak_device_memory: int | None = None
    free_device_memory: int | None = None


def plan_prediction(
    run: Run, grid: Bools, channels: int, focused: bool, backend: Backend, device: torch.device
) -> Plan:
    """Plan to run a network on bool (I, J, K) `grid`.

    Args:
        run: runs the network on a grid.
        grid: what is occupied.
        channels: of the network at tensor stride 1.
        focused: whether its decoder goes on only near what is missing.
        backend: which computes.
        device: where.
    """
    voxels = int(np.count_nonzero(grid))
    generated = round(FOCUSED * voxels) if focused else 8 * int(np.count_nonzero(pooled(grid, 2)))
    if backend.dense:
        low, high = bounds(grid)
        generated, overhead = int(np.prod(high - low + 1)), 0
    else:
        overhead = backend.index_bytes
    needed = _features(channels, voxels, generated) + overhead * generated
    seconds = _trial(run, grid, voxels)
    process, free = psutil.Process().memory_info().rss, free_memory()
    if device.type == "cpu":
        return Plan(voxels, grid.shape, seconds, process + needed, free)
    on_device = torch.cuda.memory_allocated(device) + needed
    return Plan(voxels, grid.shape, seconds, process, free, on_device, free_memory(device))


def bytes_per_voxel(channels: int, growth: float, backend: Backend) -> int:
    """Bytes that a network is expected to need per occupied voxel of a volume not yet seen.

    Args:
        channels: of the network at tensor stride 1.
        growth: voxels of its finest level for each that is occupied.
        backend: which computes.
    """
    overhead = 0 if backend.dense else backend.index_bytes
    return round(_features(channels, 1, growth) + overhead * growth)


def _features(channels: int, voxels: float, generated: float) -> int:
    """Bytes of the features of a level, in float32, and of those that are generated for it."""
    return round(4 * channels * (COPIES * generated + voxels))


def _trial(run: Run, grid: Bools, voxels: int) -> float:
    """Estimate the seconds for a grid from a coarsened one, as the work grows with the voxels."""
    small = grid
    while np.count_nonzero(small) > SAMPLE and min(small.shape) > 1:
        small = pooled(small, 2)
    run(small)  # compiles, and fills caches
    started = perf_counter()
    run(small)
    return (perf_counter() - started) * voxels / int(np.count_nonzero(small))
