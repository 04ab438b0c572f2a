"""Losses of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from zoo import sparse
from zoo.errors import ConfigError
from zoo.networks import LevelOutput
from zoo.sparse import SparseTensor
from zoo.training.task import Training


def deep_supervision(
    levels: Sequence[LevelOutput], weights: Sequence[float] | None = None
) -> Tensor:
    """Sum over levels of the mean binary cross-entropy of occupancy (Li et al. 2023).

    Args:
        levels: the decoder's levels, from coarse to fine, with logits (N,) and target (N,): whether
            the ground truth, coarsened to the level's stride, contains the voxel.
        weights: weights of the levels' terms, from fine to coarse; all 1 if left out.

    Returns:
        The loss, a tensor of shape ().

    Raises:
        ConfigError: there is not exactly one weight per level.
    """
    if weights is not None and len(weights) != len(levels):
        raise ConfigError(f"loss_weights: wanted {len(levels)}, one per level, got {len(weights)}")
    total = torch.zeros((), device=levels[0].logits.device)
    for level, weight in zip(levels, reversed(weights or (1.0,) * len(levels)), strict=True):
        total = total + weight * occupancy_loss(level)
    return total


def occupancy_loss(level: LevelOutput) -> Tensor:
    """Mean binary cross-entropy of a level's logits, a tensor of shape (); 0 without any voxel."""
    assert level.target is not None
    if not len(level.logits):
        return level.logits.sum()
    return binary_cross_entropy_with_logits(level.logits, level.target.to(level.logits.dtype))


def coverage_loss(candidates: SparseTensor, wanted: SparseTensor) -> Tensor:
    """Mean cross-entropy of coverage.

    Args:
        candidates: logits (N, 1) of the coverage of voxels before pruning.
        wanted: the ground truth, with features (L, 1) from 0 to 1.

    Returns:
        The loss, a tensor of shape ().
    """
    if not len(candidates):
        return candidates.features.sum()
    truth = sparse.at(wanted, candidates.index).features
    return binary_cross_entropy_with_logits(candidates.features.float(), truth)


class Supervised(nn.Module):
    """A network together with its loss, as distributed training needs one module for both.

    A level without any voxels left does not contribute to a process's loss; nor do its parameters.
    """

    def __init__(self, network: nn.Module, task: Training, *, mixed: bool = False) -> None:
        """Wrap a network; with `mixed`, matrices are multiplied in bfloat16."""
        super().__init__()
        self.network, self.task, self.mixed = network, task, mixed

    def forward(self, x: SparseTensor, target: Any, *, forced: bool) -> Tensor:
        """The loss, a tensor of shape (), of the network's prediction for x."""
        with torch.autocast(x.features.device.type, torch.bfloat16, enabled=self.mixed):
            return self.task.loss(self.network, x, target, forced=forced)
