"""The typed config of a training run, which is read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from zoo.training._identity import identity

EVALUATION_SEEDS = 1_000_000  # phantoms from here on are never trained on
VALIDATION_SEEDS = 900_000

Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A section of a training config.

    Attributes:
        private: names of fields that are neither published nor part of the run's identity, such as
            paths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    private: ClassVar[frozenset[str]] = frozenset()


class PhantomConfig(Section):
    """Training pairs generated on the fly: a limited number of skulls, an endless one of defects.

    Attributes:
        resolution: voxels along an edge of the grid, which is 204.8 mm long; it decides the model's
            spacing, also for the volumes of a data set.
        skulls: how many different skulls, with seeds 0 to skulls - 1; every sample cuts a new
            defect.
        jitter: largest shift of a sample from the centre of its grid, in voxels along each axis,
            whatever its source.
    """

    resolution: PositiveInt = 64
    skulls: PositiveInt = Field(default=2000, le=VALIDATION_SEEDS)
    jitter: NonNegativeInt = 3


class CasesConfig(Section):
    """Cases on disk to train on.

    Attributes:
        folder: folder of the data set.
        layout: name of its layout; recognised if left out.
        split: file that lists the cases to train on; all if left out.
        validation_split: file that lists the cases to validate on; phantoms if left out. What is in
            it is not trained on.
        share: share of the samples that come from here; the others are phantoms.
    """

    private = frozenset({"folder", "split", "validation_split"})

    folder: Path
    layout: str | None = None
    split: Path | None = None
    validation_split: Path | None = None
    share: float = Field(default=1, gt=0, le=1)


class DatasetConfig(CasesConfig):
    """Training pairs from skulls on disk; none of a skull that is validated on.

    Attributes:
        threshold: voxels above it are bone, or "auto", which finds the skull in a CT; needed for
            volumes that are not binary.
        defects: `official`, those of the data set; `cut`, a new one every time; or `both`. Cases
            without a defect get a new one in any case.
        cut: share of new defects, of `both`.
        intact: share of the samples that have no defect, where nothing is to be added.
        variants: how many variants of every case to train on: the first as it is, the others
            stretched along each axis and moved by a part of a voxel. They are made from the
            volume's own voxels, and so are as sharp as the case itself.
        stretch: largest share by which a variant is stretched along each axis, up or down.
        slice_thickness: in mm, of the thickest slices that one variant in four has: it has bone
            where a share of the slice is, from a quarter to a half.
        crop: largest share of its height that one variant in four loses at its top, and at its
            bottom: its scan ends within the skull.
        registered: share of the variants that take the shape of any case, partly or wholly: cases
            are registered onto one another for it.
        degrees: largest angle by which a variant nods, up or down; it leans to a side, and turns
            to one, by half as much at most. What is over 235 mm below the top is not rotated.
    """

    threshold: float | Literal["auto", "bone"] | None = None
    defects: Literal["official", "cut", "both"] = "official"
    cut: float = Field(default=0.5, ge=0, le=1)
    intact: float = Field(default=0, ge=0, lt=1)
    variants: Annotated[int, Field(ge=1, le=1000)] = 1
    stretch: float = Field(default=0.06, ge=0, le=0.3)
    slice_thickness: PositiveFloat | None = None
    crop: float = Field(default=0, ge=0, lt=0.5)
    registered: float = Field(default=0, ge=0, le=1)
    degrees: float = Field(default=0, ge=0, le=45)

    @model_validator(mode="after")
    def _varies(self) -> Self:
        if self.degrees and self.variants == 1:
            raise ValueError("degrees: rotates variants, wanted variants above 1, got 1")
        return self


class PoseConfig(Section):
    """Geometric augmentation of every sample, as a whole; switched off by default.

    Attributes:
        flip: probability of swapping left and right.
        degrees: largest rotation about each axis, in degrees.
        scale: smallest and largest scale factor, of all axes.
        stretch: largest share by which each axis is scaled by itself, up or down.
    """

    flip: float = Field(default=0, ge=0, le=1)
    degrees: float = Field(default=0, ge=0, le=180)
    scale: tuple[PositiveFloat, PositiveFloat] = (1, 1)
    stretch: float = Field(default=0, ge=0, le=0.5)

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("wanted the smallest factor, then the largest")
        return scale


class AugmentationConfig(PoseConfig):
    """Augmentation of every sample, the same for both of its shapes; switched off by default.

    What is turned, scaled or deformed is interpolated on the model's grid, which blurs the coverage
    of bone that is not much thicker than a voxel; a flip is exact.

    Attributes:
        noise: probability that a voxel on either side of the surface is dropped or added; this only
            applies to the defective shape.
        deformation: standard deviation of smooth random displacements, in mm; only for coverage.
        binary: probability that coverage becomes 0 or 1, as of volumes that are coarse themselves.
    """

    noise: float = Field(default=0, ge=0, le=0.5)
    deformation: float = Field(default=0, ge=0, le=50)
    binary: float = Field(default=0, ge=0, le=1)


class ScanConfig(PoseConfig):
    """Augmentation of every scan and its labels; switched off by default.

    Amounts of intensity are shares of the width of the model's windows. Of each, a sample gets
    anything from nothing to the largest.

    Attributes:
        field_of_view: the smallest share of the scan's extent to right, anterior and superior that
            a sample shows, somewhere in the scan.
        crop: the largest extent of a sample to right, anterior and superior, in mm; larger scans
            are cropped around a labelled voxel.
        deformation: standard deviation of smooth random displacements, in mm.
        contrast: largest share by which intensities spread or draw together about the middle of the
            windows.
        brightness: largest amount by which intensities are raised or lowered.
        noise: largest standard deviation of noise.
        blur: largest standard deviation of a Gaussian, in voxels.
        coarse: largest factor by which the slices along a random axis become thicker.
        bias: largest share by which intensities vary smoothly over the scan.
    """

    field_of_view: tuple[Share, Share, Share] = (1, 1, 1)
    crop: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    deformation: float = Field(default=0, ge=0, le=50)
    contrast: float = Field(default=0, ge=0, lt=1)
    brightness: float = Field(default=0, ge=0, le=1)
    noise: float = Field(default=0, ge=0, le=1)
    blur: float = Field(default=0, ge=0, le=10)
    coarse: float = Field(default=1, ge=1, le=20)
    bias: float = Field(default=0, ge=0, lt=1)


class TrainingConfig(Section):
    """Everything that decides a run's weights; where it runs is up to the command line.

    The training of a task adds its own sections in a subclass.

    Attributes:
        architecture: name in the architectures registry.
        config: the architecture's own config.
        initial: model to start from, by name or as `local-dir:PATH`; random weights if left out.
            A network for a coarser grid becomes the coarsest levels of this one, which keep their
            BatchNorm statistics. It is needed again to resume the run.
        initial_pass_on: whether the new, finer levels start by passing on the features of
            `initial`, rather than with random weights.
        initial_rate: factor of the learning rate for the levels that come from `initial`.
        steps: number of optimiser steps.
        batch_size: samples per step, over all processes and passes.
        accumulate: number of passes per step, over which the gradients are accumulated; more passes
            need less memory.
        precision: `bfloat16` multiplies matrices in bfloat16, on backends that support it.
        forcing: share of the steps, from the first one on, in which the target's voxels survive
            pruning whatever the network predicts. In the other steps the network has to deal with
            its own omissions, as in a prediction.
        optimizer: `adam`, or `muon`, which orthogonalises the steps of hidden layers' kernels and
            uses Adam for all other parameters.
        learning_rate: peak of the schedule: linear warm-up, then half a cosine down to zero.
        warmup: share of the steps that are used to warm up.
        average: decay of the exponential moving average of the weights, which is what is exported.
        seed: seed of the initial weights and of the samples.
        validate_every: steps between validations, each of which also writes a checkpoint.
        validation_cases: largest number of cases in a validation.
        keep: which averaged weights are exported: the `last`, or the `best`, if those of an earlier
            validation score higher in the end.
        statistics_batches: number of batches that the final BatchNorm statistics are computed from,
            in a network that has any.
    """

    architecture: str
    config: dict[str, Any] = {}
    initial: str | None = None
    initial_pass_on: bool = False
    initial_rate: NonNegativeFloat = 1
    steps: PositiveInt = 4000
    batch_size: PositiveInt = 8
    accumulate: PositiveInt = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    forcing: float = Field(default=1, ge=0, le=1)
    optimizer: Literal["adam", "muon"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    warmup: float = Field(default=0.1, ge=0, le=1)
    average: float = Field(default=0.999, ge=0, lt=1)
    seed: NonNegativeInt = 0
    validate_every: PositiveInt = 250
    validation_cases: PositiveInt = 8
    keep: Literal["best", "last"] = "best"
    statistics_batches: PositiveInt = 50

    def public(self) -> str:
        """The config as JSON, without its private fields."""
        return self.model_dump_json(exclude=self._private())

    def sha256(self) -> str:
        """Hex digest of everything that determines a run's weights, apart from folders."""
        given = self.model_dump(mode="json", exclude=self._private(), exclude_defaults=True)
        return identity(given)

    def _private(self) -> dict[str, set[str]]:
        return {
            name: set(section.private)
            for name in type(self).model_fields
            if isinstance(section := getattr(self, name), Section) and section.private
        }
