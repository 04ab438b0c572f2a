"""What a case shows: a scan and named shapes in colours, on one grid with axes RAS."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.errors import VolumeError
from zoo.pictures import BONE, PALETTE, Bools, Floats, bounding_box
from zoo.pictures import IMPLANT as RED
from zoo.viewer.cases import IMPLANT, INPUT, PREDICTION, TRUTH, kind_of
from zoo.volumes import Volume, is_sheared, pooled, straightened

LARGEST_AXIS = 256  # voxels that are sent along an axis; what is larger is pooled first
MOST_CODES = 1 << 15  # sets of shapes in one voxel
GREEN = PALETTE[4]
ROUNDING = 1e-3  # mm, between affines of one grid

When = Literal["before", "after", "always"]


@dataclass(frozen=True, eq=False)
class Shape:
    """Something that is shown, and can be hidden.

    Attributes:
        name: in the legend.
        array: bool (I, J, K), axes RAS.
        colour: (3,), red, green and blue from 0 to 255.
        when: whether it belongs to what was before the prediction, to what is after it, or to both.
        shown: whether it is, at first.
    """

    name: str
    array: Bools
    colour: Floats
    when: When = "always"
    shown: bool = True


@dataclass(frozen=True, eq=False)
class Shown:
    """What a case shows.

    Attributes:
        shapes: bool (I, J, K) each, all on one grid.
        scan: (I, J, K) on that grid; None if there is none.
        affine: (4, 4), from an index of it to RAS millimetres.
    """

    shapes: tuple[Shape, ...]
    scan: NDArray[Any] | None
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, volumes: Mapping[str, Volume]) -> Shown:
        """From the volumes of a case by their roles; the finest of their grids is that of all."""
        finest = max(volumes.values(), key=lambda volume: volume.array.size)
        grid = (straightened(finest) if is_sheared(finest) else finest).canonical()
        arrays = {role: _laid_on(grid, volume) for role, volume in volumes.items()}
        kinds = {role: kind_of(volume) for role, volume in volumes.items()}
        scan = arrays.pop(INPUT) if kinds.get(INPUT) == "scan" else None
        if "labels" in kinds.values():
            found = _structures(volumes, arrays)
        elif INPUT in arrays and volumes[INPUT].array.size < finest.array.size:
            found = _refined(arrays)
        else:
            found = _completed(arrays)
        return cls(tuple(found), scan, grid.affine)

    @property
    def grid(self) -> tuple[int, ...]:
        """(I, J, K)."""
        array = self.shapes[0].array if self.scan is None else self.scan
        return array.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres along each axis."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return i, j, k

    def __str__(self) -> str:
        voxels = " x ".join(map(str, self.grid))
        return f"{voxels} voxels of {' x '.join(f'{mm:.3g}' for mm in self.spacing)} mm"

    def millilitres(self) -> list[float]:
        """The volume of each shape."""
        voxel = float(np.prod(self.spacing)) / 1000
        return [np.count_nonzero(shape.array) * voxel for shape in self.shapes]

    def anything(self) -> Bools:
        """The voxels of all shapes."""
        anywhere: Bools = np.logical_or.reduce([shape.array for shape in self.shapes])
        return anywhere

    def implant(self) -> Bools:
        """The voxels of the implant; none if there is no implant."""
        found = (shape.array for shape in self.shapes if shape.name == IMPLANT)
        return next(found, np.zeros(self.grid, bool))

    def fit_for_a_laptop(self) -> Shown:
        """Without what is empty around the shapes, and pooled to at most LARGEST_AXIS."""
        box = (slice(None),) * 3
        if self.scan is None:
            box = bounding_box(*(shape.array for shape in self.shapes))
        first = [edge.start or 0 for edge in box]
        cropped = [replace(shape, array=shape.array[box]) for shape in self.shapes]
        scan = None if self.scan is None else self.scan[box]
        size = max((scan if scan is not None else cropped[0].array).shape)
        factor = math.ceil(size / LARGEST_AXIS)
        to_index = np.diag([factor, factor, factor, 1.0])
        to_index[:3, 3] = np.array(first) + (factor - 1) / 2
        return Shown(
            tuple(replace(shape, array=pooled(shape.array, factor)) for shape in cropped),
            scan if scan is None else _averaged(scan, factor),
            self.affine @ to_index,
        )

    def coded(self) -> tuple[NDArray[np.integer], list[list[int]]]:
        """All shapes in one array: codes (I, J, K), and which shapes every code stands for.

        Raises:
            VolumeError: too many of them overlap in too many ways.
        """
        codes = np.zeros(self.grid, np.uint16)
        table: list[list[int]] = [[]]
        for number, shape in enumerate(self.shapes):
            codes += shape.array * np.uint16(len(table))
            table += [[*before, number] for before in table]
            used = np.zeros(len(table), bool)
            used[0] = used[codes] = True
            codes = (np.cumsum(used) - 1).astype(np.uint16)[codes]
            table = [each for each, kept in zip(table, used, strict=True) if kept]
            if len(table) > MOST_CODES:
                raise VolumeError(
                    f"wanted shapes that overlap in at most {MOST_CODES} ways, got more; leave"
                    " the ground truth out"
                )
        return codes.astype(np.uint8 if len(table) <= 256 else np.int16), table


def _laid_on(grid: Volume, volume: Volume) -> NDArray[Any]:
    """The nearest voxels of a volume on another grid; its least value where it does not reach."""
    canonical = volume.canonical()
    same = canonical.shape == grid.shape
    if same and np.allclose(canonical.affine, grid.affine, atol=ROUNDING):
        return canonical.array
    to_index = np.linalg.inv(canonical.affine) @ grid.affine
    laid: NDArray[Any] = ndimage.affine_transform(
        canonical.array * 1,  # bools are not interpolated
        to_index[:3, :3],
        to_index[:3, 3],
        grid.shape,
        order=0,
        cval=float(canonical.array.min()),
    )
    return laid


def _averaged(scan: NDArray[Any], factor: int) -> NDArray[Any]:
    """The mean of every block of voxels; the last along an axis may be smaller."""
    if factor == 1:
        return scan
    ends = [(0, -n % factor) for n in scan.shape]
    blocks = np.pad(scan, ends, mode="edge")
    i, j, k = (n // factor for n in blocks.shape)
    mean: NDArray[Any] = blocks.reshape(i, factor, j, factor, k, factor).mean(
        axis=(1, 3, 5), dtype=np.float32
    )
    return mean


def _structures(
    volumes: Mapping[str, Volume], arrays: Mapping[str, NDArray[Any]]
) -> Iterator[Shape]:
    """Every label of the prediction, and of the ground truth in the same colour."""
    for role, array in arrays.items():
        about = volumes[role].about
        names = dict(enumerate(about.labels if about else (), 1))
        true = role == TRUTH
        values = np.unique(array)
        for value in values[values != 0].astype(int).tolist():
            name = names.get(value, f"label {value}") + (f", {TRUTH}" if true else "")
            colour = PALETTE[value % len(PALETTE)]
            yield Shape(name, array == value, colour, "always" if true else "after", not true)


def _refined(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Shape]:
    """Super-resolution: the input before, the prediction after."""
    whens: Mapping[str, When] = {INPUT: "before", PREDICTION: "after"}
    for role, array in arrays.items():
        colour = GREEN if role == TRUTH else BONE
        yield Shape(role, array != 0, colour, whens.get(role, "always"), role in whens)


def _completed(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Shape]:
    """Completion: the input, and after it the implant; what is not given of these is derived."""
    found = {role: np.asarray(array != 0) for role, array in arrays.items()}
    if PREDICTION in found and INPUT in found:
        found.setdefault(IMPLANT, found[PREDICTION] & ~found[INPUT])
    elif PREDICTION in found and IMPLANT in found:
        found[INPUT] = found[PREDICTION] & ~found[IMPLANT]
    if TRUTH in found and INPUT in found:
        found[TRUTH] = found[TRUTH] & ~found[INPUT]  # of a complete skull, what the input lacks
    styles: Mapping[str, tuple[Floats, When, bool]] = {
        INPUT: (BONE, "always", True),
        PREDICTION: (BONE, "after", IMPLANT not in found),
        IMPLANT: (RED, "after", True),
        TRUTH: (GREEN, "always", False),
    }
    return (Shape(role, found[role], *style) for role, style in styles.items() if role in found)
