"""A backend on bitmaps, but for what computes on them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from zoo.sparse.backends.bitmap.gradients import Add, Convolve, Prune
from zoo.sparse.backends.bitmap.relations import SAME, Relation, down, up
from zoo.sparse.memory import check_growth
from zoo.sparse.relation import kernel_size
from zoo.sparse.tensor import Index, SparseTensor


class BitmapBackend(ABC):
    """Derives every operation of `zoo.sparse.Backend` from the few that are abstract here."""

    @abstractmethod
    def coarsen(self, index: Index) -> Index:
        """Every voxel that has any of `index` below it, at twice the stride."""

    @abstractmethod
    def refine(self, index: Index, size: int) -> Index:
        """Every voxel that a generative transposed kernel of that size reaches."""

    @abstractmethod
    def unite(self, a: Index, b: Index) -> Index:
        """The voxels of either."""

    @abstractmethod
    def select(self, index: Index, keep: Tensor) -> Index:
        """The voxels of the rows that keep (N,) bool names."""

    @abstractmethod
    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        """Features (N, C) on the source -> (N', C) on the target, zero where the source has none.

        With `onto` they are added to that tensor, in place.
        """

    @abstractmethod
    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """Features (N, C_in) on the source -> (N', C_out) on the target."""

    @abstractmethod
    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """Gradient (K, C_in, C_out) of `convolve` with respect to its kernel."""

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        if stride == 1:
            return self._convolve(x, kernel, SAME, x.index)
        return self._convolve(x, kernel, down(2), self.coarsen(x.index))

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        size, channels = kernel_size(len(kernel)), kernel.shape[2]
        target = self.refine(x.index, size)
        check_growth(len(target), channels, target.stride, kernel.dtype, x.features.device)
        return self._convolve(x, kernel, up(size), target)

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        return self._convolve(x, kernel, up(kernel_size(len(kernel))), index)

    def prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        part = self.select(x.index, keep.detach())
        features = Prune.apply(x.features, self, x.index, part)  # type: ignore[no-untyped-call]
        return SparseTensor(features, part)

    def add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor:
        a, b = x.index, y.index
        if a is b:
            return x.with_features(x.features + y.features)
        union = self.unite(a, b)
        if overwrite and len(union) == len(a):
            self.transfer(y.features, b, a, onto=x.features)
            return x
        dtype = torch.promote_types(x.features.dtype, y.features.dtype)
        operands = x.features.to(dtype), y.features.to(dtype)
        features = Add.apply(*operands, self, a, b, union)  # type: ignore[no-untyped-call]
        return SparseTensor(features, union)

    def _convolve(
        self, x: SparseTensor, kernel: Tensor, relation: Relation, target: Index
    ) -> SparseTensor:
        features = Convolve.apply(x.features, kernel, self, relation, x.index, target)  # type: ignore[no-untyped-call]
        return SparseTensor(features, target)
