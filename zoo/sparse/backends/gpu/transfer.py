"""Operations on rows: membership, moving them from one index to another, scale and ReLU."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.sparse.backends.gpu import rows as kernels
from zoo.sparse.backends.gpu.index import DeviceIndex
from zoo.sparse.backends.gpu.runtime import blocks, power_of_two

ROWS = 128
VALUES = 2048
WIDEST = 32  # channels at once


def contains(index: DeviceIndex, other: DeviceIndex) -> Tensor:
    """(N,) bool: which voxels of `index` occur in `other`."""
    found = torch.empty(len(index), dtype=torch.int8, device=index.words.device)
    grid = (blocks(len(index), ROWS),)
    kernels.contains[grid](*index.as_target, *other.as_source, found, BLOCK=ROWS)
    return found.view(torch.bool)


def transfer(
    features: Tensor, source: DeviceIndex, target: DeviceIndex, onto: Tensor | None = None
) -> Tensor:
    """Features (N, C) on the source -> (N', C) on the target, zero where the source has none.

    With `onto` they are added to that tensor, in place.
    """
    channels = features.shape[1]
    out = features.new_empty(len(target), channels) if onto is None else onto
    kernels.transfer[(blocks(len(target), ROWS),)](
        *target.as_target,
        *source.as_source,
        features.contiguous(),
        out,
        CHANNELS=channels,
        TILE=power_of_two(channels, 1, WIDEST),
        ADD=onto is not None,
        BLOCK=ROWS,
    )
    return out


def rectify(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """max(features (N, C) * scale (C,) + shift (C,), 0), in place."""
    rows, channels = features.shape
    tile = power_of_two(channels, 1, WIDEST)
    block = VALUES // tile
    kernels.rectify[(blocks(rows, block), blocks(channels, tile))](
        features, rows, scale, shift, CHANNELS=channels, TILE=tile, BLOCK=block
    )
    return features
