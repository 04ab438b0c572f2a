"""The architecture `sparse-segmentation`, a sparse U-Net that labels every occupied voxel.

It follows Li et al., "Sparse Convolutional Neural Networks for Medical Image Analysis" (TechRxiv
2022), and Ronneberger et al., "U-Net" (2015).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zoo import sparse
from zoo.errors import ConfigError
from zoo.networks.heads import head_of_kind
from zoo.networks.layers import Convolution, Norm, TransposedConvolution, Unit
from zoo.sparse import SparseTensor

Channels = Annotated[int, Field(ge=1, le=4096)]


class SegmentationConfig(BaseModel):
    """Config of `SparseSegmentation`.

    Attributes:
        channels: features per voxel at tensor strides 1, 2, 4, ...
        classes: number of classes, the first of which is none of the structures.
        head: name in the heads registry; the head turns features into logits.
        norm: the voxels whose mean and variance normalise features. `batch`: those of a batch, and
            in a prediction the mean of such statistics; `instance`: those of the scan itself, for
            scans that differ much in what they show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Annotated[tuple[Channels, ...], Field(min_length=2, max_length=12)] = (
        *(8, 16, 32, 64, 64),
    )
    classes: Annotated[int, Field(ge=2, le=255)] = 2
    head: str = "labels"
    norm: Norm = "batch"


class SparseSegmentation(nn.Module):
    """A U-Net: strided convolutions down, transposed ones back up onto the encoder's coordinates.

    At each level, the features of the encoder are concatenated to those that come back up.

    Attributes:
        config: the config that it was made from.
        levels: number of levels, which have tensor strides 1, 2, ... 2 ** (levels - 1).
        cell: input voxels along an edge of a voxel of the coarsest level.
        growth: voxels of the finest level for each that is given, in memory: none are generated,
            but what comes up stands beside what the encoder has of each.
    """

    task = "segmentation"
    growth = 2.0
    config_class = SegmentationConfig

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        c, norm = config.channels, config.norm
        self.levels, self.cell = len(c), 2 ** (len(c) - 1)
        first = Unit(Convolution(1, c[0], 3), norm)
        self.encoder = nn.ModuleList([nn.Sequential(first, _same(c[0], norm))])
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for fine, coarse in pairwise(c):
            down = Unit(Convolution(fine, coarse, 2, stride=2), norm)
            self.encoder.append(nn.Sequential(down, _same(coarse, norm)))
            self.up.append(Unit(TransposedConvolution(coarse, fine), norm))
            self.decoder.append(Unit(Convolution(2 * fine, fine, 3), norm))
        self.head = head_of_kind(config.head, "labels")(c[0], config.classes)

    def forward(self, x: SparseTensor) -> Tensor:
        """Map features (N, 1) at tensor stride 1 to the head's logits (N, classes)."""
        skips: list[SparseTensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(self.levels - 1)):
            skip = skips.pop()
            x = self.up[level](x, skip.index)
            x = self.decoder[level](sparse.concatenate(x, skip))
        logits: Tensor = self.head(x)
        return logits

    def invert(self) -> None:
        """See what is dark as bright from now on, and the other way round."""
        with torch.no_grad():
            self.encoder[0][0].convolution.kernel.neg_()  # type: ignore[index]

    def start_from(self, other: SparseSegmentation, *, pass_on: bool = False) -> list[str]:
        """Take over the weights of a network with the same channels; its head, if it fits.

        Args:
            other: a network that may tell other classes apart.
            pass_on: not for this network, which gets no new levels.

        Returns:
            Nothing: no submodule keeps its BatchNorm statistics.

        Raises:
            ConfigError: it has other channels, or `pass_on`.
        """
        if pass_on:
            raise ConfigError(
                "initial_pass_on: wanted false for a segmentation, which gets no new levels"
            )
        if other.config.channels != self.config.channels:
            raise ConfigError(
                f"initial: wanted a network with channels {self.config.channels}, got one with"
                f" {other.config.channels}"
            )
        own = self.state_dict()
        given = {name: value for name, value in other.state_dict().items() if name in own}
        fitting = {name: value for name, value in given.items() if value.shape == own[name].shape}
        self.load_state_dict(own | fitting)
        return []


def _same(channels: int, norm: Norm) -> Unit:
    return Unit(Convolution(channels, channels, 3), norm)
