"""How kernels are made and launched: compiled by Triton once for each kind of convolution.

Sizes are never compiled in, so another volume compiles nothing. With TRITON_INTERPRET=1 in the
environment Triton runs the same kernels on the CPU, slowly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
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


def tuned(*shapes: tuple[int, int, int]) -> Callable[[Any], Any]:
    """Let Triton time a few shapes, once for each kind of convolution, and keep the fastest.

    A shape is how many rows a block has, by how many warps, and how many loads are under way.
    A shape must have no part in the order of any sum: the same input has to give the same bits.
    """
    choices = [
        triton.Config({"BLOCK": rows}, num_warps=warps, num_stages=stages)
        for rows, warps, stages in shapes[: 1 if interpreted() else None]
    ]
    options: dict[str, Any] = {"key": ["C_IN", "C_OUT", "SCALE", "WIDTH"]}
    if "cache_results" in inspect.signature(triton.autotune).parameters:
        options["cache_results"] = True
    return triton.autotune(choices, **options)  # type: ignore[no-any-return]


def blocks(count: int, size: int) -> int:
    """How many blocks of that size it takes."""
    return -(-count // size)


def power_of_two(count: int, least: int, most: int) -> int:
    """The smallest power of two that is not below `count`, within limits."""
    return max(least, min(most, 1 << (count - 1).bit_length()))


def check_device(device: torch.device) -> None:
    """Raise BackendError unless kernels run there."""
    if interpreted():
        wanted, how = "cpu", "on the CPU, in Triton's interpreter (TRITON_INTERPRET=1): use -d cpu"
    elif torch.cuda.is_available():
        wanted, how = "cuda", "on a GPU: use -d cuda, or another backend"
    else:
        wanted, how = "cuda", "on a GPU, and PyTorch finds none here: use another backend"
    if device.type != wanted:
        raise BackendError(f"backend gpu computes {how}; got device {device}")
