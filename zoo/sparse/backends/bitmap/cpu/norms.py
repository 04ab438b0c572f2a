"""Normalisation of rows, in two passes each way: the moments, then what follows from them.

Sums are kept in the type of the features over a few rows, beyond that in double precision; where
rows are cut does not depend on the number of threads.
"""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.sparse.backends.bitmap.cpu.index import BitmapIndex
from zoo.sparse.backends.bitmap.cpu.parts import part
from zoo.sparse.backends.bitmap.cpu.runtime import jit, run, spans
from zoo.sparse.normalisation import Moments, Normalisation

SAMPLE = 256  # rows of a section, evenly spaced, around whose mean its sums are taken
LENGTH = 512  # numbers that the inner loops go over, at least
STRETCHES = 64  # of that length, of which sums are kept in the type of the features


class Cut(NamedTuple):
    """Spans of work within sections, and the section of each."""

    spans: list[tuple[int, int]]
    sections: np.ndarray


class CompiledNormaliser:
    """Normalises rows that are in raster order; see `zoo.sparse.normalisation.Normaliser`."""

    def fits(self, features: Tensor) -> bool:
        return features.dtype in (torch.float32, torch.float64)

    def normalise(
        self, features: Tensor, how: Normalisation, index: BitmapIndex, out: Tensor
    ) -> Moments:
        values, rows = features.detach().numpy(), _sections(index, by_item=how.by_item)
        cut = _cut(rows)
        near = np.stack([_middle(values[begin:end]) for begin, end in pairwise(rows)])
        sums = _summed(add_moments, cut, near, values)
        lengths = np.maximum(np.diff(rows), 1)[:, None]
        beyond, squares = sums[:, 0] / lengths, sums[:, 1] / lengths
        mean = torch.from_numpy((near + beyond).astype(values.dtype))
        variance = torch.from_numpy(np.maximum(squares - beyond**2, 0).astype(values.dtype))
        moments = Moments(rows, mean, variance)
        factors = map(_long, _factors(how, moments)[:3])
        run(rectify_sections, cut.spans, cut.sections, *factors, values, out.numpy())
        return moments

    def differentiate(
        self, features: Tensor, how: Normalisation, moments: Moments, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        values, above, cut = features.numpy(), gradient.numpy(), _cut(moments.rows)
        mean, scale, bias, inverse = _factors(how, moments)
        factors = [_long(each) for each in (scale, bias)]
        sums = _summed(add_gradients, cut, mean, *factors, values, above)
        to_bias, to_weight = sums[:, 0], sums[:, 1] * inverse
        lengths = np.maximum(np.diff(moments.rows), 1)[:, None]
        passed_on = (-scale * each / lengths for each in (to_weight * inverse, to_bias))
        factors += [_long(each.astype(values.dtype)) for each in passed_on]
        out = np.empty_like(values)
        run(differentiate_rows, cut.spans, cut.sections, _long(mean), *factors, values, above, out)
        totals = (each.sum(0).astype(values.dtype) for each in (to_weight, to_bias))
        return torch.from_numpy(out), *map(torch.from_numpy, totals)


def _sections(index: BitmapIndex, *, by_item: bool) -> tuple[int, ...]:
    """Where the sections of an index's rows begin and end."""
    words = index.bitmap.words
    step = words[0].size if by_item else words.size
    return tuple(index.bitmap.rank[::step].tolist())


def _factors(how: Normalisation, moments: Moments) -> tuple[np.ndarray, ...]:
    """Mean, scale and bias (S, C) of sections, and the inverse of their standard deviations."""
    inverse = torch.rsqrt(moments.variance + how.eps)
    scale = how.weight.detach().to(inverse) * inverse
    bias = how.bias.detach().to(inverse).expand_as(scale)
    return tuple(each.numpy() for each in (moments.mean, scale, bias, inverse))


def _middle(values: np.ndarray) -> np.ndarray:
    """About the mean of rows, near which their deviations are small; zero if there are none."""
    some = values[:: 1 + len(values) // SAMPLE]
    return some.mean(0) if len(some) else np.zeros(values.shape[1], values.dtype)


def _cut(rows: tuple[int, ...]) -> Cut:
    """Cut sections of rows into spans of work."""
    made, section = [], []
    for number, (begin, end) in enumerate(pairwise(rows)):
        for first, last in spans(end - begin, end - begin) if end > begin else ():
            made.append((begin + first, begin + last))
            section.append(number)
    return Cut(made, np.array(section))


def _long(factors: np.ndarray) -> np.ndarray:
    """Factors (S, C) of sections, repeated until their rows are long enough for a vector loop."""
    return np.tile(factors, -(-LENGTH // factors.shape[1]))


def _summed(kernel, cut: Cut, middle: np.ndarray, *arguments) -> np.ndarray:
    """Sums (S, 2, C) in double precision, of what a kernel adds up (spans, 2, C)."""
    channels = middle.shape[1]
    sums = np.zeros((len(cut.spans), 2, channels))
    run(kernel, cut.spans, cut.sections, _long(middle), *arguments, sums)
    total = np.zeros((len(middle), 2, channels))
    np.add.at(total, cut.sections, sums)
    return total


@part
def keep_sums(first, second, sums):
    """Add sums over the rows of a stretch to those of channels (2, C), and begin anew."""
    channels = sums.shape[1]
    for n in range(len(first)):
        sums[0, n % channels] += first[n]
        sums[1, n % channels] += second[n]
        first[n] = 0
        second[n] = 0


@jit
def add_moments(number, begin, end, sections, middle, values, sums):
    """Add up by how much rows exceed the middle, and the squares of that."""
    channels, length, section = values.shape[1], middle.shape[1], sections[number]
    flat = values.ravel()[begin * channels : end * channels]
    first, second = np.zeros(length, values.dtype), np.zeros(length, values.dtype)
    offset = middle[section]
    for start in range(0, len(flat), length * STRETCHES):
        for at in range(start, min(start + length * STRETCHES, len(flat)), length):
            for n in range(min(length, len(flat) - at)):
                value = flat[at + n] - offset[n]
                first[n] += value
                second[n] += value * value
        keep_sums(first, second, sums[number])


@jit
def add_gradients(number, begin, end, sections, mean, scale, bias, values, gradient, sums):
    """Add up the gradient where the output is positive, and that times what exceeds the mean."""
    channels, length, section = values.shape[1], mean.shape[1], sections[number]
    flat = values.ravel()[begin * channels : end * channels]
    above = gradient.ravel()[begin * channels : end * channels]
    first, second = np.zeros(length, values.dtype), np.zeros(length, values.dtype)
    m, a, b, zero = mean[section], scale[section], bias[section], values.dtype.type(0)
    for start in range(0, len(flat), length * STRETCHES):
        for at in range(start, min(start + length * STRETCHES, len(flat)), length):
            for n in range(min(length, len(flat) - at)):
                value = flat[at + n] - m[n]
                passed = above[at + n] if value * a[n] + b[n] > zero else zero
                first[n] += passed
                second[n] += passed * value
        keep_sums(first, second, sums[number])


@jit
def rectify_sections(number, begin, end, sections, mean, scale, bias, values, out):
    """out = max((values - mean) * scale + bias, 0) with the factors of a section."""
    channels, length, section = values.shape[1], mean.shape[1], sections[number]
    flat = values.ravel()[begin * channels : end * channels]
    to = out.ravel()[begin * channels : end * channels]
    m, a, b, zero = mean[section], scale[section], bias[section], values.dtype.type(0)
    for at in range(0, len(flat), length):
        for n in range(min(length, len(flat) - at)):
            value = (flat[at + n] - m[n]) * a[n] + b[n]
            to[at + n] = zero if value < zero else value  # NaN stays, as with torch.relu


@jit
def differentiate_rows(
    number, begin, end, sections, mean, scale, bias, slope, offset, values, gradient, out
):
    """The gradient of rows: scale times what passes the ReLU, and what the moments pass on."""
    channels, length, section = values.shape[1], mean.shape[1], sections[number]
    flat = values.ravel()[begin * channels : end * channels]
    above = gradient.ravel()[begin * channels : end * channels]
    to = out.ravel()[begin * channels : end * channels]
    m, a, b, zero = mean[section], scale[section], bias[section], values.dtype.type(0)
    s, o = slope[section], offset[section]
    for at in range(0, len(flat), length):
        for n in range(min(length, len(flat) - at)):
            value = flat[at + n] - m[n]
            passed = above[at + n] if value * a[n] + b[n] > zero else zero
            to[at + n] = passed * a[n] + value * s[n] + o[n]
