"""The least time that a device could take, from bytes and operations and the device's rates.

It follows Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52:65 (2009).
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from zoo.sparse import Backend

COPIED = {"cpu": 1 << 28, "cuda": 1 << 30}  # bytes, several times any cache
EDGE = {"cpu": 1024, "cuda": 8192}  # rows and columns of the matrices that are multiplied
REPEATS = 5

Result = TypeVar("Result")


class Call(NamedTuple):
    """A convolution, the gradient of its kernel, or a transfer of rows, which is of size 1.

    Attributes:
        method: the backend's.
        size: length of the kernel's edge.
        rows: voxels of the source and of the target.
        channels: of the source and of the target.
        bytes: every operand, including the index, read once, and every result written once.
        operations: a multiplication and an addition for each product of a weight and a feature.
        seconds: what it took.
    """

    method: str
    size: int
    rows: tuple[int, int]
    channels: tuple[int, int]
    bytes: int
    operations: int
    seconds: float


class Tally(list[Call]):
    """What a backend computed, call by call; indices and norms are not counted."""

    @property
    def bytes(self) -> int:
        """The bytes of all calls."""
        return sum(call.bytes for call in self)

    @property
    def operations(self) -> int:
        """The operations of all calls."""
        return sum(call.operations for call in self)


def tallied(backend: Backend) -> tuple[Backend, Tally]:
    """Make a backend of the same kind that counts what it computes; returns it and its count."""
    tally = Tally()

    class Tallied(type(backend)):  # type: ignore[misc]
        def convolve(self, features: Tensor, kernel: Tensor, *between: Any) -> Tensor:
            return self._multiply("convolve", features, kernel, *between)

        def correlate(self, features: Tensor, gradient: Tensor, *between: Any) -> Tensor:
            return self._multiply("correlate", features, gradient, *between)

        def _multiply(
            self,
            method: str,
            features: Tensor,
            other: Tensor,
            relation: Any,
            source: Any,
            target: Any,
        ) -> Tensor:
            own = getattr(super(), method)
            out: Tensor
            out, took = timed(
                lambda: own(features, other, relation, source, target), features.device
            )
            kernel, last = (other, out) if method == "convolve" else (out, other)
            multiplied = self._pairs(features, relation, source, target) * kernel[0].numel()
            self._record(method, (features, kernel, last), multiplied, source, target, took)
            return out

        def transfer(
            self, features: Tensor, source: Any, target: Any, onto: Tensor | None = None
        ) -> Tensor:
            own: Any = super()
            out: Tensor
            out, took = timed(lambda: own.transfer(features, source, target, onto), features.device)
            self._record("transfer", (features, out), 0, source, target, took)
            return out

        def _record(
            self,
            method: str,
            operands: tuple[Tensor, ...],
            multiplied: int,
            source: Any,
            target: Any,
            took: float,
        ) -> None:
            """Add a call; of its operands the first is on the source, the last on the target."""
            moved = (*operands, *self.index_tensors(source, target))
            tally.append(
                Call(
                    method,
                    round(len(operands[1]) ** (1 / 3)) if multiplied else 1,
                    (len(source), len(target)),
                    (operands[0].shape[1], operands[-1].shape[1]),
                    sum(tensor.numel() * tensor.itemsize for tensor in moved),
                    2 * multiplied,
                    took,
                )
            )

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
    """Time one run."""
    return timed(run, device)[1]


def timed(run: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """The result of one run, and its seconds.

    On a GPU they are taken with CUDA events, from an idle start to the end of the last kernel.
    """
    if device.type != "cuda":
        started = perf_counter()
        return run(), perf_counter() - started
    torch.cuda.synchronize(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    result = run()
    end.record()
    torch.cuda.synchronize(device)
    return result, float(start.elapsed_time(end)) / 1000


def least_seconds(run: Callable[[], object], device: torch.device) -> float:
    """The shortest time of a few runs, after one to warm up."""
    run()
    return min(seconds(run, device) for _ in range(REPEATS))
