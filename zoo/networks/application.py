"""Applies a network to a dense grid: to a sparse tensor, through the network, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.sparse import Backend, SparseTensor
from zoo.volumes import STEPS, bounds, centring_shift

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


class GeneratedCoverage(NamedTuple):
    """The coverage that a network predicts for a grid: 0 outside of a bounding box.

    Attributes:
        low: the first voxel of the box in the grid.
        values: float32, of the shape of the box.
    """

    low: tuple[int, int, int]
    values: Floats

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The slices of the grid that the values are of."""
        i, j, k = (slice(n, n + size) for n, size in zip(self.low, self.values.shape, strict=True))
        return i, j, k

    def mirrored(self, shape: tuple[int, ...]) -> GeneratedCoverage:
        """The same on a grid of that shape whose first axis is the other way round."""
        i, j, k = self.low
        return GeneratedCoverage((shape[0] - i - len(self.values), j, k), self.values[::-1])

    def within(self, box: tuple[slice, slice, slice]) -> Floats:
        """The values of another box of the grid."""
        values = np.zeros([part.stop - part.start for part in box], np.float32)
        own, other = [], []
        for mine, wanted in zip(self.box, box, strict=True):
            start, stop = max(mine.start, wanted.start), min(mine.stop, wanted.stop)
            stop = max(start, stop)
            own.append(slice(start - mine.start, stop - mine.start))
            other.append(slice(start - wanted.start, stop - wanted.start))
        values[tuple(other)] = self.values[tuple(own)]
        return values


COARSEST = 64  # voxels along an edge of the coarsest voxel of a network with the paper's 7 levels


def coarsest_voxel(network: torch.nn.Module) -> int:
    """Input voxels along an edge of a network's coarsest voxel: its attribute `cell`, or 64."""
    edge: int = getattr(network, "cell", COARSEST)
    return edge


def generated_occupancy(
    network: torch.nn.Module,
    occupied: NDArray[Any],
    backend: Backend,
    device: torch.device,
    shift: NDArray[np.intp] | None = None,
    nudge: tuple[int, int, int] = (0, 0, 0),
) -> Bools:
    """Run a generative network on a dense grid of occupancy.

    Args:
        network: the network, whose output has an `occupancy`: the sparse tensor of occupied voxels.
        occupied: bool (I, J, K), or float32 for features from 0 to 1; at least one is not 0.
        backend: computes the convolutions.
        device: where to compute.
        shift: (3,), the coordinate of the grid's first voxel; by default, the one that centres the
            occupied part on the network's coarsest voxels.
        nudge: voxels that are added to the shift.

    Returns:
        The occupancy that the network predicts, bool (I, J, K).
    """
    found, (i, j, k) = _generated(network, occupied, backend, device, shift, nudge)
    rows, columns, depth = occupied.shape
    return found.to_grid((i, j, k), (rows, columns, depth))


def generated_coverage(
    network: torch.nn.Module,
    covered: NDArray[np.uint8],
    backend: Backend,
    device: torch.device,
    nudge: tuple[int, int, int] = (0, 0, 0),
) -> GeneratedCoverage:
    """Run a generative network on a dense grid of coverage, centred on its coarsest voxels.

    Args:
        network: as for `generated_occupancy`; the features of its output are coverage.
        covered: uint8 (I, J, K), in steps of 1/255, at least one voxel of it above 0.
        backend: computes the convolutions.
        device: where to compute.
        nudge: voxels by which it is moved from there.
    """
    found, shift = _generated(network, covered, backend, device, None, nudge, STEPS)
    points = found.coordinates[:, 1:].cpu().numpy() - shift
    inside = ((points >= 0) & (points < covered.shape)).all(axis=1)
    points = points[inside]
    low, stop = (points.min(0), points.max(0) + 1) if len(points) else np.zeros((2, 3), int)
    values = np.zeros(stop - low, np.float32)
    values[tuple((points - low).T)] = found.features[:, 0].float().cpu().numpy()[inside]
    i, j, k = low.tolist()
    return GeneratedCoverage((i, j, k), values)


def _generated(
    network: torch.nn.Module,
    grid: NDArray[Any],
    backend: Backend,
    device: torch.device,
    shift: NDArray[np.intp] | None,
    nudge: tuple[int, int, int],
    unit: float | None = None,
) -> tuple[SparseTensor, tuple[int, int, int]]:
    """What a network generates from a grid, and the coordinate of the grid's first voxel."""
    low, high = bounds(grid)
    if shift is None:
        shift = centring_shift(low, high, coarsest_voxel(network))
    first = shift + nudge
    part = grid[tuple(map(slice, low, high + 1))].copy(order="K")  # as backends read it fastest
    i, j, k = (first + low).tolist()
    x = SparseTensor.from_grids([part], low=(i, j, k), backend=backend, device=device, unit=unit)
    found: SparseTensor = network(x).occupancy
    i, j, k = first.tolist()
    return found, (i, j, k)
