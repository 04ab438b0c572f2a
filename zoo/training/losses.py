"""Losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from zoo.architectures.generative import LevelOutput
from zoo.errors import ConfigError
from zoo.sparse import SparseTensor

if TYPE_CHECKING:
    from zoo.training.tasks import TrainingTask


def deep_supervision(
    levels: Sequence[LevelOutput], weights: Sequence[float] | None = None
) -> Tensor:
    """Sum over levels of the mean binary cross-entropy of occupancy (Li et al. 2023).

    Args:
        levels: from coarse to fine. Every level needs its target: whether the ground truth,
            coarsened to its stride, has the voxel.
        weights: of the levels' terms, from fine to coarse; all 1 if left out.

    Raises:
        ConfigError: not one weight per level.
    """
    if weights is not None and len(weights) != len(levels):
        raise ConfigError(f"loss_weights: wanted {len(levels)}, one per level, got {len(weights)}")
    total = torch.zeros((), device=levels[0].logits.device)
    for level, weight in zip(levels, reversed(weights or (1.0,) * len(levels)), strict=True):
        assert level.target is not None
        if len(level.logits):
            wanted = level.target.to(level.logits.dtype)
            total = total + weight * binary_cross_entropy_with_logits(level.logits, wanted)
    return total


class Supervised(nn.Module):
    """A network with its loss behind it: what processes train on must end in what is derived.

    A level that is left without voxels takes no part in a process's loss, nor do its parameters.
    """

    def __init__(self, network: nn.Module, task: TrainingTask, *, mixed: bool = False) -> None:
        """`mixed`: multiply matrices in bfloat16."""
        super().__init__()
        self.network, self.task, self.mixed = network, task, mixed

    def forward(self, x: SparseTensor, target: Any, *, forced: bool) -> Tensor:
        """The loss () of what the network makes of x."""
        with torch.autocast(x.features.device.type, torch.bfloat16, enabled=self.mixed):
            return self.task.loss(self.network, x, target, forced=forced)
