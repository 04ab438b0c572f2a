"""Trains segmentation on generated scans, in which every voxel has a label."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zoo.datasets.phantoms import (
    EXTENT,
    LABELS,
    chests,
    intensities,
    labels_of,
    solids,
    thorax_case,
    tissue_map,
)
from zoo.errors import ConfigError
from zoo.sparse import Backend, SparseTensor
from zoo.tasks.segmentation._prediction import label, label_grid
from zoo.training import (
    VALIDATION_SEEDS,
    Batch,
    GridCache,
    Grids,
    PhantomConfig,
    Scores,
    Section,
    Shape,
    TrainingConfig,
    generator_digest,
)
from zoo.volumes import (
    InputContract,
    Windows,
    bounds,
    centring_shift,
    dice,
    normalised,
    windowed,
)

Bools = NDArray[np.bool_]
PLANES = 5  # bits that a tissue's number takes
SHORTEST = 0.6  # the smallest share of a chest's height that a sample shows


WINDOWS = ((-1100.0, -890.0), (-750.0, -140.0), (-50.0, 1000.0))  # HU: everything but lung and fat
EXTERIOR = -400.0  # HU


class ThoraxConfig(Section):
    """Generated chest CTs, for segmentation.

    Attributes:
        resolution: voxels along an edge of the grid, which is 384 mm long.
        chests: how many different chests; every sample has a contrast and noise of its own.
        windows: intervals of Hounsfield units; a voxel in any of them is occupied.
        exterior: voxels below this value, in Hounsfield units, that are connected to the border of
            their axial slice are air outside the body; None if there is no such value.
        labels: which of the generated structures to segment.
    """

    resolution: PositiveInt = 128
    chests: PositiveInt = Field(default=200, le=VALIDATION_SEEDS)
    windows: Windows = WINDOWS
    exterior: float | None = EXTERIOR
    labels: tuple[str, ...] = ("oesophagus", "heart", "trachea", "aorta")


class SegmentationTrainingConfig(TrainingConfig):
    """Config of a run that trains segmentation.

    Attributes:
        thorax: the generated data.
        phantoms: the position of samples; only its `jitter` is used.
    """

    thorax: ThoraxConfig = ThoraxConfig()
    phantoms: PhantomConfig = PhantomConfig()


class LabelledVoxels(NamedTuple):
    """A shape with a value for each of its occupied voxels.

    Attributes:
        shape: the occupied voxels.
        values: (N,), in raster order: intensities, or classes.
    """

    shape: Shape
    values: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are saved of a batch when a run stops over it."""
        return {**self.shape.tensors(), "values": self.values}


