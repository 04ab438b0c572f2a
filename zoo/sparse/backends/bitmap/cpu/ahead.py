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
from zoo.sparse.backends.bitmap.cpu.runtime import LEAST, compile_elsewhere, is_kept
from zoo.sparse.convolution_relation import Relation


@cache
def compile_ahead() -> None:
    """Begin with it, once in a process, where it helps: two threads, and nothing in the cache."""
    if torch.get_num_threads() > 1 and not is_kept(wide.convolve) and free_memory() > 2 * LEAST:
        process = Popen(
            [sys.executable, "-m", __name__], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
        compile_elsewhere(process, [kernel for kernel, *_ in kernels()])


def kernels() -> list[tuple[Any, ...]]:
    """Kernels, and arguments of the types that a network calls each with."""
    bitmap = Bitmap.empty(1, Bounds((0, 0, 0), (1, 1, 1)))
    features = np.zeros((1, 1), np.float32)
    span, relation = (0, 0, 0), Relation(0, -1, 3)
    weights = np.zeros((1, 1, 1, 16), np.float32)
    return [
        (wide.convolve, *span, bitmap, bitmap, relation, features, weights, features),
        (words.refine, *span, bitmap, 2, bitmap),
        (rows.move_rows, *span, bitmap, bitmap, features, features, True),
        (words.unite, *span, bitmap, bitmap, bitmap),
        (words.select, *span, bitmap, np.zeros(1, np.bool_), bitmap),
    ]


def main() -> None:
    for kernel, *arguments in kernels():
        kernel.compile(tuple(map(numba.typeof, arguments)))


if __name__ == "__main__":
    main()
