"""The workload that `zoo bench` runs for segmentation: the U-Net on a generated chest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.datasets.phantoms import thorax_case
from zoo.sparse import SparseTensor
from zoo.tasks.segmentation._config import EXTERIOR, WINDOWS
from zoo.tasks.task import Bools, Workload
from zoo.volumes import InputContract, windowed

CLASSES = 5
UNET = (8, 16, 32, 64, 64)


@dataclass(frozen=True)
class ChestWorkload(Workload):
    """The U-Net on the chest with seed 0, with the windows of the zoo's training configs."""

    config: tuple[tuple[str, Any], ...] = (("classes", CLASSES),)
    widths: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
        ("cpu", (UNET,)),
        ("cuda", (UNET,)),
    )

    def occupied(self, resolution: int) -> Bools:
        contract = InputContract.around(1.0, windows=WINDOWS, exterior=EXTERIOR)
        return windowed(thorax_case(0, resolution).hu.astype(np.float32), contract)

    def loss(self, network: nn.Module, x: SparseTensor) -> Tensor:
        target = torch.arange(len(x), device=x.features.device) % CLASSES
        return torch.nn.functional.cross_entropy(network(x), target)
