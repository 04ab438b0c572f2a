"""Guarding growth: a generative level is refused before its features are made, not after."""

from __future__ import annotations

import torch

from zoo import memory
from zoo.errors import BackendError

CPU = torch.device("cpu")

SHARE = 0.8  # of the free memory that one level may take
COPIES = 3  # of a level's features that live at once: before and after a layer, and a temporary


def check_growth(
    voxels: int, channels: int, stride: int, dtype: torch.dtype, device: torch.device = CPU
) -> None:
    """Refuse a level that does not fit into free memory.

    Args:
        voxels: how many the level would have.
        channels: features per voxel.
        stride: the level's tensor stride.
        dtype: of the features.
        device: where they would lie.

    Raises:
        BackendError: names the level, its voxels and the limit.
    """
    limit = int(SHARE * free_memory(device) / (COPIES * channels * dtype.itemsize))
    if voxels > limit:
        where, instead = ("", "") if device.type == "cpu" else (f" of {device}", ", use -d cpu")
        raise BackendError(
            f"the level at tensor stride {stride} would have {voxels:,} voxels"
            f" and memory{where} is free for {limit:,}: check that the input is what the model was"
            f" trained on (threshold, spacing), free some memory{instead}, or take a model with a"
            " coarser grid"
        )


def free_memory(device: torch.device = CPU) -> int:
    """Bytes that are free, as `zoo.memory` says; on a GPU, with what PyTorch keeps for reuse."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return memory.free_memory()
