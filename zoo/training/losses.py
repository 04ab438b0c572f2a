"""Losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from zoo.architectures.completion import LevelOutput


def deep_supervision(levels: Sequence[LevelOutput]) -> Tensor:
    """Sum over levels of the mean binary cross-entropy of occupancy (Li et al. 2023).

    Every level needs its target: whether the ground truth, coarsened to its stride, has the voxel.
    """
    total = torch.zeros((), device=levels[0].logits.device)
    for level in levels:
        assert level.target is not None
        if len(level.logits):
            wanted = level.target.to(level.logits.dtype)
            total = total + binary_cross_entropy_with_logits(level.logits, wanted)
    return total
