"""Segmentation: a label for every voxel whose intensity lies in the model's windows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.cards import Card
from zoo.conform import Bools, Conformed
from zoo.errors import ConfigError, VolumeError
from zoo.intensity import normalised, resampled, windowed
from zoo.prediction import Probabilities
from zoo.sparse import SparseTensor
from zoo.tasks.base import Answer, Engine, Steps
from zoo.volume import Volume
from zoo.voxels import bounds, cell_of, centring_shift


class Segmentation:
    """Answers with a label per voxel on the input's own grid; 0 where no structure is.

    Voxels outside the windows are none of the structures.
    """

    def __init__(self, card: Card) -> None:
        if not card.input.windows or not card.labels:
            raise ConfigError(f"{card.name}: a segmentation needs input.windows and labels")
        classes = card.config.get("classes")
        if classes is not None and classes != len(card.labels) + 1:
            raise ConfigError(
                f"{card.name}: wanted labels for all of its {classes} classes but the first,"
                f" got {len(card.labels)}"
            )
        self.contract, self.labels = card.input, card.labels

    def predict(
        self, engine: Engine, source: Volume, threshold: float | None, step: Steps
    ) -> Answer:
        with step("conform"):
            conformed, occupied = self._conform(source, threshold)
        with step("network"):
            values = normalised(conformed.grid[occupied], self.contract)
            points, logits = label(engine, occupied, values)
        with step("restore"):
            grid = label_grid(points, logits, occupied.shape)
            answer, given = (
                source.with_array(np.ascontiguousarray(conformed.back(each)))
                for each in (grid, occupied.view(np.uint8))
            )
        found = Probabilities(conformed, points, logits, self.labels)
        voxels = int(np.count_nonzero(occupied))
        return Answer(answer, given, voxels, conformed.facts(), probabilities=found)

    def trial(self, source: Volume, threshold: float | None) -> tuple[Bools, Callable[..., object]]:
        _, occupied = self._conform(source, threshold)
        return occupied, partial(label, values=None)

    def _conform(self, source: Volume, threshold: float | None) -> tuple[Conformed, Bools]:
        """The scan on the model's grid, and which of its voxels are occupied."""
        if threshold is not None:
            raise VolumeError(
                "a segmentation takes the intensities as they are, in the model's windows; got"
                f" threshold {threshold:g}: leave it out"
            )
        conformed = resampled(source, self.contract)
        occupied = windowed(conformed.grid, self.contract)
        if not occupied.any() or occupied.all():
            windows = ", ".join(f"{low:g} to {high:g}" for low, high in self.contract.windows or ())
            raise VolumeError(
                f"wanted a CT in Hounsfield units, with some intensities in the windows {windows}"
                f" and some beside, got {'all' if occupied.any() else 'none'} of them in there:"
                f" they lie between {source.array.min():g} and {source.array.max():g}; check the"
                " file"
            )
        return conformed, occupied


def label(
    engine: Engine, occupied: Bools, values: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Occupied voxels (N, 3) of a grid and the network's logits (N, classes) there.

    `values` (N,) are their features in raster order; zeros if left out.
    """
    shift = centring_shift(*bounds(occupied), cell_of(engine.network))
    i, j, k = shift.tolist()
    x = SparseTensor.from_grids(
        [occupied], low=(i, j, k), backend=engine.backend, device=engine.device
    )
    points = x.coordinates[:, 1:].cpu().numpy() - shift
    features = np.zeros(occupied.shape, np.float32)
    if values is not None:
        features[occupied] = values
    column = torch.from_numpy(features[tuple(points.T)]).unsqueeze(1).to(engine.device)
    with torch.inference_mode():
        logits = engine.network(x.with_features(column))
    return points, logits.float().cpu().numpy()


def label_grid(points: np.ndarray, logits: np.ndarray, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The likeliest class of every point that `label` gave, on a grid (I, J, K); 0 elsewhere."""
    grid = np.zeros(shape, np.uint8)
    grid[tuple(points.T)] = logits.argmax(axis=1)
    return grid
