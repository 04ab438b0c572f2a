"""How kernels are made and launched: compiled by Triton once for each kind of convolution.

Sizes are never compiled in, so another volume compiles nothing. With TRITON_INTERPRET=1 in the
environment Triton runs the same kernels on the CPU, slowly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Any

import torch
import triton
from torch import Tensor

from zoo.errors import BackendError

# What differs from volume to volume: for 1s and multiples of 16 Triton would compile anew.
SIZES = ["rows", "size", "length", "skip", "lines"]
SIZES += [f"{grid}_{size}" for grid in "xy" for size in ("i", "j", "w", "ni", "nj", "nw")]
SIZES += [f"low_{axis}" for axis in "ijk"] + [f"n_{axis}" for axis in "ijk"]


part = triton.jit  # of kernels


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU; it was decided when they were made."""
    return not isinstance(_probe, triton.runtime.JITFunction)


@part
def _probe():  # type: ignore[no-untyped-def]
    pass


class Kernel:
    """A kernel, compiled when it is first launched; perhaps in a few shapes.

    Of those Triton keeps the fastest for each kind of convolution. A shape is how many rows a block
    has, by how many warps, and how many loads are under way. It must have no part in the order of
    any sum: the same input has to give the same bits.
    """

    def __init__(self, function: Callable[..., Any], *shapes: tuple[int, int, int]) -> None:
        self.function = triton.jit(function, do_not_specialize=SIZES)
        self.shapes = shapes

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        """What launches it on so many blocks, or on as many as `grid` tells by the constants."""
        return partial(self._launch, grid)

    def _launch(self, grid: Any, first: Tensor, *arguments: Any, **constants: Any) -> None:
        """On the device of the first argument, a tensor."""
        with torch.cuda.device(first.device) if first.is_cuda else nullcontext():
            if self.shapes and interpreted():
                self.function[grid](first, *arguments, BLOCK=self.shapes[0][0], **constants)
            elif self.shapes:
                self.tuner[grid](first, *arguments, **constants)
            else:
                self.function[grid](first, *arguments, **constants)

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
        return triton.autotune(configs, **options)(self.function)


def tuned(*shapes: tuple[int, int, int]) -> Callable[[Any], Kernel]:
    """A kernel in several shapes: (rows, warps, stages)."""
    return lambda function: Kernel(function, *shapes)


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
