"""An implant: which of what a network adds is one, its surface, and how that is reshaped to fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zoo.anatomy.cranium import Triple, cranium_of
from zoo.errors import VolumeError
from zoo.volumes import components, dilated

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
BoundingBox = tuple[slice, slice, slice]

FAR = 1e3  # mm, where the distance from a surface does not matter
CUT = 500.0  # mm2 of a cavity that a face of the grid cuts open: the field of view ends there
PART = 0.5  # ml: less is no second implant
CRUMBS = 0.05  # ml: less is left out without a word
BLUR = 0.7  # of a voxel's shortest edge: takes steps out of bone, and moves it by under a tenth
FULL_WIDTH = 2.355  # standard deviations in a Gaussian's full width at half maximum
SHEET = 0.6  # the gradient of the distance from a surface is less half-way between two of them


@dataclass(frozen=True, eq=False)
class Implant:
    """What is added to a skull, in a part of its grid with axes RAS.

    Attributes:
        box: slices of the grid.
        mask: bool, of the shape of the box.
        bone: bool, of the same shape: the skull that it must fit.
        spacing: mm along each axis.
        level: float32, of the same shape: about the distance in mm from the surface of the complete
            skull, positive within it; None if no more is known than the voxels.
        reshaped: whether `level` is that of the implant's own surface instead.
    """

    box: BoundingBox
    mask: Bools
    bone: Bools
    spacing: Triple
    level: Floats | None = None
    reshaped: bool = False

    def field(self, clearance: float = 0.0) -> Floats:
        """About the distance in mm from the implant's surface, positive within it.

        Args:
            clearance: mm between implant and bone.
        """
        level = self.level
        if level is None:
            level = signed_distance(self.mask | self.bone, self.spacing)
        bone = -signed_distance(self.bone, self.spacing) - clearance
        found = np.where(dilated(self.mask), np.minimum(level, bone), -self.spacing[0])
        # What is thinner than a voxel, along the rim, does not withstand that.
        field: Floats = np.minimum(_blurred(found, self.spacing), bone).astype(np.float32)
        return field


def selected(
    implant: Implant, skull: Bools, region: str, place: Triple | None, *, edge: bool
) -> tuple[Implant, list[str]]:
    """The components of what was added that are wanted, and a line about each that is left out.

    Args:
        implant: what was added, with a voxel at least.
        skull: bool (I, J, K), the whole grid.
        region: left, right, anterior, posterior, largest or all.
        place: mm from the corner of the grid's first voxel: only the component nearest to it.
        edge: whether those stay where a face of the grid cuts the skull open.

    Raises:
        VolumeError: none is left of those that could be one.
    """
    import cc3d

    labels = components(implant.mask)
    count = int(labels.max())
    found = cc3d.statistics(labels)
    ml = found["voxel_counts"].astype(int)[1:] * float(np.prod(implant.spacing)) / 1000
    start = np.array([part.start for part in implant.box])
    middles = (found["centroids"][1:] + start + 0.5) * implant.spacing
    keep = np.ones(count, bool)
    said = []
    if not edge:
        at_edge = _at_edge(implant, skull, labels)
        for face in dict.fromkeys(at_edge.values()):
            cut = [label - 1 for label, name in at_edge.items() if name == face]
            keep[cut] = False
            if ml[cut].sum() > CRUMBS:
                said.append(
                    f"{ml[cut].sum():.1f} ml left out at the {face} end of the field of view, which"
                    " cuts the skull: --edge keeps it"
                )
    candidates = keep.copy()
    if place is not None and keep.any():
        keep &= np.arange(count) == _nearest(labels, place, start, implant.spacing, keep)
    if region == "largest" and keep.any():
        keep &= np.arange(count) == np.where(keep, ml, 0).argmax()
    elif region != "all":
        keep &= _lies(region, middles, skull, implant.spacing)
    if candidates.any() and not keep.any():
        raise VolumeError(
            f"wanted a defect {region}, got {candidates.sum()} elsewhere:"
            f" {_listed(middles[candidates], ml[candidates], skull, implant.spacing)};"
            " choose another --region, or leave it out"
        )
    others = candidates & ~keep
    if ml[others].sum() > CRUMBS:
        places = max(1, int(np.count_nonzero(ml[others] >= PART)))
        said.append(
            f"{ml[others].sum():.1f} ml left out in {places} other place{'s' * (places > 1)}"
        )
    if keep.all():
        return implant, said
    return replace(implant, mask=np.insert(keep, 0, False)[labels]), said


def reshaped(implant: Implant, clearance: float, min_thickness: float, smooth: float) -> Implant:
    """The implant with a gap to the bone, a least thickness and a smoother surface.

    Args:
        implant: an implant with a margin of empty voxels in its box.
        clearance, min_thickness, smooth: mm; 0 changes nothing.

    Returns:
        One whose `level` is the field of its own surface.
    """
    from scipy import ndimage

    field = implant.field(clearance)
    bone = -signed_distance(implant.bone, implant.spacing) - clearance
    if smooth:
        sigma = [smooth / FULL_WIDTH / length for length in implant.spacing]
        field = ndimage.gaussian_filter(field, sigma)
    if min_thickness:
        thin, thickness = sheet(field > 0, implant.spacing)
        thin[thin] = thickness < min_thickness
        if thin.any():
            far = ndimage.distance_transform_edt(~thin, sampling=implant.spacing)
            field = np.maximum(field, min_thickness / 2 - np.asarray(far, np.float32))
    field = np.minimum(field, bone).astype(np.float32)
    mask = (field > 0) & ~implant.bone
    return replace(implant, mask=mask, level=field, reshaped=True)


def sheet(mask: Bools, spacing: Triple) -> tuple[Bools, Floats]:
    """The middle sheet of a shell, bool (I, J, K), and the thickness in mm at each of its voxels.

    The distance from the surface is greatest there, and so its gradient small: at the rim, where
    two surfaces meet at an angle, it is not. Thickness is known to about a voxel.

        >>> import numpy as np
        >>> plate = np.zeros((20, 20, 11), bool)
        >>> plate[2:18, 2:18, 3:8] = True
        >>> found, thickness = sheet(plate, (1, 1, 1))
        >>> float(np.median(thickness))
        5.0
    """
    from scipy import ndimage

    padded = np.pad(mask, 1)
    depth = np.asarray(ndimage.distance_transform_edt(padded, sampling=spacing))
    steep = np.sqrt(sum(np.square(slope) for slope in np.gradient(depth, *spacing)))
    found = (padded & (steep < SHEET))[1:-1, 1:-1, 1:-1]
    thickness = 2 * depth[1:-1, 1:-1, 1:-1][found] - min(spacing)
    return found, thickness.astype(np.float32)


def signed_distance(mask: Bools, spacing: Triple) -> Floats:
    """About the distance in mm from a mask's surface, positive within it; without voxels' steps."""
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, -FAR, np.float32)
    half = min(spacing) / 2
    inside = np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing), np.float32)
    outside = np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing), np.float32)
    signed = np.where(mask, inside - half, half - outside)
    return _blurred(signed, spacing)


def _blurred(values: NDArray[np.floating], spacing: Triple) -> Floats:
    """Values (I, J, K) without the steps of voxels, blurred alike in all directions, in mm."""
    from scipy import ndimage

    sigma = BLUR * min(spacing) / np.array(spacing)
    blurred: Floats = ndimage.gaussian_filter(values.astype(np.float32), sigma)
    return blurred


def _at_edge(implant: Implant, skull: Bools, labels: NDArray[np.integer]) -> dict[int, str]:
    """The labels that touch a face of the grid which cuts the skull open, and that face's name."""
    from scipy import ndimage

    names = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
    found: dict[int, str] = {}
    for axis, (part, length) in enumerate(zip(implant.box, skull.shape, strict=True)):
        for end, name in zip((0, -1), names[axis], strict=True):
            if part.start > 0 if end == 0 else part.stop < length:
                continue
            touching = np.unique(labels.take(end, axis))
            touching = touching[touching > 0]
            if not len(touching):
                continue
            face = np.array(skull.take(end, axis))
            others = tuple(s for n, s in enumerate(implant.box) if n != axis)
            face[others] |= implant.mask.take(end, axis)
            within = ndimage.binary_fill_holes(face) & ~face
            area = np.prod([s for n, s in enumerate(implant.spacing) if n != axis])
            if np.count_nonzero(within) * area > CUT:
                found |= dict.fromkeys(touching.tolist(), name)
    return found


