"""Training of segmentation: generated scans, and a label for every voxel in their windows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zoo.cards import InputContract
from zoo.data import solids, thorax
from zoo.data.thorax import EXTENT, LABELS, intensities, labels_of, thorax_case, tissue_map
from zoo.errors import ConfigError
from zoo.intensity import normalised, windowed
from zoo.metrics import dice
from zoo.sparse import Backend, SparseTensor
from zoo.tasks.base import Engine
from zoo.tasks.segmentation import label, label_grid
from zoo.training.cache import GridCache, Grids
from zoo.training.config import VALIDATION_SEEDS, TrainingConfig
from zoo.training.pairs import Batch, Shape
from zoo.training.scoring import Scores
from zoo.training.sources import generator_digest
from zoo.voxels import bounds, centring_shift

Bools = NDArray[np.bool_]
PLANES = 5  # bits of a tissue's number
SHORTEST = 0.6  # of the height of a chest, that a sample shows


class Values(NamedTuple):
    """What the occupied voxels of a shape have: (N,), in raster order."""

    shape: Shape
    values: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {**self.shape.tensors(), "values": self.values}


class SegmentationTraining:
    """Chests with a new contrast, noise and field of view in every sample."""

    def __init__(self, config: TrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.settings, self.cell = config, config.thorax, cell
        self.cache = GridCache(cache)
        self.prefix = f"thorax-{self.settings.resolution}-{generator_digest(solids, thorax)}"
        self.spacing = EXTENT / self.settings.resolution
        self.contract = InputContract.around(
            self.spacing,
            kind="intensity",
            windows=self.settings.windows,
            exterior=self.settings.exterior,
        )
        unused = {"dataset", "augmentation", "loss_weights"} & config.model_fields_set
        if unused:
            raise ConfigError(
                f"{min(unused)}: a segmentation is trained on generated chests alone; leave it out"
            )
        if unknown := set(self.settings.labels) - set(LABELS):
            raise ConfigError(
                f"thorax.labels: wanted some of {', '.join(LABELS)}, got {', '.join(unknown)}"
            )
        wanted, classes = len(self.settings.labels) + 1, config.config.get("classes", 2)
        if classes != wanted:
            raise ConfigError(
                f"config.classes: wanted {wanted}, one for each of thorax.labels and one for all"
                f" else, got {classes}"
            )

    def sample(self, number: int) -> tuple[Values, Values]:
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
        return Values(shape, values.half()), Values(shape, classes)

    def tensors(
        self, batch: Batch, backend: Backend, device: torch.device
    ) -> tuple[SparseTensor, Tensor]:
        """Features (N, 1), and classes (N,) in the same order."""
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
        """`mean_dice` over the structures, and that of each."""
        rows = []
        for number in range(self.config.validation_cases):
            case = thorax_case(VALIDATION_SEEDS + number, self.settings.resolution)
            scan = case.hu.astype(np.float32)
            occupied = windowed(scan, self.contract)
            values = normalised(scan[occupied], self.contract)
            points, logits = label(Engine(network, backend, device), occupied, values)
            answer = label_grid(points, logits, occupied.shape)
            truth = self._classes(case.labels)
            structures = range(1, len(self.settings.labels) + 1)
            rows.append([dice(answer == value, truth == value) for value in structures])
        found = np.mean(rows, axis=0).tolist()
        names = (f"dice_{name}" for name in self.settings.labels)
        return {"mean_dice": float(np.mean(found)), **dict(zip(names, found, strict=True))}

    def facts(self) -> dict[str, Any]:
        return {"input": self.contract, "labels": self.settings.labels}

    def _classes(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The generator's labels as those that are wanted, in their order."""
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
    """Some of the axial slices, as no two scans begin and end in the same places."""
    count = int(rng.integers(int(SHORTEST * height), height + 1))
    start = int(rng.integers(height - count + 1))
    return slice(start, start + count)
