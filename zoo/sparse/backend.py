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
        """Raise BackendError if this backend cannot compute on that device."""

    def compiling(self, compilation: Callable[[], Scope]) -> Scope:
        """A context in which each compilation of kernels runs within what `compilation` returns.

        By default it does nothing, as there is nothing to compile.
        """
        return nullcontext()

    @abstractmethod
    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        """Index (N, 4) coordinates in raster order; also the (N,) order in which it holds them."""

    @abstractmethod
    def coarsen(self, index: Index) -> Index:
        """The index at twice the tensor stride: a voxel is there if any below it is."""

    @abstractmethod
    def refine(self, index: Index, size: int) -> Index:
        """Every voxel, at half the stride, that a transposed kernel of size 2 or 4 reaches."""

    @abstractmethod
    def unite(self, a: Index, b: Index) -> Index:
        """The voxels of either, at the same stride; may be `a` itself if that holds all of b."""

    @abstractmethod
    def select(self, index: Index, keep: Tensor) -> Index:
        """The voxels of the rows that keep (N,) bool names; at least one is."""

    @abstractmethod
    def transfer(
        self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None
    ) -> Tensor:
        """Features (N, C) on the source -> (N', C) on the target, zero where the source has none.

        Both are at the same stride. With `onto` (N', C) they are added to that tensor, in place.
        """

    @abstractmethod
    def convolve(
        self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """Features (N, C_in) on the source, kernel (K, C_in, C_out) -> (N', C_out) on the target.

        The relation is `SAME`, `down` or `up`, of size 2 or 4, and their voxels are given: what
        the kernel reaches beside the target is dropped.
        """

    def correlate(
        self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target: Index
    ) -> Tensor:
        """Gradient (K, C_in, C_out) of `convolve` with respect to its kernel.

        Features are (N, C_in) on the source, the gradient of what `convolve` made of them is
        (N', C_out) on the target. This default wants a `convolve` that PyTorch can differentiate.
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
        """Gradients of `convolve` with respect to features and kernel, or None if not wanted.

        To be overridden where the two have work in common.
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

        Features are (N, C), scale and shift (C,).
        """
        return features.mul_(scale).add_(shift).relu_()

    def contains(self, index: Index, other: Index) -> Tensor:
        """(N,) bool: which coordinates of `index` occur in `other`, at the same tensor stride."""
        return torch.isin(pack(index.coordinates), pack(other.coordinates))

    def index_from_grids(
        self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        """Index what is not zero in (I, J, K) arrays, one per item of the batch, at stride 1.

        `low` is the coordinate of their first voxel.
        """
        origin = torch.tensor(low)
        items = [torch.from_numpy(np.argwhere(grid)) + origin for grid in grids]
        coordinates = batch_coordinates(items).to(device)
        return self.index(coordinates, batch_size=len(items), stride=1)[0]

    def index_from_mask(self, mask: Tensor, low: Triple = (0, 0, 0)) -> Index:
        """Index what is not zero in a mask (B, I, J, K) on the device, at stride 1."""
        coordinates = mask.nonzero() + torch.tensor([0, *low], device=mask.device)
        return self.index(coordinates, batch_size=len(mask), stride=1)[0]

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        """The box (I, J, K) from coordinate `low` on, of the first item, at stride 1."""
        grid = np.zeros(shape, dtype=bool)
        batch, *axes = index.coordinates.cpu().numpy().T
        points = np.stack(axes, axis=1) - np.array(low)
        inside = ((points >= 0) & (points < shape)).all(axis=1) & (batch == 0)
        grid[tuple(points[inside].T)] = True
        return grid

    def index_tensors(self, source: Index, target: Index) -> tuple[Tensor, ...]:
        """What is read of two indices to compute from one to the other, as far as it counts."""
        return ()
