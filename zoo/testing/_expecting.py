"""Assertions with messages of their own, for modules that pytest does not rewrite."""

from __future__ import annotations

from typing import Any

import numpy as np


def expect(condition: object, message: str) -> None:
    """Raise AssertionError with this message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def expect_close(got: Any, wanted: Any, tolerance: float, what: str) -> None:
    """Raise AssertionError unless two arrays agree to a tolerance relative to the largest value."""
    one, other = np.asarray(got), np.asarray(wanted)
    expect(one.shape == other.shape, f"{what}: wanted shape {other.shape}, got {one.shape}")
    if not other.size:
        return
    error = float(np.abs(one - other).max())
    limit = tolerance * max(1.0, float(np.abs(other).max()))
    expect(error <= limit, f"{what}: wanted an error of {limit:.3g} at most, got {error:.3g}")
