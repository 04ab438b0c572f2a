"""Guarding growth: a generative level is refused before its features are made, not after."""

from __future__ import annotations

import psutil
import torch

from zoo.errors import BackendError

SHARE = 0.8  # of the free memory that one level may take
COPIES = 3  # of a level's features that live at once: before and after a layer, and a temporary


def check_growth(voxels: int, channels: int, stride: int, dtype: torch.dtype) -> None:
    """Refuse a level that does not fit into free memory.

    Args:
        voxels: how many the level would have.
        channels: features per voxel.
        stride: the level's tensor stride.
        dtype: of the features.

    Raises:
        BackendError: names the level, its voxels and the limit.
    """
    limit = int(SHARE * free_memory() / (COPIES * channels * dtype.itemsize))
    if voxels > limit:
        raise BackendError(
            f"the level at tensor stride {stride} would have {voxels:,} voxels"
            f" and memory is free for {limit:,}: check that the input is what the model was trained"
            " on (threshold, spacing), free some memory, or take a model with a coarser grid"
        )


def free_memory() -> int:
    """Bytes that can be had without swapping."""
    available: int = psutil.virtual_memory().available
    return available
