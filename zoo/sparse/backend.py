"""What a backend must provide. Networks never call it: they go through `zoo.sparse.operations`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse.convolution_relation import Relation, transposed
from zoo.sparse.tensor import Index, batch_coordinates, pack

Triple = tuple[int, int, int]
Scope = AbstractContextManager[None]


class Backend(ABC):
    """Computes on sparse tensors; see `zoo.sparse.convolution_relation` for the equations.

    A backend provides what is abstract here and overrides what it does faster. `operations` has
    checked every argument and dealt with gradients, with kernels of size 1 and with empty tensors:
    a backend sees at least one voxel, and its results need not be differentiable. They must be
    equal from run to run.

    Attributes:
        name: what it is called in the registry.
        bfloat16: whether it computes in the type that autocast asks for, with sums in float32.
        dense: whether it computes on every voxel of the bounding box, occupied or not.
        index_bytes: what index and kernel map of the finest level take per voxel, measured or
            counted; for plans.
        preferred_on: the types of device on which `auto` may choose it.
        has_roofline: whether its calls and `index_tensors` tell all that it must read and write, so
            that `zoo bench` can compare its time with a roofline.
    """

    name: ClassVar[str]
    bfloat16: ClassVar[bool] = False
    dense: ClassVar[bool] = False
    index_bytes: ClassVar[int] = 400
    preferred_on: ClassVar[tuple[str, ...]] = ()
    has_roofline: ClassVar[bool] = False

    def check_device(self, device: torch.device) -> None:  # noqa: B027
        """Check that this backend computes on a device; by default it does on any.

        Args:
            device: the device.

        Raises:
            BackendError: it does not.
        """

    def compiling(self, compilation: Callable[[], Scope]) -> Scope:
        """A context in which each compilation of kernels is announced.

        Args:
            compilation: returns the context in which one compilation is to run.

        Returns:
            By default, a context that does nothing, as there is nothing to compile.
        """
        return nullcontext()

    @abstractmethod
    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        """Index coordinates.

        Args:
            coordinates: int (N, 4), item of the batch, i, j, k, in raster order.
            batch_size: number of items.
            stride: tensor stride.

        Returns:
            The index, and the order (N,) in which it holds the coordinates.
        """

    @abstractmethod
    def coarsen(self, index: Index) -> Index:
        """The index at twice the tensor stride: a voxel is there if any below it is.

        Args:
            index: the finer index.

        Returns:
            The coarser one.
        """

    @abstractmethod
    def refine(self, index: Index, size: int) -> Index:
        """The index at half the tensor stride, of every voxel that a transposed kernel reaches.

        Args:
            index: the coarser index.
            size: of the kernel, 2 or 4.

        Returns:
            The finer one.
        """

    @abstractmethod
    def unite(self, a: Index, b: Index) -> Index:
        """The voxels of either index.

        Args:
            a: an index.
            b: another one at the same tensor stride; it may have been made apart from a.

        Returns:
            The index of both; may be `a` itself if that holds all of b.
        """

    @abstractmethod
    def select(self, index: Index, keep: Tensor) -> Index:
        """Some voxels of an index.

        Args:
            index: the index, of N voxels.
            keep: bool (N,), the rows to keep, at least one.

        Returns:
            Their index.
        """

    @abstractmethod
    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        """Move features from one index to another at the same tensor stride.

        Args:
            features: (N, C) on the source.
            source: index of N voxels.
            target: index of N' voxels.
            onto: (N', C), to which they are added in place; None: they are not added to anything.

        Returns:
            (N', C) on the target, zero (or as `onto` was) where the source has no voxel.
        """

    @abstractmethod
    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """Convolve, as `zoo.sparse.convolution_relation` has it.

        Args:
            features: (N, C_in) on the source.
            kernel: (K, C_in, C_out).
            relation: `SAME`, `down` or `up`, of size 2 or 4.
            source: index of N voxels.
            target: index of N' voxels; what the kernel reaches beside it is dropped.

        Returns:
            (N', C_out) on the target.
        """

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """The gradient of `convolve` with respect to its kernel.

        This default wants a `convolve` that PyTorch can differentiate.

        Args:
            features: (N, C_in) on the source.
            gradient: (N', C_out) on the target, of what `convolve` made of them.
            relation: as for `convolve`.
            source: index of N voxels.
            target: index of N' voxels.

        Returns:
            (K, C_in, C_out).
        """
        shape = relation.size**3, features.shape[1], gradient.shape[1]
        with torch.enable_grad():
            kernel = features.new_zeros(shape, requires_grad=True)
            out = self.convolve(features.detach(), kernel, relation, source, target)
        return torch.autograd.grad(out, kernel, gradient)[0]

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
        """The gradients of `convolve`; to be overridden where the two have work in common.

        Args:
            features: (N, C_in) on the source.
            kernel: (K, C_in, C_out).
            gradient: (N', C_out) on the target, of what `convolve` made of them.
            relation: as for `convolve`.
            source: index of N voxels.
            target: index of N' voxels.
            wanted: whether that of the features and that of the kernel are wanted.

        Returns:
            The gradients (N, C_in) of the features and (K, C_in, C_out) of the kernel; None for
            one that is not wanted.
        """
        to_features = to_kernel = None
        if wanted[0]:
            turned = transposed(kernel, relation)
            to_features = self.convolve(gradient, turned, relation.adjoint(), target, source)
        if wanted[1]:
            to_kernel = self.correlate(features, gradient, relation, source, target)
        return to_features, to_kernel

    def rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """max(features * scale + shift, 0), in place, without gradient.

        Args:
            features: (N, C).
            scale: (C,).
            shift: (C,).

        Returns:
            `features`.
        """
        return features.mul_(scale).add_(shift).relu_()

    def contains(self, index: Index, other: Index) -> Tensor:
        """Which voxels of one index occur in another at the same tensor stride.

        Args:
            index: index of N voxels.
            other: the other index.

        Returns:
            bool (N,).
        """
        return torch.isin(pack(index.coordinates), pack(other.coordinates))

    def index_from_grids(
        self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        """Index what is not zero in arrays, at tensor stride 1.

        Args:
            grids: arrays (I, J, K), one per item of the batch.
            low: the coordinate of their first voxel.
            device: where the index is to be.

        Returns:
            The index.
        """
        origin = torch.tensor(low)
        items = [torch.from_numpy(np.argwhere(grid)) + origin for grid in grids]
        coordinates = batch_coordinates(items).to(device)
        return self.index(coordinates, batch_size=len(items), stride=1)[0]

    def index_from_mask(self, mask: Tensor, low: Triple = (0, 0, 0)) -> Index:
        """Index what is not zero in a mask, at tensor stride 1.

        Args:
            mask: (B, I, J, K), on the device where the index is to be.
            low: the coordinate of its first voxel.

        Returns:
            The index.
        """
        coordinates = mask.nonzero() + torch.tensor([0, *low], device=mask.device)
        return self.index(coordinates, batch_size=len(mask), stride=1)[0]

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        """A box of the first item of an index, at tensor stride 1.

        Args:
            index: the index.
            low: the coordinate of the box's first voxel.
            shape: (I, J, K), of the box.

        Returns:
            bool (I, J, K): which voxels are there.
        """
        grid = np.zeros(shape, dtype=bool)
        batch, *axes = index.coordinates.cpu().numpy().T
        points = np.stack(axes, axis=1) - np.array(low)
        inside = ((points >= 0) & (points < shape)).all(axis=1) & (batch == 0)
        grid[tuple(points[inside].T)] = True
        return grid

    def index_tensors(self, source: Index, target: Index) -> tuple[Tensor, ...]:
        """What is read of two indices to compute from one to the other, as far as it counts.

        Args:
            source: index of the input.
            target: index of the output.

        Returns:
            Tensors, whose bytes `zoo bench` counts; none by default.
        """
        return ()
