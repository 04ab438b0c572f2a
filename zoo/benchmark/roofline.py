"""The least time that a device could take: what must be moved and multiplied, over its rates.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52:65 (2009).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from zoo.sparse.backends.bitmap.backend import BitmapBackend

COPIED = {"cpu": 1 << 28, "cuda": 1 << 30}  # bytes, several times any cache
EDGE = {"cpu": 1024, "cuda": 8192}  # of the matrices that are multiplied
REPEATS = 5


@dataclass
class Tally:
    """What convolutions and moves of rows take at least; building indices and norms is not counted.

    Attributes:
        bytes: every operand read once, every result written once, the index among them.
        operations: a multiplication and an addition for each product of a weight and a feature.
    """

    bytes: int = 0
    operations: int = 0

    def add(self, *operands: Tensor) -> None:
        self.bytes += sum(tensor.numel() * tensor.itemsize for tensor in operands)


def tallied(backend: BitmapBackend) -> tuple[BitmapBackend, Tally]:
    """A backend that counts what it is asked to compute, and its count."""
    tally = Tally()

    class Tallied(type(backend)):  # type: ignore[misc]
        def convolve(self, features: Tensor, kernel: Tensor, *between: Any) -> Tensor:
            out: Tensor = super().convolve(features, kernel, *between)
            tally.add(features, kernel, out, *_parts(*between[1:]))
            tally.operations += 2 * kernel[0].numel() * self._pairs(features, *between)
            return out

        def correlate(self, features: Tensor, gradient: Tensor, *between: Any) -> Tensor:
            out: Tensor = super().correlate(features, gradient, *between)
            tally.add(features, gradient, out, *_parts(*between[1:]))
            tally.operations += 2 * out[0].numel() * self._pairs(features, *between)
            return out

        def transfer(
            self, features: Tensor, source: Any, target: Any, onto: Tensor | None = None
        ) -> Tensor:
            out: Tensor = super().transfer(features, source, target, onto)
            tally.add(features, out, *_parts(source, target))
            return out

        def _pairs(self, features: Tensor, relation: Any, source: Any, target: Any) -> int:
            """How many pairs of voxels a convolution multiplies."""
            ones = features.new_ones(len(source), 1, dtype=torch.float32)
            kernel = ones.new_ones(relation.size**3, 1, 1)
            counts = super().convolve(ones, kernel, relation, source, target)
            return int(counts.sum(dtype=torch.float64))

    return Tallied(), tally


def _parts(source: Any, target: Any) -> list[Tensor]:
    """What is read of two indices; nothing of those that are not made of tensors."""
    found = [getattr(source, name, None) for name in ("words", "rank")]
    found.append(getattr(target, "places", None))
    return [tensor for tensor in found if isinstance(tensor, Tensor)]


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Measured here: bytes a second that a copy moves, operations a second of a matrix product."""
    size, edge = COPIED[device.type], EDGE[device.type]
    values = torch.ones(size, dtype=torch.uint8, device=device)
    copy = torch.empty_like(values)
    matrix = torch.randn(edge, edge, device=device).to(dtype)
    copied = least_seconds(lambda: copy.copy_(values), device)
    multiplied = least_seconds(lambda: matrix @ matrix, device)
    return 2 * size / copied, 2 * edge**3 / multiplied


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Of one run; on a GPU by its own events, from an idle start to the last kernel's end."""
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
    """Of a few runs, after one that warms up."""
    run()
    return min(seconds(run, device) for _ in range(REPEATS))
