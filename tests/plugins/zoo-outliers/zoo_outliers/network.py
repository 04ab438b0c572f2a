"""`outlier-net`: looks at the neighbours of every voxel and keeps it or not."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from zoo.plugins import Convolution, OccupancyHead, SparseTensor, Unit, sparse


class OutlierConfig(BaseModel):
    """Config of `OutlierNet`: features per voxel in each of its convolutions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[int, ...] = (4, 4)


@dataclass(frozen=True)
class Kept:
    """A logit (N,) for every voxel of the input, and the voxels that are kept."""

    logits: Tensor
    occupancy: SparseTensor


class OutlierNet(nn.Module):
    """Convolutions of size 3 and a head."""

    task = "outlier-removal"
    config_class = OutlierConfig

    def __init__(self, config: OutlierConfig) -> None:
        super().__init__()
        self.config = config
        widths = (1, *config.channels)
        pairs = zip(widths, config.channels, strict=False)
        self.units = nn.Sequential(*(Unit(Convolution(a, b, 3)) for a, b in pairs))
        self.head = OccupancyHead(config.channels[-1])

    def forward(self, x: SparseTensor) -> Kept:
        """Features (N, 1) -> which of the N voxels belong to a shape."""
        y = self.units(x)
        logits, keep = self.head(y)
        return Kept(logits, sparse.prune(y.with_features(logits.sigmoid().unsqueeze(1)), keep))
