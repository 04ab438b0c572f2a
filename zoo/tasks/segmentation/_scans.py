"""The scans to train on: generated chests, and those of a data set on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.datasets import Case, Structures, load_labels, structures_of
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
from zoo.errors import ConfigError, VolumeError
from zoo.tasks._cases import digest, split_cases
from zoo.tasks.segmentation._config import ScansConfig, ThoraxConfig
from zoo.tasks.segmentation._windows import find_exterior, find_windows
from zoo.training import VALIDATION_SEEDS, GridCache, Grids, generator_digest
from zoo.volumes import InputContract, resample_intensities, resample_labels

SHORTEST = 0.6  # the smallest share of a chest's height that a sample shows
SEEN = 8  # scans, at most, that say whether the air around the body is dark or bright
ENOUGH = 20_000  # voxels of a structure, of one scan, that its window is found from


class Scan(NamedTuple):
    """Intensities float32 (I, J, K), axes RAS, and the class of each voxel, uint8."""

    values: NDArray[np.float32]
    classes: NDArray[np.uint8]


class Chests:
    """Generated chests; each is generated once and kept in the cache."""

    def __init__(self, config: ThoraxConfig, labels: Sequence[str], cache: GridCache) -> None:
        """Label some of the generated structures, in this order; the config's do not count."""
        if unknown := set(labels) - set(LABELS):
            without = "leave out dataset.share and give dataset.validation_split to do without"
            hint = "" if labels == config.labels else f"; {without} generated chests"
            raise ConfigError(
                f"thorax.labels: wanted some of {', '.join(LABELS)}, got {', '.join(unknown)}{hint}"
            )
        self.config, self.cache = config, cache
        self.prefix = f"chests-{config.resolution}-{generator_digest(solids, chests)}"
        self.spacing = EXTENT / config.resolution
        self.contract = InputContract.around(
            self.spacing, kind="intensity", windows=config.windows, exterior=config.exterior
        )
        self.numbers = np.zeros(len(LABELS) + 1, np.uint8)
        for number, name in enumerate(labels, 1):
            self.numbers[1 + LABELS.index(name)] = number

    def sample(self, rng: np.random.Generator) -> Scan:
        """Draw a chest, a part of its height and a new contrast and noise."""
        tissues = self._tissues(int(rng.integers(self.config.chests)))
        part = _part(tissues.shape[2], rng)
        values = intensities(tissues, self.spacing, rng)[:, :, part]
        return Scan(values, self.numbers[labels_of(tissues[:, :, part])])

    def held_out(self, number: int) -> Scan:
        """Validation case `number`, a chest that is never trained on."""
        case = thorax_case(VALIDATION_SEEDS + number, self.config.resolution)
        return Scan(case.hu.astype(np.float32), self.numbers[case.labels])

    def _tissues(self, seed: int) -> NDArray[np.uint8]:
        def make() -> Grids:
            return Grids(tissue_map(seed, self.config.resolution)[None], (self.spacing,) * 3)

        tissues: NDArray[np.uint8] = self.cache.get(f"{self.prefix}/{seed}", make).grids[0]
        return tissues


class LabelledScans:
    """Scans of a data set with their labels, resampled as predictions are, kept in the cache."""

    def __init__(self, config: ScansConfig, spacing: float, cache: GridCache) -> None:
        """With `spacing`, the edge of a voxel of the model's grid in mm."""
        self.config, self.cache = config, cache
        self.cases, self.validation_cases = split_cases(config, "labels")
        self.structures = config.labels or _all_structures(self.cases[0])
        # The windows are still to be found; resampling asks for none.
        self.grid = InputContract.around(spacing, kind="intensity")

    @cached_property
    def contract(self) -> InputContract:
        """The grid, windows and exterior: those of the config, or of the training cases."""
        config = self.config
        fixed = {"windows": config.windows, "bright_exterior": config.bright_exterior}
        if config.exterior != "auto":
            fixed["exterior"] = config.exterior
        contract = self.grid.model_copy(update=fixed)
        searched = config.exterior == "auto" and config.bright_exterior is None
        if config.windows is not None and not searched:
            return contract
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.structures}
        everywhere = []
        for case in self.cases:
            values, classes = self.scan(case)
            everywhere.append(_some(values.ravel()))
            for number, name in enumerate(self.structures, 1):
                found[name].append(_some(values[classes == number]))
        anywhere = np.concatenate(everywhere)
        if config.windows is None:
            structures = {name: np.concatenate(values) for name, values in found.items()}
            windows = find_windows(structures, anywhere)
            contract = contract.model_copy(update={"windows": windows})
        if not searched:
            return contract
        some = self.cases[:: 1 + len(self.cases) // SEEN]
        return find_exterior(contract, anywhere, map(self.scan, some))

    def sample(self, rng: np.random.Generator) -> Scan:
        """Draw one of the cases."""
        return self.scan(self.cases[int(rng.integers(len(self.cases)))])

    def held_out(self, number: int) -> Scan:
        """Validation case `number`."""
        return self.scan(self.validation_cases[number])

    def scan(self, case: Case) -> Scan:
        """A case on the model's grid, from the cache unless its files changed."""
        name = digest(case, self.structures)
        values, classes = self.cache.get(
            f"scans/{name}-{self.grid.spacing[0]:g}", lambda: self._conformed(case)
        ).grids
        return Scan(values.astype(np.float32), classes.astype(np.uint8))

    def _conformed(self, case: Case) -> Grids:
        scan, labels = load_labels(case, self.structures)
        try:
            conformed = resample_intensities(scan, self.grid)
        except VolumeError as error:
            raise VolumeError(f"{case.source}: {error}") from error
        grids = conformed.array, resample_labels(labels, self.grid).array
        # Half precision holds labels, and intensities to a part in 2,000, whatever their unit.
        largest = float(np.finfo(np.float16).max)
        halves = [np.clip(grid, -largest, largest).astype(np.float16) for grid in grids]
        return Grids(np.stack(halves), conformed.spacing)


def _all_structures(case: Case) -> Structures:
    names = structures_of(case)
    if not names:
        raise ConfigError(
            f"dataset.labels: wanted the names of the structures, as the labels of {case.target}"
            " have none; list them in the order of their values"
        )
    return {name: (name,) for name in names}


def _some(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evenly spaced values, ENOUGH of them at most."""
    return values[:: 1 + len(values) // ENOUGH]


def _part(height: int, rng: np.random.Generator) -> slice:
    """A random range of axial slices, as no two scans begin and end at the same positions."""
    count = int(rng.integers(int(SHORTEST * height), height + 1))
    start = int(rng.integers(height - count + 1))
    return slice(start, start + count)
