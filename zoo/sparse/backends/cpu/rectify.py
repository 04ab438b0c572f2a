"""Shift and ReLU in place: a pass over memory, which takes as long for two channels as for many."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse.backends.cpu import lanes
from zoo.sparse.backends.cpu.runtime import jit, run, spans


@jit
def rectify_span(_, begin, end, values, shift, period):  # type: ignore[no-untyped-def]
    """max(values + shift, 0) for a span of stretches as long as shift, `period` vectors each."""
    lanes.rectify(values, begin * len(shift), shift, period, end - begin)  # type: ignore[call-arg]


def rectify(features: Tensor, shift: Tensor) -> Tensor:
    """max(features + shift, 0) for features (N, C) and shift (C,), in place."""
    values: NDArray[np.floating] = features.numpy()
    channels = len(shift)
    vector = lanes.REGISTER_BYTES // values.itemsize
    rows = vector // gcd(vector, channels)  # whole rows that fill whole vectors
    stretches = len(values) // rows
    repeated = np.tile(shift.detach().numpy(), rows)
    period = len(repeated) // vector
    run(rectify_span, spans(stretches, len(values)), values, repeated, period)
    rest = values[stretches * rows :]
    np.maximum(rest + shift.detach().numpy(), 0, out=rest)
    return features
