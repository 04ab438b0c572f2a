"""Trains segmentation on scans with labels: generated ones, and those of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.datasets.phantoms import EXTENT
from zoo.errors import ConfigError
from zoo.sparse import Backend, SparseTensor
from zoo.tasks.segmentation._config import SegmentationTrainingConfig
from zoo.tasks.segmentation._prediction import label, label_grid
from zoo.tasks.segmentation._scans import Chests, LabelledScans, Scan
from zoo.tasks.segmentation._windows import in_words
from zoo.training import (
    Batch,
    CountsCases,
    GridCache,
    Scores,
    Shape,
    TrainingConfig,
    augment_scan,
)
from zoo.volumes import InputContract, bounds, centring_shift, dice, normalised, windowed

Bools = NDArray[np.bool_]

WITHOUT_CHESTS = "do without them, by dataset.validation_split and dataset.share: 1"


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


class SegmentationTraining(CountsCases):
    """Samples of scans with labels: generated chests, those of a data set, or both."""

    config_class: ClassVar[type[TrainingConfig]] = SegmentationTrainingConfig
    data = "generated phantoms"
    balance = 0.0  # see `SegmentationTrainingConfig.class_balance`

    def __init__(self, config: SegmentationTrainingConfig, cache: Path, cell: int) -> None:
        self.config, self.cell, kept = config, cell, GridCache(cache)
        self.balance = config.class_balance
        dataset = config.dataset
        spacing = EXTENT / config.thorax.resolution
        self.scans = None
        if dataset is not None:
            self.scans = LabelledScans(dataset, dataset.spacing or spacing, kept)
            self.data = "a data set" if dataset.share == 1 else "generated chests and a data set"
        self.labels = tuple(self.scans.structures) if self.scans else config.thorax.labels
        self.chests = None
        if dataset is None or dataset.share < 1 or not dataset.validation_split:
            self.chests = Chests(config.thorax, self.labels, kept)
        _check_classes(config, self.labels)

    @cached_property
    def contract(self) -> InputContract:
        """What the network is trained on."""
        source = self.scans or self.chests
        assert source is not None
        if self.chests and source.contract.bright_exterior is not None:
            raise ConfigError(
                "wanted scans in which air is dark, as in generated chests, got a data set in which"
                f" it is bright; {WITHOUT_CHESTS}"
            )
        return source.contract

    def sample(self, number: int) -> tuple[LabelledVoxels, LabelledVoxels]:
        rng, extra = (
            np.random.Generator(np.random.PCG64([self.config.seed, number, *stream]))
            for stream in ((), (1,))
        )
        scan = self._source(extra).sample(rng)
        contract = self.contract
        values, classes = augment_scan(
            *scan,
            self.config.augmentation,
            contract.window_ends,
            contract.spacing[0],
            extra,
            bright_air=contract.bright_exterior is not None,
        )
        return self.placed(values, classes, rng)

    def placed(
        self, values: NDArray[np.float32], classes: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[LabelledVoxels, LabelledVoxels]:
        """The occupied voxels of a scan, near the centre of the network's coarsest voxels.

        Args:
            values: the scan's intensities (I, J, K), axes RAS.
            classes: the class of every voxel, of the same shape.
            rng: draws how far from the centre.
        """
        occupied = self._occupied(values)
        jitter = self.config.phantoms.jitter
        shift = centring_shift(*bounds(occupied), self.cell) + rng.integers(-jitter, jitter + 1, 3)
        shape = Shape.cut_out(occupied, shift)
        features = torch.from_numpy(normalised(values[occupied], self.contract)).half()
        labels = torch.from_numpy(classes[occupied])
        return LabelledVoxels(shape, features), LabelledVoxels(shape, labels)

    def preparations(self) -> Sequence[Callable[[], object]]:
        """Read and resample every scan that the run needs, once."""
        if self.scans is None:
            return ()
        held_out = self.scans.validation_cases[: self.config.validation_cases]
        return [partial(self.scans.scan, case) for case in (*self.scans.cases, *held_out)]

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
        """That of a network's logits."""
        return self.loss_of(network(x), target)

    def loss_of(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, plus one minus the mean soft Dice of the structures.

        Args:
            logits: (N, classes).
            target: int64 (N,).

        Returns:
            The loss, a tensor of shape ().
        """
        classes = logits.shape[1]
        wanted = target == torch.arange(classes, device=target.device)[:, None]
        counts = wanted.sum(1).float()
        # Classes first, as PyTorch is several times as fast over the other, long axis.
        logs = logits.float().t().contiguous().log_softmax(dim=0)
        shares = logs.exp()
        both, sizes = (shares * wanted).sum(1), shares.sum(1) + counts
        soft_dice = ((2 * both + 1) / (sizes + 1))[1:]
        weights = counts.clamp(min=1) ** -self.balance
        weighted = weights[target]
        entropy = -(weighted * logs.gather(0, target[None])[0]).sum() / weighted.sum()
        return entropy + 1 - soft_dice.mean()

    def score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores:
        """Score a network on the model's grid: `mean_dice`, and the Dice of each structure.

        A structure that is nowhere in a scan, neither found nor labelled, does not count there.
        """
        rows = []
        for scan in self._validation():
            occupied = self._occupied(scan.values)
            values = normalised(scan.values[occupied], self.contract)
            points, logits = label(network, occupied, values, backend, device)
            predicted = label_grid(points, logits, occupied.shape)
            numbers = range(1, len(self.labels) + 1)
            rows.append([_dice(predicted == n, scan.classes == n) for n in numbers])
        rows = self.gathered(rows)
        counted = np.ma.masked_invalid(rows).mean(axis=0).filled(np.nan)
        names = (f"dice_{name}" for name in self.labels)
        mean = float(np.nanmean(counted))
        return {"mean_dice": mean, **dict(zip(names, counted.tolist(), strict=True))}

    def facts(self) -> dict[str, Any]:
        structures = self.scans.structures if self.scans else {}
        parts = {name: tuple(given) for name, given in structures.items()}
        merged = {name: given for name, given in parts.items() if given != (name,)}
        return {"input": self.contract, "labels": self.labels, "merged": merged}

    def _occupied(self, values: NDArray[np.float32]) -> Bools:
        """The voxels (I, J, K) of a scan whose intensities are in the windows."""
        occupied = windowed(values, self.contract)
        if not occupied.any():
            low, high = float(values.min()), float(values.max())
            hint = f"; generated chests are in Hounsfield units: {WITHOUT_CHESTS}"
            raise ConfigError(
                "wanted scans with intensities in the windows"
                f" {in_words(self.contract.windows)}, got one from {low:g} to {high:g}"
                f"{hint if self.chests else ''}"
            )
        return occupied

    def _source(self, rng: np.random.Generator) -> LabelledScans | Chests:
        dataset = self.config.dataset
        if self.scans and dataset and (dataset.share == 1 or rng.random() < dataset.share):
            return self.scans
        assert self.chests is not None
        return self.chests

    def _validation(self) -> Iterator[Scan]:
        """Scans that are never trained on: the data set's validation split, or generated ones."""
        wanted = self.config.validation_cases
        if self.scans and self.scans.validation_cases:
            numbers = self.shared(min(wanted, len(self.scans.validation_cases)))
            return self.counted(map(self.scans.held_out, numbers), len(numbers))
        assert self.chests is not None
        numbers = self.shared(wanted)
        return self.counted(map(self.chests.held_out, numbers), len(numbers))


def _check_classes(config: TrainingConfig, labels: Sequence[str]) -> None:
    wanted, classes = len(labels) + 1, config.config.get("classes", 2)
    if classes != wanted:
        raise ConfigError(
            f"config.classes: wanted {wanted}, one for each of the labels {', '.join(labels)} and"
            f" one for everything else, got {classes}"
        )


def _dice(predicted: Bools, truth: Bools) -> float:
    """Dice; NaN where there is nothing in either."""
    return dice(predicted, truth) if predicted.any() or truth.any() else math.nan
