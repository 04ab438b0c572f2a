"""The input contract: what a network was trained on, and so what every input is brought to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    model_validator,
)

Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


def _ordered(window: tuple[float, float]) -> tuple[float, float]:
    if window[0] >= window[1]:
        raise ValueError("wanted the lowest intensity, then a higher one")
    return window


Window = Annotated[tuple[float, float], AfterValidator(_ordered)]
Windows = Annotated[tuple[Window, ...], Field(min_length=1)]


class InputContract(BaseModel):
    """What a network was trained on, and so what every input is brought to.

        >>> contract = InputContract.around(0.4)
        >>> contract.accepts((0.4, 0.4, 0.5)), contract.accepts((0.4, 0.4, 2.0))
        (True, False)

    Attributes:
        kind: `binary`, occupied or not; `coverage`, the same, of which the network gets the share
            of every voxel that is occupied; or `intensity`, where the windows say what is occupied.
        orientation: the axes i, j, k point to right, anterior, superior, as nearly as flips and
            permutations allow.
        spacing: mm between voxel centres along i, j, k that an input is resampled to if its own is
            not between the next two.
        finest: the smallest spacing, mm, at which an input's grid is used as it is.
        coarsest: the largest one.
        windows: pairs of the lowest and the highest intensity in Hounsfield units; a voxel in any
            of them is occupied.
        exterior: Hounsfield units; what is below and connected to the border of its axial slice is
            air around the body, and not occupied. None: there is no such rule.
        bright_exterior: the same for scans in which air is brighter than tissue: what is above it
            and connected to the border of its axial slice is not occupied.
        extent: the least and the most mm along i, j, k that what is occupied plausibly spans; what
            is smaller or larger is not refused, but said. None: anything is plausible.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["binary", "coverage", "intensity"] = "binary"
    orientation: Literal["RAS"] = "RAS"
    spacing: Spacing
    finest: Spacing
    coarsest: Spacing
    windows: Windows | None = None
    exterior: float | None = None
    bright_exterior: float | None = None
    extent: tuple[Spacing, Spacing] | None = None

    @model_validator(mode="after")
    def _tissue_between(self) -> InputContract:
        dark, bright = self.exterior, self.bright_exterior
        if dark is not None and bright is not None and dark >= bright:
            raise ValueError("wanted bright_exterior above exterior")
        return self

    @classmethod
    def around(
        cls, spacing: float, finest: float = 0.75, coarsest: float = 1.3, **others: Any
    ) -> InputContract:
        """The contract of a network that was trained on isotropic grids; the class has an example.

        Args:
            spacing: mm.
            finest: the smallest spacing that is used as it is, as a multiple of `spacing`.
            coarsest: the largest one.
            others: further attributes.

        Returns:
            The contract.
        """
        return cls(
            spacing=(spacing,) * 3,
            finest=(finest * spacing,) * 3,
            coarsest=(coarsest * spacing,) * 3,
            **others,
        )

    @property
    def window_ends(self) -> tuple[float, float]:
        """The lowest and the highest intensity of all windows; there must be windows."""
        ends = [end for window in self.windows or () for end in window]
        return min(ends), max(ends)

    def accepts(self, spacing: tuple[float, float, float]) -> bool:
        """Whether a grid is used as it is; the class has an example.

        Args:
            spacing: mm along i, j, k.

        Returns:
            True if each is between `finest` and `coarsest`.
        """
        limits = zip(self.finest, spacing, self.coarsest, strict=True)
        return all(low <= value <= high for low, value, high in limits)
