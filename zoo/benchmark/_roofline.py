"""The least time that a device could take, from bytes and operations and the device's rates.

It follows Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52:65 (2009).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from zoo.sparse import Backend

COPIED = {"cpu": 1 << 28, "cuda": 1 << 30}  # bytes, several times any cache
EDGE = {"cpu": 1024, "cuda": 8192}  # rows and columns of the matrices that are multiplied
REPEATS = 5


@dataclass
class Tally:
    """The least that convolutions and row transfers take; indices and norms are not counted.

    Attributes:
        bytes: every operand, including the index, read once, and every result written once.
        operations: a multiplication and an addition for each product of a weight and a feature.
    """

    bytes: int = 0
    operations: int = 0

    def add(self, *operands: Tensor) -> None:
        """Count the bytes of tensors that are read or written."""
        self.bytes += sum(tensor.numel() * tensor.itemsize for tensor in operands)


def tallied(backend: Backend) -> tuple[Backend, Tally]:
    """Make a backend of the same kind that counts what it computes; returns it and its count."""
    tally = Tally()

    class Tallied(type(backend)):  # type: ignore[misc]
        def convolve(self, features: Tensor, kernel: Tensor, *between: Any) -> Tensor:
            out: Tensor = super().convolve(features, kernel, *between)
            tally.add(features, kernel, out, *self.index_tensors(*between[1:]))
            tally.operations += 2 * kernel[0].numel() * self._pairs(features, *between)
            return out

        def correlate(self, features: Tensor, gradient: Tensor, *between: Any) -> Tensor:
            out: Tensor = super().correlate(features, gradient, *between)
            tally.add(features, gradient, out, *self.index_tensors(*between[1:]))
            tally.operations += 2 * out[0].numel() * self._pairs(features, *between)
            return out

        def transfer(
            self, features: Tensor, source: Any, target: Any, onto: Tensor | None = None
        ) -> Tensor:
            out: Tensor = super().transfer(features, source, target, onto)
            tally.add(features, out, *self.index_tensors(source, target))
            return out

        def _pairs(self, features: Tensor, relation: Any, source: Any, target: Any) -> int:
            """The number of pairs of voxels that a convolution multiplies."""
            ones = features.new_ones(len(source), 1, dtype=torch.float32)
            kernel = ones.new_ones(relation.size**3, 1, 1)
            counts = super().convolve(ones, kernel, relation, source, target)
            return int(counts.sum(dtype=torch.float64))

    return Tallied(), tally


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Measure the device: bytes per second of a copy, operations per second of a matrix product."""
    size, edge = COPIED[device.type], EDGE[device.type]
    values = torch.ones(size, dtype=torch.uint8, device=device)
    copy = torch.empty_like(values)
    matrix = torch.randn(edge, edge, device=device).to(dtype)
    copied = least_seconds(lambda: copy.copy_(values), device)
    multiplied = least_seconds(lambda: matrix @ matrix, device)
    return 2 * size / copied, 2 * edge**3 / multiplied


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time one run; on a GPU with CUDA events, from an idle start to the end of the last kernel."""
    if device.type != "cuda":
        started = perf_counter()
        run()
        return perf_counter() - started
    torch.cuda.synchronize(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) / 1000


def least_seconds(run: Callable[[], object], device: torch.device) -> float:
    """The shortest time of a few runs, after one to warm up."""
    run()
    return min(seconds(run, device) for _ in range(REPEATS))
