"""Heads: what turns a backbone's features into a task's answer.

A backbone makes its head from the registry, by the name in its config. One that prunes makes one
for every level and calls it with a threshold; one that labels makes one, and says of how many
classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.layers import Convolution
from zoo.sparse import SparseTensor

PRIOR = -1.0  # logit: about one generated voxel in four belongs to the answer


class OccupancyHead(nn.Module):
    """Is this voxel occupied? One logit per voxel (completion, super-resolution).

    A voxel is taken as occupied where its logit lies above `threshold`. Untrained, every logit is
    `PRIOR`: a decoder that begins by keeping half of all it generates grows eightfold a level.
    """

    def __init__(self, channels: int, threshold: float = 0.0) -> None:
        super().__init__()
        self.classifier = Convolution(channels, 1, 1, bias=True)
        nn.init.zeros_(self.classifier.kernel)
        assert self.classifier.bias is not None
        nn.init.constant_(self.classifier.bias, PRIOR)
        self.threshold = threshold

    def forward(self, x: SparseTensor) -> tuple[Tensor, Tensor]:
        """Features (N, C) -> logits (N,) and occupied (N,) bool."""
        logits: Tensor = self.classifier(x).features.squeeze(1)
        return logits, logits > self.threshold


class LabelsHead(nn.Module):
    """Which class is this voxel of? One logit per voxel and class (segmentation)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = Convolution(channels, classes, 1, bias=True)

    def forward(self, x: SparseTensor) -> Tensor:
        """Features (N, C) -> logits (N, classes); class 0 is none of the structures."""
        logits: Tensor = self.classifier(x).features
        return logits
