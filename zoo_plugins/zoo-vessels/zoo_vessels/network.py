"""`vessel-segmentation`: the zoo's sparse U-Net, with a second look at the finest level."""

from __future__ import annotations

from typing import Literal

from torch import nn

from zoo.plugins import Residual, SegmentationConfig, SparseSegmentation


class VesselConfig(SegmentationConfig):
    """Config of `VesselSegmentation`: that of the U-Net, with one structure."""

    classes: Literal[2] = 2


class VesselSegmentation(SparseSegmentation):
    """Two more convolutions at tensor stride 1, where alone a tube two voxels wide is a tube.

    Attributes:
        training: the class that trains it, for `zoo train`.
    """

    config_class: type[SegmentationConfig] = VesselConfig
    training = "zoo_vessels.training:VesselTraining"

    def __init__(self, config: VesselConfig) -> None:
        super().__init__(config)
        self.head = nn.Sequential(Residual(config.channels[0], config.norm), self.head)
