"""Operations on rows: membership, moving them from one index to another, scale and ReLU."""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

from math import gcd

import numpy as np
import torch
from torch import Tensor

from zoo.sparse.backends.bitmap.cpu import lanes
from zoo.sparse.backends.bitmap.cpu.bits import lowest, popcount
from zoo.sparse.backends.bitmap.cpu.index import BitmapIndex
from zoo.sparse.backends.bitmap.cpu.runtime import jit, run, spans
from zoo.sparse.backends.bitmap.cpu.words import line_of, word_at

U = np.uint64


def contains(index: BitmapIndex, other: BitmapIndex) -> Tensor:
    """(N,) bool: which voxels of `index` occur in `other`."""
    found = np.empty(len(index), np.bool_)
    run(find_rows, index.spans(), index.bitmap, other.bitmap, found)
    return torch.from_numpy(found)


def transfer(
    features: Tensor, source: BitmapIndex, target: BitmapIndex, onto: Tensor | None = None
) -> Tensor:
    """Features (N, C) on the source -> (N', C) on the target, zero where the source has none.

    With `onto` they are added to that tensor, in place.
    """
    values = features.detach().contiguous().numpy()
    shape = len(target), values.shape[1]
    out = np.zeros(shape, values.dtype) if onto is None else onto.numpy()
    run(move_rows, target.spans(), source.bitmap, target.bitmap, values, out, onto is not None)
    return torch.from_numpy(out) if onto is None else onto


def rectify(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """max(features * scale + shift, 0) for features (N, C), scale and shift (C,), in place."""
    values = features.numpy()
    channels, vector = values.shape[1], lanes.REGISTER_BYTES // values.itemsize
    rows = vector // gcd(vector, channels)  # the fewest whole rows that fill whole vectors
    stretches = len(values) // rows
    a, b = (each.detach().numpy() for each in (scale, shift))
    repeated = np.tile(a, rows), np.tile(b, rows)
    run(rectify_rows, spans(stretches, len(values)), values, *repeated, rows * channels // vector)
    rest = values[stretches * rows :]
    np.maximum(rest * a + b, 0, out=rest)
    return features


@jit
def find_rows(_, begin, end, bitmap, other, found):
    """found (N,): whether the voxel of each row of a bitmap occurs in the other one."""
    row = bitmap.rank[begin * bitmap.words.shape[3]]
    for line in range(begin, end):
        b, i, j = line_of(bitmap, line)
        for w in range(bitmap.words.shape[3]):
            word = word_at(bitmap, b, i, j, w + bitmap.w)
            there = word_at(other, b, i, j, w + bitmap.w)
            while word:
                found[row] = there >> U(lowest(word)) & U(1)
                word &= word - U(1)
                row += 1


@jit
def move_rows(_, begin, end, source, target, features, out, add):
    """Set, or add to, the rows of `out` from those of `features` with the same coordinate.

    Rows whose coordinate the source has not are left alone. One direction and the other of pruning
    and of the union, and their gradients, are all this.
    """
    channels = out.shape[1]
    words = source.words.shape[3]
    for line in range(begin, end):
        b, i, j = line_of(target, line)
        if not (0 <= i - source.i < source.words.shape[1]):
            continue
        if not (0 <= j - source.j < source.words.shape[2]):
            continue
        position = (
            (b * source.words.shape[1] + i - source.i) * source.words.shape[2] + j - source.j
        ) * words
        for w in range(target.words.shape[3]):
            at = w + target.w - source.w
            if not 0 <= at < words:
                continue
            there = source.words[b, i - source.i, j - source.j, at]
            here = target.words[b, i - target.i, j - target.j, w]
            to = target.rank[line * target.words.shape[3] + w]
            first = source.rank[position + at]
            common = there & here
            while common:
                below = (common & (~common + U(1))) - U(1)
                a = first + popcount(there & below)
                z = to + popcount(here & below)
                for c in range(channels):
                    if add:
                        out[z, c] += features[a, c]
                    else:
                        out[z, c] = features[a, c]
                common &= common - U(1)


@jit
def rectify_rows(_, begin, end, values, scale, shift, period):
    """max(values * scale + shift, 0) for a span of stretches as long as shift, in vectors."""
    at, count = begin * len(shift), end - begin
    lanes.rectify(values, at, scale, shift, period, count)
