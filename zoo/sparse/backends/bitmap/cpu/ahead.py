"""Compiles a part of what a first prediction needs in a second process, while the first begins.

Numba compiles on one thread. Where nothing is kept in its cache yet, another process compiles the
kernels that a network calls after its finest levels, into the same cache, and whoever comes to one
of these waits for it. If that process fails, the kernels are compiled as usual.
"""

from __future__ import annotations

import sys
from functools import cache
from subprocess import DEVNULL, Popen
from typing import Any

import numba
import numpy as np
import torch

from zoo.memory import free_memory
from zoo.sparse.backends.bitmap.bounds import Bounds
from zoo.sparse.backends.bitmap.cpu import rows, wide, words
from zoo.sparse.backends.bitmap.cpu.index import Bitmap
from zoo.sparse.backends.bitmap.cpu.runtime import LEAST, Types, compile_elsewhere, is_kept
from zoo.sparse.convolution_relation import Relation


@cache
def compile_ahead() -> None:
    """Begin with it, once in a process, where it helps: two threads, and nothing in the cache."""
    if torch.get_num_threads() > 1 and not is_kept(wide.convolve) and free_memory() > 2 * LEAST:
        process = Popen(
            [sys.executable, "-m", __name__], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
        compile_elsewhere(process, kernels())


def kernels() -> dict[Any, Types]:
    """Kernels, and the types of the arguments that a network calls each with."""
    bitmap = Bitmap.empty(1, Bounds((0, 0, 0), (1, 1, 1)))
    features = np.zeros((1, 1), np.float32)
    span, relation = (0, 0, 0), Relation(0, -1, 3)
    weights = np.zeros((1, 1, 1, 16), np.float32)
    arguments: dict[Any, tuple[Any, ...]] = {
        wide.convolve: (bitmap, bitmap, relation, features, weights, features),
        words.refine: (bitmap, 2, bitmap),
        words.unite: (bitmap, bitmap, bitmap),
        rows.move_rows: (bitmap, bitmap, features, features, True),
        words.select: (bitmap, np.zeros(1, np.bool_), bitmap),
    }
    return {
        kernel: tuple(map(numba.typeof, (*span, *given))) for kernel, given in arguments.items()
    }


def main() -> None:
    for kernel, types in kernels().items():
        if not is_kept(kernel):
            kernel.compile(types)


if __name__ == "__main__":
    main()
