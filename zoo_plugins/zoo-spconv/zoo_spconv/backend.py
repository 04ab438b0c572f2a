"""Backend `spconv`: convolutions by spconv, all else as backend `torch` does it.

spconv has nothing that unites, prunes or compares coordinates. An index is that of backend `torch`:
sorted keys, so that rows are in raster order.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from zoo.errors import BackendError
from zoo.sparse.backends.torch import KeyIndex, TorchBackend
from zoo.sparse.memory import check_growth
from zoo.sparse.relation import kernel_size
from zoo.sparse.tensor import Index, SparseTensor
from zoo_spconv.convolution import DTYPES, convolve
from zoo_spconv.engine import spconv_ops
from zoo_spconv.pairs import Pairs, pairs_to_coarser, pairs_to_finer, pairs_within


class SpconvBackend(TorchBackend):
    """Convolutions by spconv.

    Raises:
        MissingDependency: spconv is not installed, or does not load.
    """

    name = "spconv"

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

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        index = _keyed(x.index)
        if stride == 1:
            pairs, target = pairs_within(index), index
        else:
            target, pairs = self._level(*pairs_to_coarser(index, 2), 2 * x.stride, index)
        return _convolved(x.features, kernel, pairs, target)

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        index, size = _keyed(x.index), kernel_size(len(kernel))
        target, pairs = self._level(*pairs_to_finer(index, size), x.stride // 2, index)
        check_growth(len(target), kernel.shape[2], target.stride, kernel.dtype)
        return _convolved(x.features, kernel, pairs, target)

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        """By the kernel map of the convolution from `index`, the other way round."""
        target = _keyed(index)
        pairs, keys = pairs_to_coarser(target, kernel_size(len(kernel)))
        found, rows = _keyed(x.index).find(keys)
        lacking = torch.full_like(keys, len(x))  # a row of zeros, behind those of x
        pairs = pairs.to_rows(lacking.masked_scatter(found, rows)).reversed()
        return _convolved(pad(x.features, (0, 0, 0, 1)), kernel, pairs, target)

    def _level(
        self, pairs: Pairs, keys: Tensor, stride: int, source: KeyIndex
    ) -> tuple[KeyIndex, Pairs]:
        """The index of keys (M,) in any order, and the pairs with its rows as targets."""
        keys, order = keys.sort()
        index = KeyIndex(self, keys, stride, source.batch_size)
        return index, pairs.to_rows(order.argsort())


def _convolved(features: Tensor, kernel: Tensor, pairs: Pairs, target: KeyIndex) -> SparseTensor:
    return SparseTensor(convolve(features, kernel, pairs, len(target)), target)


def _keyed(index: Index) -> KeyIndex:
    assert isinstance(index, KeyIndex)
    return index