class SegmentationTraining:
    """Samples of chests, each with a new contrast, noise and field of view."""

    config_class: ClassVar[type[TrainingConfig]] = SegmentationTrainingConfig
    data = "generated phantoms"

    def __init__(self, config: SegmentationTrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.settings, self.cell = config, config.thorax, cell
        self.cache = GridCache(cache)
        self.prefix = f"thorax-{self.settings.resolution}-{generator_digest(solids, chests)}"
        self.spacing = EXTENT / self.settings.resolution
        self.contract = InputContract.around(
            self.spacing,
            kind="intensity",
            windows=self.settings.windows,
            exterior=self.settings.exterior,
        )
        if unknown := set(self.settings.labels) - set(LABELS):
            raise ConfigError(
                f"thorax.labels: wanted some of {', '.join(LABELS)}, got {', '.join(unknown)}"
            )
        wanted, classes = len(self.settings.labels) + 1, config.config.get("classes", 2)
        if classes != wanted:
            raise ConfigError(
                f"config.classes: wanted {wanted}, one for each of thorax.labels and one for"
                f" everything else, got {classes}"
            )

    def sample(self, number: int) -> tuple[LabelledVoxels, LabelledVoxels]:
        rng = np.random.Generator(np.random.PCG64([self.config.seed, number]))
        tissues = self._tissues(int(rng.integers(self.settings.chests)))
        part = _part(tissues.shape[2], rng)
        scan = intensities(tissues, self.spacing, rng)[:, :, part]
        occupied = windowed(scan, self.contract)
        jitter = self.config.phantoms.jitter
        shift = centring_shift(*bounds(occupied), self.cell) + rng.integers(-jitter, jitter + 1, 3)
        shape = Shape.cut_out(occupied, shift)
        values = torch.from_numpy(normalised(scan[occupied], self.contract))
        classes = torch.from_numpy(self._classes(labels_of(tissues[:, :, part]))[occupied])
        return LabelledVoxels(shape, values.half()), LabelledVoxels(shape, classes)

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Tensor]:
        """The inputs with features (N, 1), and their classes (N,) in the same order."""
        inputs, targets = batch
        columns = [
            torch.stack([x.values.float(), target.values.float()], dim=1)
            for x, target in zip(inputs, targets, strict=True)
        ]
        both = SparseTensor.from_coordinates(
            [item.shape.coordinates.to(device) for item in inputs],
            [column.to(device) for column in columns],
            backend=backend,
        )
        return both.with_features(both.features[:, :1]), both.features[:, 1].long()

    def loss(self, network: nn.Module, x: SparseTensor, target: Tensor, *, forced: bool) -> Tensor:
        """Cross-entropy, plus one minus the mean soft Dice of the structures."""
        logits: Tensor = network(x)
        shares = logits.float().softmax(dim=1)[:, 1:]
        wanted = torch.nn.functional.one_hot(target, logits.shape[1])[:, 1:].to(shares.dtype)
        both, sizes = (shares * wanted).sum(0), shares.sum(0) + wanted.sum(0)
        soft_dice = (2 * both + 1) / (sizes + 1)
        return cross_entropy(logits.float(), target) + 1 - soft_dice.mean()

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Score a network: `mean_dice` over the structures, and the Dice of each."""
        rows = []
        for number in range(self.config.validation_cases):
            case = thorax_case(VALIDATION_SEEDS + number, self.settings.resolution)
            scan = case.hu.astype(np.float32)
            occupied = windowed(scan, self.contract)
            values = normalised(scan[occupied], self.contract)
            points, logits = label(network, occupied, values, backend, device)
            predicted = label_grid(points, logits, occupied.shape)
            truth = self._classes(case.labels)
            structures = range(1, len(self.settings.labels) + 1)
            rows.append([dice(predicted == value, truth == value) for value in structures])
        found = np.mean(rows, axis=0).tolist()
        names = (f"dice_{name}" for name in self.settings.labels)
        return {"mean_dice": float(np.mean(found)), **dict(zip(names, found, strict=True))}

    def facts(self) -> dict[str, Any]:
        return {"input": self.contract, "labels": self.settings.labels}

    def _classes(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map the generator's labels to the wanted ones, in their order."""
        table = np.zeros(len(LABELS) + 1, np.uint8)
        for value, name in enumerate(self.settings.labels, 1):
            table[1 + LABELS.index(name)] = value
        return table[labels]

    def _tissues(self, seed: int) -> NDArray[np.uint8]:
        kept = self.cache.get(f"{self.prefix}/chest-{seed}", partial(self._made, seed))
        tissues: NDArray[np.uint8] = np.packbits(kept.grids, axis=0, bitorder="little")[0]
        return tissues

    def _made(self, seed: int) -> Grids:
        tissues = tissue_map(seed, self.settings.resolution)
        planes = [(tissues >> bit & 1).astype(bool) for bit in range(PLANES)]
        return Grids(np.stack(planes), (self.spacing,) * 3)


def _part(height: int, rng: np.random.Generator) -> slice:
    """A random range of axial slices, as no two scans begin and end at the same positions."""
    count = int(rng.integers(int(SHORTEST * height), height + 1))
    start = int(rng.integers(height - count + 1))
    return slice(start, start + count)
