"""Scale, shift and ReLU in place, in one pass over memory for any number of channels."""

from __future__ import annotations

from math import gcd

import numpy as np
from torch import Tensor

from zoo.sparse.backends.cpu import lanes
from zoo.sparse.backends.cpu.runtime import jit, run, spans


@jit
def rectify_span(_, begin, end, values, scale, shift, period):  # type: ignore[no-untyped-def]
    """max(values * scale + shift, 0) for a span of stretches as long as shift, in vectors."""
    at, count = begin * len(shift), end - begin
    lanes.rectify(values, at, scale, shift, period, count)  # type: ignore[call-arg]


def rectify(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """max(features * scale + shift, 0) for features (N, C), scale and shift (C,), in place."""
    values = features.numpy()
    channels, vector = values.shape[1], lanes.REGISTER_BYTES // values.itemsize
    rows = vector // gcd(vector, channels)  # the fewest whole rows that fill whole vectors
    stretches = len(values) // rows
    a, b = (each.detach().numpy() for each in (scale, shift))
    repeated = np.tile(a, rows), np.tile(b, rows)
    run(rectify_span, spans(stretches, len(values)), values, *repeated, rows * channels // vector)
    rest = values[stretches * rows :]
    np.maximum(rest * a + b, 0, out=rest)
    return features
