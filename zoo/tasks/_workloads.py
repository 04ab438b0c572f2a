"""The workload that `zoo bench` runs for generative networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zoo.sparse import SparseTensor
from zoo.tasks.task import Workload
from zoo.training import deep_supervision

SMALL = (2, 2, 4, 4, 4, 4, 16)
MEDIUM = (8, 8, 16, 16, 32, 32, 64)


@dataclass(frozen=True)
class ForcedWorkload(Workload):
    """A generative network that prunes by the target, so that all backends do the same work."""

    widths: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
        ("cpu", (SMALL,)),
        ("cuda", (SMALL, MEDIUM)),
    )

    def network(self, channels: tuple[int, ...]) -> nn.Module:
        thresholds = (float("inf"),) * (len(channels) - 1)
        return Workload(self.architecture, (("thresholds", thresholds),)).network(channels)

    def forward(self, network: nn.Module, x: SparseTensor) -> object:
        return network(x, x.index)

    def loss(self, network: nn.Module, x: SparseTensor) -> Tensor:
        return deep_supervision(network(x, x.index).levels)
