"""The options of completion in commands."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from zoo.evaluation import Settings
from zoo.models import Options

Region = Literal["left", "right", "anterior", "posterior", "largest", "all"]
Passes = Annotated[
    int | None,
    Field(
        ge=1,
        le=16,
        description="Average so many passes, on mirrored and shifted inputs; 2 for coverage.",
    ),
]


def _place(value: object) -> object:
    """Three numbers in any form as text, "X,Y,Z"."""
    if value is None:
        return None
    numbers = value.split(",") if isinstance(value, str) else value
    try:
        x, y, z = (float(number) for number in numbers)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ValueError(f"wanted X,Y,Z in RAS millimetres, got {value!r}") from error
    return f"{x:g},{y:g},{z:g}"


class CompletionOptions(Options):
    """Options of a prediction.

    Attributes:
        region: which of several defects to fill; left and right are the patient's.
        seed: "X,Y,Z", RAS mm: fill only the defect that is nearest to this place.
        edge: whether to keep what is added where the field of view cuts through the skull.
        clearance: mm between implant and bone.
        min_thickness: mm; where the implant is thinner, it is thickened.
        smooth: mm, over which the implant's surface is smoothed.
        passes: runs of the network on the input mirrored and moved, whose predictions are averaged
            (test-time augmentation), and as many of every network of an ensemble; None: 2 of one
            that predicts coverage, else 1.
        uncertainty: whether to tell how much the implant changes from pass to pass, and from model
            to model of an ensemble.
        edge_length: mm, about, of the edges of a mesh of the implant; None: those of the voxels.
    """

    region: Annotated[
        Region, Field(description="Which defect to fill; left and right are the patient's.")
    ] = "all"
    seed: Annotated[
        str | None,
        BeforeValidator(_place),
        Field(description="X,Y,Z in RAS mm: fill only the defect nearest to this place."),
    ] = None
    edge: Annotated[
        bool, Field(description="Keep what is added where the field of view cuts the skull.")
    ] = False
    clearance: Annotated[float, Field(ge=0, le=10, description="Gap to the bone, mm.")] = 0.0
    min_thickness: Annotated[
        float, Field(ge=0, le=20, description="Thicken the implant where it is thinner, mm.")
    ] = 0.0
    smooth: Annotated[
        float, Field(ge=0, le=10, description="Smooth the implant's surface over so many mm.")
    ] = 0.0

    passes: Passes = None

    edge_length: Annotated[
        float | None,
        Field(ge=0.1, le=5, description="Edges of a mesh, mm; those of voxels by default."),
    ] = None

    uncertainty: bool = False

    @property
    def place(self) -> tuple[float, float, float] | None:
        """`seed` as numbers."""
        if self.seed is None:
            return None
        x, y, z = (float(number) for number in self.seed.split(","))
        return x, y, z

    @property
    def reshapes(self) -> bool:
        """Whether the implant is not what the network added, to the voxel."""
        return bool(self.clearance or self.min_thickness or self.smooth)


class CompletionSettings(Settings):
    """Settings of an evaluation of completion.

    Attributes:
        passes: as for a prediction.
        defects: `official`, those of the data set, or new ones where it has none; `cut`, new ones
            anywhere in the vault; or `none`, complete skulls, to which nothing should be added.
    """

    defects: Annotated[
        Literal["official", "cut", "none"],
        Field(description="Which defects: official (of the data), cut (new ones) or none."),
    ] = "official"

    passes: Passes = None
