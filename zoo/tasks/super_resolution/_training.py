"""Trains super-resolution: the input is a coarse shape in blocks, the target the fine one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, field_validator
from torch import nn

from zoo.datasets.phantoms import FIELD_OF_VIEW
from zoo.networks import generated_occupancy
from zoo.sparse import Backend
from zoo.tasks._generative_training import GenerativeTraining, GenerativeTrainingConfig
from zoo.tasks._skulls import HEAD
from zoo.tasks.super_resolution._scanner import scanned
from zoo.training import CoveredShape, Sample, Scores, Section, Shape, TrainingConfig, augment
from zoo.volumes import (
    Bools,
    InputContract,
    bounds,
    corner_shift,
    dice,
    pooled,
    reconstruction_error,
    replicated,
)

Factors = tuple[int, int, int]
Floats = NDArray[np.float32]
COARSE_IN_PLANE = 0.3  # share of scans with thick slices that are coarse along all axes
FINEST, COARSEST = (
    0.66,
    1.34,
)  # times the model's spacing: some whole number divides any larger voxel


class RefinementConfig(Section):
    """Settings of how coarse shapes are made from fine ones.

    Attributes:
        factor: fine voxels along an edge of a coarse one.
        slices: share of the samples whose voxels are coarse along one axis only, as in scans with
            thick slices.
        thickest: thickness of the thickest slices, in fine voxels; the thinnest have 2.
        scanner: share of the samples that are made coarse as a scanner does it, along one axis by 2
            to `thickest` and sometimes by 2 along the others. With any, the model takes values of
            scans.
        crop: edge of the cube that samples are cropped to, in fine voxels; not cropped if left out.
            Only use it for a network with few levels, whose receptive field is no larger.
    """

    factor: int = Field(default=2, ge=2)
    slices: float = Field(default=0.2, ge=0, le=1)
    thickest: int = Field(default=8, ge=2)
    scanner: float = Field(default=0, ge=0, le=1)
    crop: PositiveInt | None = None


class SuperResolutionTrainingConfig(GenerativeTrainingConfig):
    """Config of a run that trains super-resolution.

    Attributes:
        refinement: how coarse shapes are made.
    """

    refinement: RefinementConfig = RefinementConfig()

    @field_validator("coverage")
    @classmethod
    def _is_occupancy(cls, coverage: bool) -> bool:
        if coverage:
            raise ValueError("wanted false: super-resolution predicts occupancy")
        return coverage


class SuperResolutionTraining(GenerativeTraining):
    """Samples of skulls, half of them with a defect, cropped if the config says so.

    The loss is that of all generative networks: deep supervision of every level.
    """

    config_class: ClassVar[type[TrainingConfig]] = SuperResolutionTrainingConfig
    config: SuperResolutionTrainingConfig

    def sample(self, number: int) -> Sample:
        rng, extra = self.random(number)
        shapes = self.shapes(rng, extra)
        fine = shapes.defective if rng.random() < 0.5 else shapes.complete
        _, fine = augment(fine, fine, self.config.augmentation, extra)
        factors = self._factors(rng)
        if self.config.refinement.crop:
            fine = cropped(fine, self.config.refinement.crop, rng)
        scanner = self.config.refinement.scanner
        if scanner and extra.random() < scanner:
            factors = self._slices(extra)
            return placed_values(*scanned(multiple(fine, factors), factors, extra))
        if scanner:
            padded = multiple(fine, factors)
            blocks = replicated(pooled(padded, factors), factors)
            return placed_values(blocks.astype(np.float32), padded)
        return placed(fine, factors)

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Score on skulls made coarse along all axes: `dice`, `reconstruction_error` in %."""
        factor = self.config.refinement.factor
        rows = []
        for shapes in self.validation():
            fine = multiple(shapes.complete, factor)
            blocks = replicated(pooled(fine, factor), (factor,) * 3)
            if self.config.refinement.scanner:
                blocks = blocks.astype(np.float32)
            with torch.no_grad():
                predicted = generated_occupancy(
                    network, blocks, backend, device, corner_shift(blocks)
                )
            rows.append((dice(predicted, fine), reconstruction_error(predicted, fine)))
        found, wrong = np.mean(self.gathered(rows), axis=0).tolist()
        return {"dice": found, "reconstruction_error": wrong}

    def facts(self) -> dict[str, Any]:
        spacing = FIELD_OF_VIEW / self.config.phantoms.resolution
        kind = "coverage" if self.config.refinement.scanner else "binary"
        return {"input": InputContract.around(spacing, FINEST, COARSEST, kind=kind, extent=HEAD)}

    def _slices(self, rng: np.random.Generator) -> Factors:
        """Factors of a scan with thick slices, along any axis."""
        in_plane = 2 if rng.random() < COARSE_IN_PLANE else 1
        factors = [in_plane] * 3
        factors[int(rng.integers(3))] = int(rng.integers(2, self.config.refinement.thickest + 1))
        i, j, k = factors
        return i, j, k

    def _factors(self, rng: np.random.Generator) -> Factors:
        settings = self.config.refinement
        if rng.random() >= settings.slices:
            return (settings.factor,) * 3
        factors = [1, 1, 1]
        factors[int(rng.integers(3))] = int(rng.integers(2, settings.thickest + 1))
        return tuple(factors)  # type: ignore[return-value]


def placed(fine: Bools, factors: Factors) -> Sample:
    """A coarse shape in blocks, from any-pooling, and the fine one, aligned as in predictions."""
    padded = multiple(fine, factors)
    blocks = replicated(pooled(padded, factors), factors)
    shift = corner_shift(blocks)
    return Shape.cut_out(blocks, shift), Shape.cut_out(padded, shift)


def placed_values(values: Floats, fine: Bools) -> Sample:
    """Values of a coarse shape on the fine grid, and the fine one, aligned as in predictions."""
    shift = corner_shift(values)
    return CoveredShape.cut_out(values, shift), Shape.cut_out(fine, shift)


def multiple(grid: Bools, factor: int | Factors) -> Bools:
    """Pad the grid at its far end to a multiple of the factor, which may differ between axes."""
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    return np.pad(grid, [(0, -n % f) for n, f in zip(grid.shape, factors, strict=True)])


def cropped(grid: Bools, edge: int, rng: np.random.Generator) -> Bools:
    """A cube of at most that edge around a random occupied voxel, bool."""
    low, high = bounds(grid)
    points = rng.integers(low, high + 1, (4096, 3))  # enough to find one that is occupied
    inside = points[grid[tuple(points.T)]]
    middle = inside[0] if len(inside) else np.argwhere(grid)[0]
    start = np.clip(middle - edge // 2, 0, np.maximum(np.array(grid.shape) - edge, 0))
    i, j, k = (slice(first, first + edge) for first in start.tolist())
    return grid[i, j, k]
