"""`sparse-completion`: a sparse auto-encoder that adds what is missing from a binary shape.

After Li et al., "Sparse convolutional neural network for high-resolution skull shape completion and
shape super-resolution", Scientific Reports 13:20229 (2023), Table 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zoo import sparse
from zoo.heads import OccupancyHead
from zoo.layers import Convolution, GenerativeTransposedConvolution, Unit
from zoo.sparse import Index, SparseTensor

LEVELS = 7
Channels = Annotated[int, Field(ge=1)]


class SparseCompletionConfig(BaseModel):
    """Config of `SparseCompletion`.

    Attributes:
        channels: features per voxel at tensor strides 1, 2, 4, 8, 16, 32, 64.
        thresholds: logit above which a voxel is kept at tensor strides 1, 2, 4, 8, 16, 32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[tuple[Channels, ...], Field(min_length=LEVELS, max_length=LEVELS)] = (
        *(8, 8, 16, 16, 32, 32, 64),
    )
    thresholds: Annotated[
        tuple[float, ...], Field(min_length=LEVELS - 1, max_length=LEVELS - 1)
    ] = (0.0,) * (LEVELS - 1)


@dataclass(frozen=True)
class LevelOutput:
    """One decoder level before pruning.

    Attributes:
        stride: tensor stride of the level.
        logits: (N,) occupancy logit of every voxel.
        target: (N,) bool, whether the target coarsened to this stride has the voxel; None if no
            target was given.
    """

    stride: int
    logits: Tensor
    target: Tensor | None


@dataclass(frozen=True)
class CompletionOutput:
    """What the network returns.

    Attributes:
        answer: probabilities (N, 1) on the voxels left at tensor stride 1.
        levels: the decoder's levels, from coarse to fine.
    """

    answer: SparseTensor
    levels: tuple[LevelOutput, ...]


class SparseCompletion(nn.Module):
    """Encoder of 7 levels, generative decoder that classifies and prunes at each of 6 levels."""

    task = "completion"
    config_class = SparseCompletionConfig

    def __init__(self, config: SparseCompletionConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.encoder = nn.ModuleList([Unit(Convolution(1, c[0], 3))])
        for level in range(1, LEVELS):
            down = Unit(Convolution(c[level - 1], c[level], 2, stride=2))
            self.encoder.append(nn.Sequential(down, Unit(Convolution(c[level], c[level], 3))))
        self.decoder = nn.ModuleList()
        self.heads = nn.ModuleList()
        for level in range(LEVELS - 1):
            size = 4 if level == LEVELS - 2 else 2
            up = Unit(GenerativeTransposedConvolution(c[level + 1], c[level], size))
            self.decoder.append(nn.Sequential(up, Unit(Convolution(c[level], c[level], 3))))
            self.heads.append(OccupancyHead(c[level], config.thresholds[level]))
        self.output = Convolution(c[0], 1, 1, bias=True)

    def forward(self, x: SparseTensor, target: Index | None = None) -> CompletionOutput:
        """Complete a batch of shapes.

        Args:
            x: features (N, 1), ones, at tensor stride 1.
            target: the complete shapes. With it every level also reports which of its voxels the
                target has, and above stride 1 those survive pruning whatever their logit.
        """
        skips: list[SparseTensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        targets = _pyramid(target)
        levels: list[LevelOutput] = []
        for level in reversed(range(LEVELS - 1)):
            x = sparse.add(self.decoder[level](x), skips.pop(), overwrite=True)
            logits, keep = self.heads[level](x)
            wanted = sparse.contains(x.index, targets[level]) if targets else None
            if wanted is not None and level > 0:
                keep = keep | wanted
            levels.append(LevelOutput(x.stride, logits, wanted))
            x = sparse.prune(x, keep)
        y: SparseTensor = self.output(x)
        return CompletionOutput(y.with_features(torch.sigmoid(y.features)), tuple(levels))


def _pyramid(target: Index | None) -> list[Index]:
    """The target at tensor strides 1, 2, ... 32; nothing if there is none."""
    if target is None:
        return []
    pyramid = [target]
    for _ in range(LEVELS - 2):
        pyramid.append(sparse.coarsen(pyramid[-1]))
    return pyramid
