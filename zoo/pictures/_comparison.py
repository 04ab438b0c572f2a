"""The comparison: prediction and ground truth side by side, coloured by how far apart they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from zoo.models import Prediction
from zoo.pictures._bounding import BoundingBox, bounding_box
from zoo.pictures._camera import facing_views
from zoo.pictures._ramp import coloured
from zoo.pictures._sheet import FAINT, INK, WIDTH, Row, save_sheet, trimmed
from zoo.pictures._slices import slice_picture, through
from zoo.pictures._surfaces import IMPLANT, PADDING, Scene, coarse_enough
from zoo.pictures._types import Bools, Doubles, Floats, Picture, Triple
from zoo.pictures.preview import PALETTE, straight, structures
from zoo.volumes import Volume, surface_points

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

GREEN = PALETTE[4]
TOPS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # mm, of which one is the end of the scale
SAMPLE = 20_000  # points of a surface that the end of the scale is chosen by
MOST = 98  # percent of them lie within it
OPPOSITE = {"left": "right", "right": "left", "front": "back", "back": "front", "top": "bottom"}
BAND, BAR = 56, 420  # pixels: height of the scale's band, width of the scale
HEADINGS = ("prediction", "ground truth", "where they differ most")
SIDES = ("front", "left", "oblique back left")


def draw_comparison(
    path: str | os.PathLike[str], prediction: Prediction, truth: Volume, title: str
) -> None:
    """Write a PNG that shows a prediction beside its ground truth, axes RAS.

    What was predicted is coloured by the distance of each surface voxel to the nearest one of the
    other, as HD95 has it, with a scale in mm: of a completion the implants, also enlarged from
    outside and inside; of a segmentation each structure by itself. The slices, where the two
    differ most, have contours of the prediction in red and of the ground truth in green.

    Args:
        path: where to write it.
        prediction: what a model made of an input.
        truth: its ground truth on the grid of `prediction.volume`; of completion, the implant.
        title: a line below the pictures.

    Raises:
        WriteError: the file cannot be written.
    """
    if prediction.probabilities:
        scan, shapes, spacing = structures(prediction)
        _, others, _ = structures(prediction, truth)
        pairs = [(one, other) for (_, one, _), (_, other, _) in zip(shapes, others, strict=True)]
        return _save(path, pairs, scan, spacing, title)
    found = straight(prediction.implant or prediction.volume)
    given = np.asarray(straight(prediction.occupied).array, dtype=bool)
    pair = np.asarray(found.array, dtype=bool), np.asarray(straight(truth).array, dtype=bool)
    _save(path, [pair], given, found.spacing, title, is_implant=bool(prediction.implant))


@dataclass(frozen=True)
class Surface:
    """A surface whose points are coloured by their distance to another one."""

    own: cKDTree  # surface voxels' centres, mm from the grid's first voxel
    other: cKDTree

    @classmethod
    def of(cls, one: Bools, other: Bools, spacing: Triple) -> Surface:
        from scipy.spatial import cKDTree

        trees = (
            cKDTree(surface_points(grid, spacing), balanced_tree=False, compact_nodes=False)
            for grid in (one, other)
        )
        return cls(*trees)

    def distances(self, points: Doubles) -> Doubles:
        """The distances (N,) of the voxels nearest to points (N, 3), in mm; inf without another."""
        nearest = self.own.data[self.own.query(points, workers=-1)[1]]
        return np.asarray(self.other.query(nearest, workers=-1)[0])

    def sample(self) -> Doubles:
        """Some of its distances, which are finite."""
        points = self.own.data[:: max(1, self.own.n // SAMPLE)]
        found: Doubles = np.asarray(self.other.query(points, workers=-1)[0])
        return np.extract(np.isfinite(found), found)


@dataclass(frozen=True)
class Painter:
    """Colours the points of a scene by a surface's distances.

    Attributes:
        surface: what is coloured.
        top: mm at the end of the scale.
        first, spacing: mm, of the first voxel of the scene, and from one to the next.
    """

    surface: Surface
    top: float
    first: Doubles
    spacing: Doubles

    def __call__(self, points: Doubles) -> Floats:
        """The colours (N, 3) of field indices (3, N)."""
        places = self.first + (points.T - PADDING) * self.spacing
        return coloured(self.surface.distances(places), self.top, 0.0).astype(np.float32)


Pairs = Sequence[tuple[Bools, Bools]]  # of prediction and ground truth


def _save(
    path: str | os.PathLike[str],
    pairs: Pairs,
    given: NDArray[Any],
    spacing: Triple,
    title: str,
    *,
    is_implant: bool = False,
) -> None:
    """Write the sheet; `given` is what the slices show besides, and implants are seen in it."""
    if given.dtype == bool:  # of a scan all is shown
        box = bounding_box(given, *(mask for pair in pairs for mask in pair))
        pairs = [(_cropped(one, box), _cropped(other, box)) for one, other in pairs]
        given = _cropped(given, box)
    surfaces = [
        (Surface.of(one, other, spacing), Surface.of(other, one, spacing)) for one, other in pairs
    ]
    top = _top([each for both in surfaces for each in both])
    either = np.logical_or.reduce([one | other for one, other in pairs])
    around = bounding_box(given, either) if is_implant else bounding_box(either)
    bone = given[around] if is_implant else np.zeros_like(either[around])
    scenes = _scenes(pairs, surfaces, bone, around, spacing, top)
    if is_implant and either.any():
        oblique, side = facing_views(given[around], either[around])
        box = bounding_box(either)
        alone = _scenes(pairs, surfaces, np.zeros_like(either[box]), box, spacing, top)
        seen = [
            (oblique, scenes, oblique),
            (side, alone, f"{side}, enlarged"),
            (OPPOSITE[side], alone, f"{OPPOSITE[side]}, enlarged"),
        ]
    else:
        seen = [(view, scenes, view) for view in SIDES]
    rows = []
    slices = _slices(pairs, given, spacing)
    for (view, (one, other), caption), (name, picture) in zip(seen, slices, strict=True):
        both = trimmed([one.picture(view), other.picture(view)])
        rows.append(Row([caption, "", name], [*both, picture]))
    save_sheet(path, HEADINGS, rows, title, band=_band(top))


def _cropped(mask: Bools, box: BoundingBox) -> Bools:
    return np.ascontiguousarray(mask[box])


def _scenes(
    pairs: Pairs,
    surfaces: Sequence[tuple[Surface, Surface]],
    bone: Bools,
    box: BoundingBox,
    spacing: Triple,
    top: float,
) -> tuple[Scene, Scene]:
    """The predictions in a bounding box of the grid, and the ground truths in it."""
    scenes = []
    for side in (0, 1):
        masks = [pair[side][box] for pair in pairs]
        coarser, (context, *parts) = coarse_enough(spacing, bone, *masks)
        fine = np.array(spacing)
        first = [edge.start for edge in box] * fine + (coarser - fine) / 2
        painted = [
            (part, Painter(both[side], top, first, coarser))
            for part, both in zip(parts, surfaces, strict=True)
            if part.any()
        ]
        scenes.append(Scene.coloured(coarser, context, painted))
    one, other = scenes
    return one, other


def _top(surfaces: Sequence[Surface]) -> float:
    """The end of the scale, mm: a round number that few distances exceed."""
    found = np.concatenate([surface.sample() for surface in surfaces])
    wanted = float(np.percentile(found, MOST)) if len(found) else 0.0
    return next((top for top in TOPS if top >= wanted), TOPS[-1])


def _slices(pairs: Pairs, given: NDArray[Any], spacing: Triple) -> list[tuple[str, Picture]]:
    """Three slices with their names, each where prediction and ground truth differ most."""
    differ = np.logical_or.reduce([one != other for one, other in pairs])
    if not differ.any():
        differ = np.logical_or.reduce([one for one, _ in pairs])
    parts = [part for one, other in pairs for part in ((other, GREEN), (one, IMPLANT))]
    return [
        (name, slice_picture(given, parts, spacing, name, index, tint=0.0))
        for name, index in through(differ).items()
    ]


def _band(top: float) -> Image.Image:
    """The scale, and what the colours of contours mean."""
    band = Image.new("RGB", (WIDTH, BAND), "white")
    draw, font = ImageDraw.Draw(band), ImageFont.load_default(15)
    left, height = 40, 16
    bar = coloured(np.linspace(0, top, BAR)[None].repeat(height, 0), top, 0.0)
    band.paste(Image.fromarray(bar), (left, 6))
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        text = f"{share * top:g} mm" + (" and more" if share == 1 else "")
        draw.text((left + share * BAR, height + 12), text, FAINT, font, anchor)
    draw.text((left + BAR + 16, 6), "from the other surface", INK, font)
    for text, colour, place in (("prediction", IMPLANT, 830), ("ground truth", GREEN, 920)):
        draw.text((place, 6), text, tuple(int(value) for value in colour), font)
    return band