def _nearest(
    labels: NDArray[np.integer],
    place: Triple,
    start: NDArray[np.intp],
    spacing: Triple,
    keep: Bools,
) -> int:
    """The number, from 0 on, of the component with the voxel that is nearest to a place."""
    allowed = np.insert(keep, 0, False)[labels]
    points = np.argwhere(allowed)
    away = np.linalg.norm((points + start + 0.5) * spacing - np.array(place), axis=1)
    return int(labels[tuple(points[away.argmin()])]) - 1


def _lies(region: str, middles: NDArray[np.floating], skull: Bools, spacing: Triple) -> Bools:
    """Which places, mm from the grid's corner, lie on one side of the head."""
    axis = 0 if region in ("left", "right") else 1
    side = middles[:, axis] - _centre(skull, spacing)[axis]
    lies: Bools = side > 0 if region in ("right", "anterior") else side < 0
    return lies


def _centre(skull: Bools, spacing: Triple) -> Triple:
    """The middle of the cranial cavity, or of the skull if it has none, mm from its corner."""
    if (cranium := cranium_of(skull, spacing)) is not None:
        return cranium.centre
    profiles = [skull.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (
        float(np.flatnonzero(profile)[[0, -1]].mean() + 0.5) * length
        for profile, length in zip(profiles, spacing, strict=True)
    )
    return i, j, k


def _listed(
    middles: NDArray[np.floating], ml: NDArray[np.floating], skull: Bools, spacing: Triple
) -> str:
    centre = _centre(skull, spacing)
    words = []
    for middle, size in zip(middles, ml, strict=True):
        side = "right" if middle[0] > centre[0] else "left"
        end = "anterior" if middle[1] > centre[1] else "posterior"
        words.append(f"{size:.1f} ml {side} {end}")
    return ", ".join(words)
