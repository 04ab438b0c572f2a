"""What a backend must provide. Networks never call it: they go through `zoo.sparse.operations`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.sparse.tensor import Index, SparseTensor, batch_coordinates

Triple = tuple[int, int, int]


class Backend(Protocol):
    """Computes on sparse tensors; see `zoo.sparse.relation` for the equations.

    `operations` has checked every argument and dealt with kernels of size 1 and empty tensors, so a
    backend sees at least one voxel. Results must be differentiable with respect to features and
    kernel, and equal from run to run.
    """

    name: str

    def check_device(self, device: torch.device) -> None:
        """Raise BackendError if this backend cannot compute on that device."""
        ...

    def index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]:
        """Index (N, 4) coordinates in raster order; also the (N,) order in which it holds them."""
        ...

    def index_from_grids(
        self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        """Index what is not zero in (I, J, K) arrays, one per item of the batch, at stride 1.

        `low` is the coordinate of their first voxel.
        """
        ...

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        """The box (I, J, K) from coordinate `low` on, of the first item, at stride 1."""
        ...

    def convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor:
        """Kernel (K, C_in, C_out), K = 27 at stride 1 or 8 at stride 2 -> features (N', C_out).

        At stride 1 the coordinates stay; at stride 2 they are coarsened.
        """
        ...

    def generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor:
        """Kernel (8 or 64, C_in, C_out) -> half the tensor stride, every coordinate it reaches."""
        ...

    def transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor:
        """Kernel (8 or 64, C_in, C_out) -> half the tensor stride, the coordinates of `index`."""
        ...

    def prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        """The rows where keep (N,) bool is set; at least one is."""
        ...

    def add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor:
        """Sum on the union of the coordinates; a missing operand counts as zero.

        With `overwrite` the features of x may be used for the result; no gradient is asked for.
        """
        ...

    def rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """max(features * scale + shift, 0), in place, without gradient.

        Features are (N, C), scale and shift (C,).
        """
        ...

    def coarsen(self, index: Index) -> Index:
        """The index at twice the tensor stride: a coordinate is there if any below it is."""
        ...

    def contains(self, index: Index, other: Index) -> Tensor:
        """(N,) bool: which coordinates of `index` occur in `other`, at the same tensor stride."""
        ...


@dataclass(frozen=True)
class EmptyIndex:
    """No coordinate at all: what pruning everything away leaves, on any backend."""

    backend: Backend
    stride: int
    batch_size: int
    device: torch.device

    @property
    def coordinates(self) -> Tensor:
        return torch.empty(0, 4, dtype=torch.int64, device=self.device)

    def __len__(self) -> int:
        return 0


class Fallbacks:
    """What a backend inherits that has nothing better: grids by way of lists of coordinates."""

    def index_from_grids(
        self: Backend, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device
    ) -> Index:
        origin = torch.tensor(low)
        items = [torch.from_numpy(np.argwhere(grid)) + origin for grid in grids]
        coordinates = batch_coordinates(items).to(device)
        return self.index(coordinates, batch_size=len(items), stride=1)[0]

    def to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]:
        grid = np.zeros(shape, dtype=bool)
        batch, *axes = index.coordinates.cpu().numpy().T
        points = np.stack(axes, axis=1) - np.array(low)
        inside = ((points >= 0) & (points < shape)).all(axis=1) & (batch == 0)
        grid[tuple(points[inside].T)] = True
        return grid

    def rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return features.mul_(scale).add_(shift).relu_()
