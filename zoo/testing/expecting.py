"""Expectations that say what went wrong, also where pytest does not rewrite them."""

from __future__ import annotations

from typing import Any

import numpy as np


def expect(condition: object, message: str) -> None:
    """Raise AssertionError with a message unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def expect_close(got: Any, wanted: Any, tolerance: float, what: str) -> None:
    """Raise AssertionError unless two arrays of one shape agree, to a tolerance of the largest."""
    one, other = np.asarray(got), np.asarray(wanted)
    expect(one.shape == other.shape, f"{what}: wanted shape {other.shape}, got {one.shape}")
    if not other.size:
        return
    error = float(np.abs(one - other).max())
    limit = tolerance * max(1.0, float(np.abs(other).max()))
    expect(error <= limit, f"{what}: wanted an error of {limit:.3g} at most, got {error:.3g}")
