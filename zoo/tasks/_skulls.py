"""The skulls to train on: generated ones, and those of a data set on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.datasets import THINNEST_BONE, Case, head_of, load_complete, load_pair
from zoo.datasets.phantoms import (
    FIELD_OF_VIEW,
    PLANNED_AT,
    apply_defects,
    complete_skull,
    craniotomies,
    cut_coverage,
    cut_defect,
    cutting,
    defect_shape,
    defects,
    plan_defects,
    skull_case,
    skull_coverage,
    skull_shape,
    skulls,
    solids,
)
from zoo.errors import VolumeError
from zoo.tasks import _registration
from zoo.tasks._cases import digest, split_cases
from zoo.tasks._variants import settings, varied
from zoo.training import (
    VALIDATION_SEEDS,
    AugmentationConfig,
    DatasetConfig,
    GridCache,
    Grids,
    PhantomConfig,
    deform,
    generator_digest,
)
from zoo.volumes import (
    InputContract,
    Volume,
    from_bytes,
    occupied_box,
    pooled,
    resample_coverage,
    resample_mask,
    to_bytes,
)

Shape = NDArray[Any]  # (I, J, K): bool, or float32 for coverage

ATTEMPTS = 8  # cases to try before giving up on cutting a defect
HEAD = ((90.0, 100.0, 40.0), (200.0, 240.0, 320.0))  # mm: from a vault to a skull with its neck
EXACTLY = 1e-3  # of a spacing: coverage is wanted at the model's own


@dataclass(frozen=True)
class Shapes:
    """A defective skull and the complete one, which contains it.

    Attributes:
        defective: bool (I, J, K), or float32 for coverage; axes RAS.
        complete: the same.
        spacing: voxel size along each axis, in mm.
    """

    defective: Shape
    complete: Shape
    spacing: tuple[float, float, float]

    @property
    def implant(self) -> Shape:
        """The part that is missing from the defective skull."""
        return _without(self.complete, self.defective)


def contract_at(resolution: int, *, covered: bool) -> InputContract:
    """The contract of a model that is trained on grids of a resolution."""
    spacing = FIELD_OF_VIEW / resolution
    if covered:
        return InputContract.around(spacing, 1 - EXACTLY, 1 + EXACTLY, kind="coverage", extent=HEAD)
    return InputContract.around(spacing, extent=HEAD)


class Phantoms:
    """Generated skulls; each is generated once and kept in the cache."""

    def __init__(
        self,
        config: PhantomConfig,
        cache: GridCache,
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        """With an augmentation, skulls are coverage, and deformed before they are cut."""
        self.config, self.cache, self.augmentation = config, cache, augmentation
        self.spacing = FIELD_OF_VIEW / config.resolution
        digest = generator_digest(
            skulls, skull_shape, solids, defects, defect_shape, cutting, craniotomies
        )
        kind = "phantoms" if augmentation is None else "covered-phantoms"
        self.prefix = f"{kind}-{config.resolution}-{digest}"

    def sample(self, rng: np.random.Generator) -> Shapes:
        """Draw one of the skulls, mirrored or not, and cut a new defect."""
        seed = int(rng.integers(self.config.skulls))
        if self.augmentation is not None:
            return self._covered(seed, rng, self.augmentation)
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
        seed = VALIDATION_SEEDS + number

        def make() -> list[Shape]:
            if self.augmentation is not None:
                complete = skull_coverage(seed, self._edge)
                rng = np.random.Generator(np.random.PCG64([seed, 1]))
                return [complete - cut_coverage(complete, self.spacing, rng), complete]
            case = skull_case(seed, self._edge)
            return [case.defective, case.complete]

        defective, complete = _values(self._keep(f"validation-{number}", make))
        return Shapes(defective, complete, (self.spacing,) * 3)

    @property
    def _edge(self) -> int:
        return self.config.resolution

    def _covered(
        self, seed: int, rng: np.random.Generator, augmentation: AugmentationConfig
    ) -> Shapes:
        kept = self._keep(f"skull-{seed}", lambda: [skull_coverage(seed, self._edge)])
        (complete,) = deform(_values(kept), self.spacing, augmentation, rng)
        implant = cut_coverage(complete, self.spacing, rng)
        return Shapes(complete - implant, complete, (self.spacing,) * 3)

    def _keep(self, name: str, make: Callable[[], list[Shape]]) -> Grids:
        return self.cache.get(f"{self.prefix}/{name}", lambda: _grids(make(), (self.spacing,) * 3))


class Cases:
    """Cases of a data set, resampled to the model's grid as predictions are, kept in the cache."""

    def __init__(
        self,
        config: DatasetConfig,
        resolution: int,
        cache: GridCache,
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        """With an augmentation, skulls are coverage, and deformed before they are cut."""
        self.config, self.cache, self.augmentation = config, cache, augmentation
        self.contract = contract_at(resolution, covered=augmentation is not None)
        self.cases, self.validation_cases = split_cases(config, "shape")

    def sample(self, rng: np.random.Generator) -> Shapes:
        """Draw one of the cases, with its own defect, a new one or none, as the config says.

        Raises:
            ReadError: a file is missing or damaged.
            VolumeError: a volume cannot be used, or no defect could be cut into several cases in a
                row.
        """
        for _ in range(ATTEMPTS):
            case = self.cases[int(rng.integers(len(self.cases)))]
            defect = self._defect(case, rng)
            variants = self.config.variants
            kept = self.prepared(case, int(rng.integers(variants)) if variants > 1 else 0)
            grids = _values(kept)
            if self.augmentation is not None:
                grids = deform(grids, kept.spacing[0], self.augmentation, rng)
            complete, head, *others = grids
            if defect == "intact":
                return Shapes(complete, complete, kept.spacing)
            if defect == "official":
                return Shapes(others[0], complete, kept.spacing)
            try:
                implant = self._cut(head, kept.spacing, rng)
            except VolumeError as error:
                reason = f"{case.name}: {error}"
            else:
                return Shapes(_without(complete, implant), complete, kept.spacing)
        raise VolumeError(
            f"no defect could be cut into {ATTEMPTS} cases in a row; the last was {reason}"
        )

    def held_out(self, number: int) -> Shapes:
        """Validation case `number`, always with the same defect."""
        case = self.validation_cases[number]
        kept = self.prepared(case)
        complete, head, *others = _values(kept)
        if others:
            return Shapes(others[0], complete, kept.spacing)
        rng = np.random.Generator(np.random.PCG64(_number(case)))
        return Shapes(
            _without(complete, self._cut(head, kept.spacing, rng)), complete, kept.spacing
        )

    def prepared(self, case: Case, variant: int = 0) -> Grids:
        """The complete skull, the head, and the defective skull if there is one, from the cache.

        The cache has them unless the files of the case changed. It also has what was read of the
        files, for runs at other resolutions.
        """
        name = f"cases/{digest(case, self.config.threshold)}"
        kind, spacing = self.contract.kind, self.contract.spacing[0]
        suffix = f"-variant-{variant}-{settings(self.config)}" if variant else ""
        if variant and (self.config.registered or self.config.degrees):
            suffix += f"-{self._registrations}"

        def make() -> Grids:
            read = self.cache.get(f"{name}-read", lambda: self._read(case))
            rng = np.random.Generator(np.random.PCG64([_number(case), variant]))
            return self._conformed(case, read, rng if variant else None)

        return self.cache.get(f"{name}-{kind}-{spacing:g}{suffix}", make)

    def _defect(self, case: Case, rng: np.random.Generator) -> str:
        """What the next sample has: an official defect, a new cut, or none: intact."""
        config = self.config
        if config.intact and rng.random() < config.intact:
            return "intact"
        if not case.has_defect or config.defects == "cut":
            return "cut"
        if config.defects == "both":
            return "cut" if rng.random() < config.cut else "official"
        return "official"

    def _cut(
        self, head: Shape, spacing: tuple[float, float, float], rng: np.random.Generator
    ) -> Shape:
        if self.augmentation is not None:
            return cut_coverage(head, spacing[0], rng, thinnest=THINNEST_BONE)
        return cut_defect(head, spacing, rng, thinnest=THINNEST_BONE)[1]

    def _read(self, case: Case) -> Grids:
        """The complete skull and, if there is one, the defective skull, as in their files."""
        threshold = self.config.threshold
        if case.has_defect:
            pair = load_pair(case, threshold=threshold)
            volumes = [pair.complete, pair.defective]
        else:
            volumes = [load_complete(case, threshold=threshold)]
        canonical = [volume.canonical() for volume in volumes]
        grids = [np.asarray(volume.array, dtype=bool) for volume in canonical]
        return Grids(np.stack(grids), canonical[0].spacing)

    def _conformed(self, case: Case, read: Grids, rng: np.random.Generator | None) -> Grids:
        """The complete skull, the head, and the defective skull if there is one.

        With a generator, they are those of a variant.
        """
        parts, spacing = list(read.grids), read.spacing
        if rng is not None or self.augmentation is not None:
            parts = _cropped(*parts)  # where they begin does not matter, and empty space takes time
        if rng is not None:
            parts, spacing = self._moved(case, parts, spacing, rng)
            parts, spacing = varied(parts, spacing, self.config, self.contract.spacing, rng)
        affine = np.diag([*spacing, 1.0])
        resample = resample_mask if self.augmentation is None else resample_coverage
        found = [resample(Volume(part, affine), self.contract) for part in parts]
        complete, *others = (each.array for each in found)
        return _grids(_cropped(complete, _head(complete), *others), found[0].spacing)

    @cached_property
    def _registrations(self) -> str:
        """What the shapes of other cases depend on, to be a part of a file's name."""
        names = [digest(case, self.config.threshold) for case in self.cases]
        identity = repr((generator_digest(_registration), *names))
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def _moved(
        self,
        case: Case,
        parts: list[Shape],
        spacing: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> tuple[list[Shape], tuple[float, float, float]]:
        """A case in another shape, in another pose, in both or as it is, and its spacing."""
        config, way = self.config, None
        if config.registered and rng.random() < config.registered:
            other = self.cases[int(rng.integers(len(self.cases)))]
            way = _registration.between(self._onto_template(case), self._onto_template(other))
            way = way * np.float32(rng.random())
        if config.degrees:
            x, y, z = rng.uniform(-1, 1, 3) * (1, 0.5, 0.5) * config.degrees
            way = np.zeros((3, *_registration.FRAME), np.float32) if way is None else way
            way = _registration.turned(way, (x, y, z))
        if way is None:
            return parts, spacing
        moved = _registration.moved(parts, spacing, way, self.contract.spacing)
        return _cropped(*moved[0]), moved[1]

    def _onto_template(self, case: Case) -> NDArray[np.float32]:
        """The displacement that registers a case onto the first one, from the cache."""
        ours, template = (digest(each, self.config.threshold) for each in (case, self.cases[0]))

        def make() -> Grids:
            frames = []
            for name, each in ((ours, case), (template, self.cases[0])):
                read = self.cache.get(f"cases/{name}-read", partial(self._read, each))
                frames.append(_registration.framed(_cropped(read.grids[0])[0], read.spacing))
            return Grids(_registration.register(*frames).astype(np.float16), read.spacing)

        code = generator_digest(_registration)
        kept = self.cache.get(f"cases/{ours}-onto-{template}-{code}", make)
        return kept.grids.astype(np.float32)


def _number(case: Case) -> int:
    """A number to draw with for a case, which its name decides."""
    return int.from_bytes(hashlib.sha256(case.name.encode()).digest()[:8], "little")


def _without(shape: Shape, part: Shape) -> Shape:
    """A shape less a part of it."""
    difference: Shape = shape & ~part if shape.dtype == np.bool_ else np.maximum(shape - part, 0)
    return difference


def _head(skull: Shape) -> Shape:
    """What defects are cut into."""
    head: Shape = np.where(head_of(skull > 0), skull, skull.dtype.type(0))
    return head


def _cropped(*shapes: Shape) -> list[Shape]:
    """Shapes, cropped to the first one's bounding box."""
    box = occupied_box(shapes[0])
    return [shape[box] for shape in shapes]


def _grids(shapes: list[Shape], spacing: tuple[float, float, float]) -> Grids:
    """Shapes as the cache keeps them: bool, or coverage in bytes."""
    grids = np.stack(shapes)
    return Grids(to_bytes(grids) if grids.dtype.kind == "f" else grids, spacing)


def _values(kept: Grids) -> Shape:
    """Shapes (n, I, J, K) as they are computed with: bool, or coverage as float32."""
    grids: Shape = kept.grids
    return grids if grids.dtype == np.bool_ else from_bytes(grids)
