"""A slow ground truth for the sparse operations, in NumPy; it imports nothing from the package.

A sparse tensor is a dict from (batch, i, j, k) to a feature vector. Every function spells out the
equation.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np

Point = tuple[int, ...]
Rows = dict[Point, Any]  # feature vectors (C,)
Kernel = np.ndarray  # (K, C_in, C_out)


def offsets(size: int) -> list[tuple[int, int, int]]:
    """The offset that each row of a kernel reads; the first axis is fastest."""
    span = range(-1, 2) if size == 3 else range(size)
    return [(i, j, k) for k in span for j in span for i in span]


def moved(point: Point, offset: tuple[int, int, int], step: int) -> Point:
    batch, *axes = point
    return (batch, *(a + step * o for a, o in zip(axes, offset, strict=True)))


def coarse(points: Iterable[Point], stride: int) -> set[Point]:
    return {(b, *(a // stride * stride for a in axes)) for b, *axes in points}


def terms(
    source: Rows, target: Iterable[Point], size: int, step: int, sign: int
) -> Iterator[tuple[Point, int, Point]]:
    """All triples (target point, row of the kernel, source point) of a convolution."""
    for point, (row, offset) in product(target, enumerate(offsets(size))):
        other = moved(point, offset, sign * step)
        if other in source:
            yield point, row, other


def apply(x: Rows, kernel: Kernel, target: Iterable[Point], step: int, sign: int) -> Rows:
    size = round(len(kernel) ** (1 / 3))
    out = {point: np.zeros(kernel.shape[2]) for point in target}
    for point, row, other in terms(x, list(out), size, step, sign):
        out[point] = out[point] + x[other] @ kernel[row]
    return out


def convolution(x: Rows, kernel: Kernel, stride: int, tensor_stride: int) -> Rows:
    target = set(x) if stride == 1 else coarse(x, tensor_stride * stride)
    return apply(x, kernel, target, tensor_stride, +1)


def generative_transposed_convolution(x: Rows, kernel: Kernel, tensor_stride: int) -> Rows:
    step = tensor_stride // 2
    size = round(len(kernel) ** (1 / 3))
    target = {moved(point, offset, step) for point in x for offset in offsets(size)}
    return apply(x, kernel, target, step, -1)


def transposed_convolution(
    x: Rows, kernel: Kernel, target: Iterable[Point], tensor_stride: int
) -> Rows:
    return apply(x, kernel, target, tensor_stride // 2, -1)


def gradients(x: Rows, kernel: Kernel, upstream: Rows, step: int, sign: int) -> tuple[Rows, Kernel]:
    """Gradients of sum(out * upstream) with respect to x and kernel."""
    size = round(len(kernel) ** (1 / 3))
    to_x = {point: np.zeros(kernel.shape[1]) for point in x}
    to_kernel = np.zeros_like(kernel)
    for point, row, other in terms(x, upstream, size, step, sign):
        to_x[other] += kernel[row] @ upstream[point]
        to_kernel[row] += np.outer(x[other], upstream[point])
    return to_x, to_kernel


def add(x: Rows, y: Rows) -> Rows:
    channels = len(next(iter((x or y).values())))
    zero = np.zeros(channels)
    return {point: x.get(point, zero) + y.get(point, zero) for point in set(x) | set(y)}


def prune(x: Rows, keep: Callable[[Point], bool]) -> Rows:
    return {point: value for point, value in x.items() if keep(point)}
