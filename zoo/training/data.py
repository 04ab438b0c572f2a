"""Training pairs for completion, made on the fly from phantoms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.defects import cut_defect
from zoo.data.phantoms import FIELD_OF_VIEW, complete_skull
from zoo.training.config import PhantomConfig, TrainingConfig
from zoo.voxels import bounds, centring_shift, occupied_coordinates

Pair = tuple[Tensor, Tensor]
Batch = tuple[list[Tensor], list[Tensor]]


class PhantomPairs(Dataset[Pair]):
    """Sample n is a defective skull and the complete one, (N, 3) and (M, 3) coordinates.

    It depends on the config, the seed and n alone, so a resumed run sees what it would have seen.
    """

    def __init__(self, config: PhantomConfig, seed: int) -> None:
        self.config = config
        self.seed = seed

    def __getitem__(self, number: int) -> Pair:
        rng = np.random.Generator(np.random.PCG64([self.seed, number]))
        resolution = self.config.resolution
        complete = _packed_skull(int(rng.integers(self.config.skulls)), resolution)
        grid = np.unpackbits(complete, count=resolution**3).reshape((resolution,) * 3).astype(bool)
        if rng.random() < 0.5:
            grid = grid[::-1]  # left and right
        defective, implant = cut_defect(grid, FIELD_OF_VIEW / resolution, rng)
        jitter = self.config.jitter
        return place_pair(defective, defective | implant, rng.integers(-jitter, jitter + 1, 3))


def place_pair(defective: np.ndarray, complete: np.ndarray, offset: np.ndarray) -> Pair:
    """Coordinates of both grids, with the defective shape `offset` away from its cell's middle."""
    source, target = occupied_coordinates(defective), occupied_coordinates(complete)
    shift = torch.from_numpy(centring_shift(*bounds(defective)) + offset)
    return source + shift, target + shift


@lru_cache(maxsize=4096)  # 32 kB each at 64, 16 MB at 512
def _packed_skull(seed: int, resolution: int) -> np.ndarray:
    return np.packbits(complete_skull(seed, resolution))


def batches(config: TrainingConfig, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """The batches of steps `start` to `stop`, made in worker processes (0: in this one)."""
    first, last = start * config.batch_size, stop * config.batch_size
    yield from DataLoader(
        PhantomPairs(config.phantoms, config.seed),
        batch_size=config.batch_size,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=_lists,
    )


def _lists(pairs: list[Pair]) -> Batch:
    return [source for source, _ in pairs], [target for _, target in pairs]
