"""A slow ground truth for the sparse operations, in NumPy; imports nothing from the package.

A sparse tensor is a dict from (batch, i, j, k) to a feature vector. Every function is the equation.
"""

from itertools import product

import numpy as np


def offsets(size):
    """Row r of a kernel reads offset offsets(size)[r]; the first axis is fastest."""
    span = range(-1, 2) if size == 3 else range(size)
    return [(i, j, k) for k in span for j in span for i in span]


def moved(point, offset, step):
    batch, *axes = point
    return (batch, *(a + step * o for a, o in zip(axes, offset, strict=True)))


def coarse(points, stride):
    return {(b, *(a // stride * stride for a in axes)) for b, *axes in points}


def terms(source, target, size, step, sign):
    """All (target point, row of the kernel, source point) that take part in a convolution."""
    for point, (row, offset) in product(target, enumerate(offsets(size))):
        other = moved(point, offset, sign * step)
        if other in source:
            yield point, row, other


def apply(x, kernel, target, step, sign):
    size = round(len(kernel) ** (1 / 3))
    out = {point: np.zeros(kernel.shape[2]) for point in target}
    for point, row, other in terms(x, target, size, step, sign):
        out[point] = out[point] + x[other] @ kernel[row]
    return out


def convolution(x, kernel, stride, tensor_stride):
    target = set(x) if stride == 1 else coarse(x, tensor_stride * stride)
    return apply(x, kernel, target, tensor_stride, +1)


def generative_transposed_convolution(x, kernel, tensor_stride):
    step = tensor_stride // 2
    size = round(len(kernel) ** (1 / 3))
    target = {moved(point, offset, step) for point in x for offset in offsets(size)}
    return apply(x, kernel, target, step, -1)


def transposed_convolution(x, kernel, target, tensor_stride):
    return apply(x, kernel, target, tensor_stride // 2, -1)


def gradients(x, kernel, upstream, step, sign):
    """Gradients of sum(out * upstream) with respect to x and kernel."""
    size = round(len(kernel) ** (1 / 3))
    to_x = {point: np.zeros(kernel.shape[1]) for point in x}
    to_kernel = np.zeros_like(kernel)
    for point, row, other in terms(x, upstream, size, step, sign):
        to_x[other] += kernel[row] @ upstream[point]
        to_kernel[row] += np.outer(x[other], upstream[point])
    return to_x, to_kernel


def add(x, y):
    channels = len(next(iter((x or y).values())))
    zero = np.zeros(channels)
    return {point: x.get(point, zero) + y.get(point, zero) for point in set(x) | set(y)}


def prune(x, keep):
    return {point: value for point, value in x.items() if keep(point)}
