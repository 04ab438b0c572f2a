"""Measures of agreement between a prediction and the truth."""

from __future__ import annotations

import numpy as np


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice similarity coefficient, 2 |A and B| / (|A| + |B|), of two binary grids of one shape.

    1 is equality, 0 no common voxel; two empty grids are equal. Dice, Ecology 26:297 (1945).

    Raises:
        ValueError: the shapes differ.
    """
    a, b = prediction.astype(bool), truth.astype(bool)
    if a.shape != b.shape:
        raise ValueError(f"both grids need one shape; got {a.shape} and {b.shape}")
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0
