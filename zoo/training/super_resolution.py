"""Training of super-resolution: a coarse shape in blocks, and the fine one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.cards import InputContract
from zoo.data.phantoms import FIELD_OF_VIEW
from zoo.metrics import dice, reconstruction_error
from zoo.sparse import Backend
from zoo.training.augmentation import augment
from zoo.training.completion import Generative
from zoo.training.pairs import Bools, Pair, Shape
from zoo.training.scoring import Scores
from zoo.voxels import bounds, corner_shift, generated_grid, pooled, replicated

Factors = tuple[int, int, int]
FINEST, COARSEST = 0.66, 1.34  # of the model's spacing: some whole number divides any larger voxel


class SuperResolutionTraining(Generative):
    """Skulls, half of them with a defect, of which part may be shown."""

    def sample(self, number: int) -> Pair:
        rng, extra = self.random(number)
        shapes = self.shapes(rng, extra)
        fine = shapes.defective if rng.random() < 0.5 else shapes.complete
        _, fine = augment(fine, fine, self.config.augmentation, extra)
        factors = self._factors(rng)
        if self.config.refinement.crop:
            fine = cropped(fine, self.config.refinement.crop, rng)
        return placed(fine, factors)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """`dice`, and `reconstruction_error` in %, of whole skulls made coarse along all axes."""
        factor = self.config.refinement.factor
        rows = []
        for shapes in self.validation():
            fine = multiple(shapes.complete, factor)
            blocks = replicated(pooled(fine, factor), (factor,) * 3)
            with torch.no_grad():
                answer = generated_grid(network, blocks, backend, device, corner_shift(blocks))
            rows.append((dice(answer, fine), reconstruction_error(answer, fine)))
        found, wrong = np.mean(rows, axis=0).tolist()
        return {"dice": found, "reconstruction_error": wrong}

    def facts(self) -> dict[str, Any]:
        spacing = FIELD_OF_VIEW / self.config.phantoms.resolution
        return {"input": InputContract.around(spacing, FINEST, COARSEST)}

    def _factors(self, rng: np.random.Generator) -> Factors:
        settings = self.config.refinement
        if rng.random() >= settings.slices:
            return (settings.factor,) * 3
        factors = [1, 1, 1]
        factors[int(rng.integers(3))] = int(rng.integers(2, settings.thickest + 1))
        return tuple(factors)  # type: ignore[return-value]


def placed(fine: Bools, factors: Factors) -> Pair:
    """A coarse shape in blocks, from any-pooling, and the fine one, as predictions place them."""
    padded = multiple(fine, factors)
    blocks = replicated(pooled(padded, factors), factors)
    shift = corner_shift(blocks)
    return Shape.cut_out(blocks, shift), Shape.cut_out(padded, shift)


def multiple(grid: Bools, factor: int | Factors) -> Bools:
    """The grid, with empty voxels behind it up to a multiple of the factor, of each axis' own."""
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    return np.pad(grid, [(0, -n % f) for n, f in zip(grid.shape, factors, strict=True)])


def cropped(grid: Bools, edge: int, rng: np.random.Generator) -> Bools:
    """A box of at most that edge, around some occupied voxel."""
    low, high = bounds(grid)
    points = rng.integers(low, high + 1, (4096, 3))  # enough to find one that is occupied
    inside = points[grid[tuple(points.T)]]
    middle = inside[0] if len(inside) else np.argwhere(grid)[0]
    start = np.clip(middle - edge // 2, 0, np.maximum(np.array(grid.shape) - edge, 0))
    i, j, k = (slice(first, first + edge) for first in start.tolist())
    return grid[i, j, k]
