"""How kernels are made and launched: compiled by Triton once for each kind of convolution.

Sizes are never compiled in, so another volume compiles nothing. With TRITON_INTERPRET=1 in the
environment Triton runs the same kernels on the CPU, slowly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import torch
import triton

from zoo.errors import BackendError

# What differs from volume to volume: for 1s and multiples of 16 Triton would compile anew.
SIZES = ["rows", "size", "length", "skip", "lines"]
SIZES += [f"{grid}_{size}" for grid in "xy" for size in ("i", "j", "w", "ni", "nj", "nw")]
SIZES += [f"low_{axis}" for axis in "ijk"] + [f"n_{axis}" for axis in "ijk"]


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel when it is first launched."""
    return triton.jit(function, do_not_specialize=SIZES)


part = triton.jit  # of kernels


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU; it was decided when they were made."""
    return not isinstance(_probe, triton.runtime.JITFunction)


@part
def _probe():  # type: ignore[no-untyped-def]
    pass


class Tuned:
    """A kernel in a few shapes, of which Triton keeps the fastest for each kind of convolution.

    A shape is how many rows a block has, by how many warps, and how many loads are under way. It
    must have no part in the order of any sum: the same input has to give the same bits.
    """

    def __init__(self, kernel: Any, shapes: Sequence[tuple[int, int, int]]) -> None:
        self.fn, self.shapes = kernel, shapes

    def __getitem__(self, grid: Callable[[dict[str, Any]], tuple[int, ...]]) -> Callable[..., Any]:
        """What launches it; `grid` is how many blocks there are, by what is compiled in."""
        if interpreted():
            return partial(self.fn[grid], BLOCK=self.shapes[0][0])
        return self.tuner[grid]  # type: ignore[no-any-return]

    @cached_property
    def tuner(self) -> Any:
        """Made late: Triton looks for a GPU when it makes one."""
        configs = [
            triton.Config({"BLOCK": rows}, num_warps=warps, num_stages=stages)
            for rows, warps, stages in self.shapes
        ]
        options: dict[str, Any] = {"key": ["C_IN", "C_OUT", "SCALE", "WIDTH"]}
        if "cache_results" in inspect.signature(triton.autotune).parameters:
            options["cache_results"] = True
        return triton.autotune(configs, **options)(self.fn)


def tuned(*shapes: tuple[int, int, int]) -> Callable[[Any], Tuned]:
    """Let a kernel be tuned over (rows, warps, stages)."""
    return lambda kernel: Tuned(kernel, shapes)


def blocks(count: int, size: int) -> int:
    """How many blocks of that size it takes."""
    return -(-count // size)


def power_of_two(count: int, least: int, most: int) -> int:
    """The smallest power of two that is not below `count`, within limits."""
    return max(least, min(most, 1 << (count - 1).bit_length()))


def check_device(device: torch.device) -> None:
    """Raise BackendError unless kernels run there."""
    if interpreted():
        wanted, where = "cpu", "the CPU, in Triton's interpreter (TRITON_INTERPRET=1)"
        how = "use -d cpu"
    elif torch.cuda.is_available():
        wanted, where, how = "cuda", "GPUs", "use -d cuda"
    else:
        wanted, where, how = "cuda", "GPUs, and PyTorch finds none here", "use another backend"
    if device.type != wanted:
        raise BackendError(f"backend gpu computes on {where}; got device {device}: {how}")
