"""The skulls to train on: generated ones, and those of a data set on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.datasets import THINNEST_BONE, Case, find_cases, head_of, load_complete, load_pair
from zoo.datasets.phantoms import (
    FIELD_OF_VIEW,
    PLANNED_AT,
    apply_defects,
    complete_skull,
    cut_defect,
    defect_shape,
    defects,
    plan_defects,
    skull_case,
    skull_shape,
    skulls,
    solids,
)
from zoo.errors import ConfigError, ReadError, VolumeError
from zoo.training import (
    VALIDATION_SEEDS,
    DatasetConfig,
    GridCache,
    Grids,
    PhantomConfig,
    generator_digest,
)
from zoo.volumes import InputContract, pooled, resample_mask

Bools = NDArray[np.bool_]

ATTEMPTS = 8  # cases to try before giving up on cutting a defect


@dataclass(frozen=True)
class Shapes:
    """A defective skull and the complete one, which contains it.

    Attributes:
        defective: bool (I, J, K), axes RAS.
        complete: the same.
        spacing: voxel size along each axis, in mm.
    """

    defective: Bools
    complete: Bools
    spacing: tuple[float, float, float]

    @property
    def implant(self) -> Bools:
        """The part that is missing from the defective skull, bool (I, J, K)."""
        return self.complete & ~self.defective


class Phantoms:
    """Generated skulls; each is generated once and kept in the cache."""

    def __init__(self, config: PhantomConfig, cache: GridCache) -> None:
        self.config, self.cache = config, cache
        self.spacing = FIELD_OF_VIEW / config.resolution
        digest = generator_digest(skulls, skull_shape, solids, defects, defect_shape)
        self.prefix = f"phantoms-{config.resolution}-{digest}"

    def sample(self, rng: np.random.Generator) -> Shapes:
        """Draw one of the skulls, mirrored or not, and cut a new defect."""
        seed = int(rng.integers(self.config.skulls))
        (grid,) = self._keep(f"skull-{seed}", lambda: [complete_skull(seed, self._edge)]).grids
        if rng.random() < 0.5:
            grid = grid[::-1]  # left and right
        # Planned at a coarse resolution, which is good enough and much faster than at a fine one.
        factor = self._edge // PLANNED_AT if self._edge % PLANNED_AT == 0 else 1
        planned = grid if factor == 1 else pooled(grid, factor)
        cut = plan_defects(planned, self.spacing * factor, rng)
        defective, implant = apply_defects(grid, self.spacing, cut)
        return Shapes(defective, defective | implant, (self.spacing,) * 3)

    def held_out(self, number: int) -> Shapes:
        """Validation case `number`: a skull and a defect that are never trained on."""

        def make() -> list[Bools]:
            case = skull_case(VALIDATION_SEEDS + number, self._edge)
            return [case.defective, case.complete]

        kept = self._keep(f"validation-{number}", make)
        defective, complete = kept.grids
        return Shapes(defective, complete, kept.spacing)

    @property
    def _edge(self) -> int:
        return self.config.resolution

    def _keep(self, name: str, make: Callable[[], list[Bools]]) -> Grids:
        def grids() -> Grids:
            return Grids(np.stack(make()), (self.spacing,) * 3)

        return self.cache.get(f"{self.prefix}/{name}", grids)


class Cases:
    """Cases of a data set, resampled to the model's grid as predictions are, kept in the cache."""

    def __init__(self, config: DatasetConfig, resolution: int, cache: GridCache) -> None:
        self.config, self.cache = config, cache
        self.contract = InputContract.around(FIELD_OF_VIEW / resolution)
        self.cases = self._find(config.split)
        self.validation_cases: Sequence[Case] = ()
        if config.validation_split:
            self.validation_cases = self._find(config.validation_split)
            self.cases = _others(self.cases, self.validation_cases, config.validation_split)

    def sample(self, rng: np.random.Generator) -> Shapes:
        """Draw one of the cases; if it has no defect, cut a new one.

        Raises:
            ReadError: a file is missing or damaged.
            VolumeError: a volume cannot be used, or no defect could be cut into several cases in a
                row.
        """
        for _ in range(ATTEMPTS):
            case = self.cases[int(rng.integers(len(self.cases)))]
            if case.has_defect:
                return self._pair(case)
            kept = self._keep(case, "head", self._load_skull)
            head, complete = kept.grids
            try:
                _, implant = cut_defect(head, kept.spacing, rng, thinnest=THINNEST_BONE)
            except VolumeError as error:
                reason = f"{case.name}: {error}"
            else:
                return Shapes(complete & ~implant, complete, kept.spacing)
        raise VolumeError(
            f"no defect could be cut into {ATTEMPTS} cases in a row; the last was {reason}"
        )

    def held_out(self, number: int) -> Shapes:
        """Validation case `number`, always with the same defect."""
        return self._pair(self.validation_cases[number])

    def _find(self, split: Path | None) -> list[Case]:
        return find_cases(self.config.folder, self.config.layout, split, kind="shape")

    def _pair(self, case: Case) -> Shapes:
        kept = self._keep(case, "pair", self._load_pair)
        defective, complete = kept.grids
        return Shapes(defective, complete, kept.spacing)

    def _load_pair(self, case: Case) -> Grids:
        pair = load_pair(case, threshold=self.config.threshold)
        defective, complete = (
            resample_mask(volume, self.contract) for volume in (pair.defective, pair.complete)
        )
        grids = [defective.array, complete.array | defective.array]
        return Grids(np.stack(grids), complete.spacing)

    def _load_skull(self, case: Case) -> Grids:
        """The head, which defects are cut into, and everything in the scan of the skull."""
        volume = load_complete(case, threshold=self.config.threshold)
        complete = resample_mask(volume, self.contract)
        return Grids(np.stack([head_of(complete.array), complete.array]), complete.spacing)

    def _keep(self, case: Case, kind: str, load: Callable[[Case], Grids]) -> Grids:
        """The grids of a case at the model's spacing, from the cache unless its files changed."""
        files = [path and _stamp(path) for path in (case.target, case.source, case.implant)]
        identity = repr((kind, case.name, files, self.contract.spacing, self.config.threshold))
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        return self.cache.get(f"cases/{digest}", lambda: load(case))


def _others(cases: list[Case], held_out: Sequence[Case], split: Path) -> list[Case]:
    """The cases whose skulls are not held out, whatever their defect."""
    skulls = {case.target.resolve() for case in held_out}
    others = [case for case in cases if case.target.resolve() not in skulls]
    if not others:
        raise ConfigError(
            f"dataset.validation_split: wanted some skulls to be left to train on, got {split},"
            f" which holds out those of all {len(cases)} cases; list fewer in it"
        )
    return others


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        facts = path.stat()
    except OSError as error:
        raise ReadError(
            f"{path}: cannot be read: {error.strerror}; it existed when training began, restore it"
        ) from error
    return str(path.resolve()), facts.st_mtime_ns, facts.st_size
