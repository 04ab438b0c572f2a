"""Heads, which turn a backbone's features into a task's output.

A backbone looks up its head in the registry, by the name in its config. A backbone that prunes
makes one head per level, with a threshold; one that labels makes a single head, with a number of
classes. A head's `kind` says which of the two it is for: `occupancy` or `labels`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo import registries
from zoo.errors import ConfigError
from zoo.networks.layers import Convolution
from zoo.sparse import SparseTensor

PRIOR = -1.0  # logit: about one generated voxel in four belongs to the shape


def head_of_kind(name: str, kind: str) -> Any:
    """Look up the class of a head, and check its kind.

        >>> head_of_kind("occupancy", "occupancy").__name__
        'OccupancyHead'

    Args:
        name: name in the heads registry.
        kind: `occupancy` or `labels`.

    Returns:
        The class: a `PruningHead` or a `LabellingHead`.

    Raises:
        NotRegistered: there is no such head.
        ConfigError: the head is of another kind.
    """
    head = registries.heads.get(name)
    if getattr(head, "kind", None) != kind:
        raise ConfigError(
            f"head: wanted one of kind {kind!r}, such as {kind}, got {name},"
            f" which is of kind {getattr(head, 'kind', None)!r}"
        )
    return head


class OccupancyHead(nn.Module):
    """Decides which voxels are occupied: one logit per voxel (completion, super-resolution).

    A voxel is occupied if its logit is above `threshold`. Before training every logit is `PRIOR`,
    as a decoder that starts by keeping half of what it generates multiplies its voxels at each
    level.

    Args:
        channels: C, the number of features per voxel.
        threshold: logit above which a voxel is occupied.
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
        """Map features (N, C) to logits (N,) and to bool (N,), whether each voxel is occupied."""
        logits: Tensor = self.classifier(x).features.squeeze(1)
        return logits, logits > self.threshold


class LabelsHead(nn.Module):
    """Labels voxels: one logit per voxel and class (segmentation).

    Args:
        channels: C, the number of features per voxel.
        classes: number of classes, the first of which is none of the structures.
    """

    kind = "labels"

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = Convolution(channels, classes, 1, bias=True)

    def forward(self, x: SparseTensor) -> Tensor:
        """Map features (N, C) to logits (N, classes); class 0 is none of the structures."""
        logits: Tensor = self.classifier(x).features
        return logits
