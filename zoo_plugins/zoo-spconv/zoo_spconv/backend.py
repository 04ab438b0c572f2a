"""Backend `spconv`: convolutions by spconv, all else as backend `torch` does it.

spconv has nothing that unites, prunes or compares coordinates. An index is that of backend `torch`:
sorted keys, so that rows are in raster order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.plugins import SAME, BackendError, Index, KeyIndex, Relation, TorchBackend
from zoo_spconv.convolution import DTYPES, check_type, convolve, correlate
from zoo_spconv.engine import spconv_ops
from zoo_spconv.pairs import Pairs, pairs_to_coarser, pairs_within


class SpconvBackend(TorchBackend):
    """Convolutions by spconv.

    Raises:
        MissingDependency: spconv is not installed, or does not load.
    """

    name = "spconv"
    bfloat16 = False
    index_bytes = 400

    def __init__(self) -> None:
        self.cpu_only: bool = spconv_ops().CPU_ONLY_BUILD

    def check_device(self, device: torch.device) -> None:
        if device.type not in DTYPES:
            raise BackendError(f"backend spconv computes on cpu or cuda; got device {device}")
        if device.type == "cuda" and self.cpu_only:
            raise BackendError(
                f"this spconv is built for the CPU; got device {device}: use -d cpu, or uninstall"
                " spconv and cumm and install the wheel of your CUDA, such as spconv-cu126"
            )

    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        check_type(features)
        return convolve(features, kernel, _pairs(relation, source, target), len(target))

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        return correlate(features, gradient, _pairs(relation, source, target))

    def differentiate(
        self,
        features: Tensor,
        kernel: Tensor,
        gradient: Tensor,
        relation: Relation,
        source: Index,
        target: Index,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Both over one kernel map."""
        pairs = _pairs(relation, source, target)
        to_features = to_kernel = None
        if wanted[0]:
            back = kernel.transpose(1, 2)
            to_features = convolve(gradient, back, pairs.reversed(), len(source))
        if wanted[1]:
            to_kernel = correlate(features, gradient, pairs)
        return to_features, to_kernel


def _pairs(relation: Relation, source: Index, target: Index) -> Pairs:
    """The kernel map: between two levels that of the finer one's convolution to the coarser.

    What is no pair of rows in it, because a coordinate is missing, points behind the last row.
    """
    here, there = _keyed(source), _keyed(target)
    if relation == SAME:
        return pairs_within(here)
    fine, coarse = (there, here) if relation.scale < 0 else (here, there)
    pairs, keys = pairs_to_coarser(fine, relation.size)
    found, rows = coarse.find(keys)
    lacking = torch.full_like(keys, len(coarse))
    pairs = pairs.to_rows(lacking.masked_scatter(found, rows))
    return pairs.reversed() if relation.scale < 0 else pairs


def _keyed(index: Index) -> KeyIndex:
    assert isinstance(index, KeyIndex)
    return index
