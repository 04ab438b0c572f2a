"""Heads: what turns a backbone's features into a task's answer.

A backbone makes its head from the registry, by the name in its config. One that prunes makes one
for every level, with a threshold; one that labels makes one, and says of how many classes. A head's
`kind` is what its backbone does: `occupancy` or `labels`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo import registries
from zoo.errors import ConfigError
from zoo.layers import Convolution
from zoo.sparse import SparseTensor

PRIOR = -1.0  # logit: about one generated voxel in four belongs to the answer


def head_of_kind(name: str, kind: str) -> Any:
    """The class of a head by its name.

    Raises:
        NotRegistered: no such head.
        ConfigError: it is of another kind.
    """
    head = registries.heads.get(name)
    if getattr(head, "kind", None) != kind:
        raise ConfigError(
            f"head: wanted one of kind {kind!r}, such as {kind}, got {name},"
            f" which is of kind {getattr(head, 'kind', None)!r}"
        )
    return head


class OccupancyHead(nn.Module):
    """Is this voxel occupied? One logit per voxel (completion, super-resolution).

    A voxel is taken as occupied where its logit lies above `threshold`. Untrained, every logit is
    `PRIOR`: a decoder that begins by keeping half of all it generates grows eightfold a level.
    """

    kind = "occupancy"

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

    kind = "labels"

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = Convolution(channels, classes, 1, bias=True)

    def forward(self, x: SparseTensor) -> Tensor:
        """Features (N, C) -> logits (N, classes); class 0 is none of the structures."""
        logits: Tensor = self.classifier(x).features
        return logits
