"""How kernels are made and launched: compiled by Triton once for each kind of convolution.

Sizes are never compiled in, so another volume compiles nothing. With TRITON_INTERPRET=1 in the
environment Triton runs the same kernels on the CPU, slowly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, cached_property, partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoo.errors import BackendError, one_line

# What differs from volume to volume: for 1s and multiples of 16 Triton would compile anew.
SIZES = ["rows", "size", "length", "skip", "lines"]
SIZES += [f"{bitmap}_{size}" for bitmap in "xyz" for size in ("i", "j", "w", "ni", "nj", "nw")]
SIZES += [f"low_{axis}" for axis in "ijk"] + [f"n_{axis}" for axis in "ijk"]

KINDS = ["C_IN", "C_OUT", "SCALE", "WIDTH", "PRECISION"]  # what a kernel is tuned for
WORTH_TUNING = 1 << 16  # rows; below, launching takes longer than the kernel does

part = triton.jit  # of kernels


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU; it was decided when they were made."""
    return not isinstance(_probe.function, triton.runtime.JITFunction)


class Kernel:
    """A kernel, compiled when it is first launched; perhaps in one of a few shapes.

    If there are several, Triton keeps the fastest for each kind of layer. A shape is how many
    rows a block has, by how many warps, and how many loads are under way. It must have no part
    in the order of any sum: the same input has to give the same bits. Such a kernel's second
    argument is how many rows there are.
    """

    def __init__(self, function: Callable[..., Any], *shapes: tuple[int, int, int]) -> None:
        self.function = triton.jit(function, do_not_specialize=SIZES)
        self.configs = [
            triton.Config({"BLOCK": rows}, num_warps=warps, num_stages=stages)
            for rows, warps, stages in shapes
        ]

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        """What launches it on so many blocks, or on as many as `grid` tells by the constants."""
        return partial(self._launch, grid)

    def _launch(self, grid: Any, first: Tensor, *arguments: Any, **constants: Any) -> None:
        """On the device of the first argument, a tensor."""
        launched = self.function
        if len(self.configs) > 1 and not interpreted() and arguments[0] >= WORTH_TUNING:
            launched = self.tuner
        elif self.configs:
            constants |= self.configs[0].all_kwargs()
        with torch.cuda.device(first.device) if first.is_cuda else nullcontext():
            launched[grid](first, *arguments, **constants)

    @cached_property
    def tuner(self) -> Any:
        """Made late: Triton looks for a GPU when it makes one."""
        options: dict[str, Any] = {"key": [n for n in KINDS if n in self.function.arg_names]}
        if "cache_results" in inspect.signature(triton.autotune).parameters:
            options["cache_results"] = True
        return triton.autotune(self.configs, **options)(self.function)


def tuned(*shapes: tuple[int, int, int]) -> Callable[[Any], Kernel]:
    """A kernel in one shape, or several: (rows, warps, stages)."""
    return lambda function: Kernel(function, *shapes)


def blocks(count: int, size: int) -> int:
    """How many blocks of that size it takes."""
    return -(-count // size)


def power_of_two(count: int, least: int, most: int) -> int:
    """The smallest power of two that is not below `count`, within limits."""
    return max(least, min(most, 1 << (count - 1).bit_length()))


@Kernel
def _probe(found):  # type: ignore[no-untyped-def]
    tl.store(found, 1)


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
    problem = _problem(device)
    if problem:
        raise BackendError(f"backend gpu: Triton cannot compute on {device}: {problem}")


@cache
def _problem(device: torch.device) -> str:
    """What keeps a kernel from being compiled and run there; empty if nothing does."""
    found = torch.zeros(1, dtype=torch.int32, device=device)
    try:
        _probe[(1,)](found)
    except Exception as error:  # of a compiler, a driver, a GPU that is too old
        return one_line(error)
    return "" if int(found) == 1 else "a kernel did not write what it should"
