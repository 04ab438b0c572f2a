"""From slices to a volume, which must be a straight and even stack of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from scipy.ndimage import affine_transform
from zoo.plugins import MissingDependency, Volume, VolumeError

from zoo_dicom.slices import Floats, Slice
from zoo_dicom.sources import Source

TO_RAS = np.diag([-1.0, -1, 1, 1])
ROUNDED = 0.1  # mm: what positions are often rounded to
LEAST_TILT = 0.1  # degrees; less is rounding
MOST_VOXELS = 1 << 31


def in_order(slices: list[Slice]) -> list[Slice]:
    """Slices along their normal: the order of a volume's last axis."""
    normal = np.cross(*slices[0].steps)
    return sorted(slices, key=lambda each: float(each.position @ normal))


def stack(slices: list[Slice], *, straighten: bool) -> Volume:
    """The volume (columns, rows, slices), from the first slice along their normal to the last.

    That of a tilted gantry is sheared, unless it is resampled to be straight.

    Values are int16 where all fit, else longer integers, or float32 if rescaled by fractions.

    Raises:
        VolumeError: a lone slice, slices that differ or have no place, one missing, two at one
            place, or uneven spacing.
        MissingDependency: compressed pixels that nothing installed here decodes.
    """
    _check_alike(slices)
    normal = np.cross(*slices[0].steps)
    normal /= np.linalg.norm(normal)
    slices = in_order(slices)
    _check_even(slices, normal)
    affine = _affine(slices)
    cosine = affine[:3, 2] @ normal / np.linalg.norm(affine[:3, 2])
    tilt = np.degrees(np.arccos(min(cosine, 1.0)))
    volume = Volume(np.stack(list(_planes(slices))).T, TO_RAS @ affine)  # k j i -> i j k
    return straightened(volume) if straighten and tilt > LEAST_TILT else volume


def straightened(volume: Volume) -> Volume:
    """A sheared volume with k at right angles to i and j: each slice shifted within its plane.

    Values in between are linear; the grid grows so that nothing is cut off, and what it gains has
    the volume's least value.
    """
    linear = volume.affine[:3, :3]
    normal = np.cross(linear[:, 0], linear[:, 1])
    normal /= np.linalg.norm(normal)
    shift = np.linalg.solve(linear, normal * (normal @ linear[:, 2]))[:2]  # in voxels, a slice
    whole = shift * (volume.shape[2] - 1)
    to_index = np.eye(4)
    to_index[:2, 2] = shift
    to_index[:2, 3] = np.floor(np.minimum(0, -whole))
    shape = (*(volume.shape[:2] + np.ceil(abs(whole)).astype(int)), volume.shape[2])
    matrix, offset = to_index[:3, :3], to_index[:3, 3]
    least = volume.array.min()
    array = affine_transform(volume.array, matrix, offset, shape, order=1, cval=least)
    return volume.regrid(array, to_index)


def _check_alike(slices: list[Slice]) -> None:
    first = slices[0]
    for each in slices:
        if not each.is_placed():
            raise VolumeError(
                f"wanted position, orientation and spacing of grey pixels, got none in {each};"
                " take it out, or export the series again"
            )
        if each.shape != first.shape or not np.allclose(each.steps, first.steps, atol=1e-4):
            raise VolumeError(
                "wanted slices of one size, orientation and pixel spacing,"
                f" got {first} and {each}; give them folders of their own"
            )
    if len(slices) < 2:
        raise VolumeError(f"wanted a series, got a lone slice, {first}; give the whole folder")
    if (count := len(slices) * first.shape[0] * first.shape[1]) > MOST_VOXELS:
        raise VolumeError(f"wanted {MOST_VOXELS:.1e} voxels at most, got {count:.1e}; crop it")


def _check_even(slices: list[Slice], normal: Floats) -> None:
    """Refuse gaps and repetitions along the normal, by which the slices are sorted."""
    positions = np.array([each.position for each in slices])
    steps = np.diff(positions, axis=0)
    heights = steps @ normal
    if heights.min() <= np.median(heights) / 100:
        at = int(heights.argmin())
        raise VolumeError(
            f"wanted one slice at each place, got {slices[at]} and {slices[at + 1]} at one,"
            f" {_place(slices[at])}; keep one copy, phase or echo"
        )
    usual = np.median(steps, axis=0)
    height = np.linalg.norm(usual)
    line = np.linspace(positions[0], positions[-1], len(slices))
    if np.linalg.norm(positions - line, axis=1).max() <= min(ROUNDED, height / 4):
        return
    at = int(np.linalg.norm(steps - usual, axis=1).argmax())
    gap = np.linalg.norm(steps[at])
    missing = round(gap / height) - 1
    is_gap = missing > 0 and abs(gap / height - missing - 1) < 0.1
    what = f"{missing} missing" if is_gap else "uneven"
    raise VolumeError(
        f"wanted evenly spaced slices, got {slices[at]} and {slices[at + 1]} {gap:.4g} mm apart,"
        f" others {height:.4g} mm: {what} after {_place(slices[at])}; export the series again"
    )


def _place(each: Slice) -> str:
    numbers = "\\".join(f"{value:g}" for value in each.position)
    return f"ImagePositionPatient {numbers}"


def _affine(slices: list[Slice]) -> Floats:
    """(4, 4), from (column, row, slice) to LPS+ millimetres."""
    affine = np.eye(4)
    affine[:3, :2] = slices[0].steps.T
    affine[:3, 2] = (slices[-1].position - slices[0].position) / (len(slices) - 1)
    affine[:3, 3] = slices[0].position
    return affine


def _planes(slices: list[Slice]) -> Iterator[NDArray[Any]]:
    """The values of each slice, (rows, columns); a file is decoded once for all of its frames."""
    source = None
    for each in slices:
        if each.source is not source:
            source = each.source
            frames = _decoded(source).reshape(-1, *each.shape)
        yield _rescaled(frames[each.frame], each)


def _decoded(source: Source) -> NDArray[Any]:
    """Pixels as they are stored, (rows, columns) or (frames, rows, columns)."""
    with source.opened() as stream:
        dataset = dcmread(stream)
        if "ModalityLUTSequence" in dataset:
            raise VolumeError(
                f"wanted values by slope and intercept, got a look-up table in {source.name!r};"
                " convert the series with dcm2niix"
            )
        syntax = dataset.file_meta.TransferSyntaxUID
        if not get_decoder(syntax).is_available:
            raise MissingDependency(
                f"{source.name}: compressed as {syntax.name}, which nothing here decodes;"
                " pip install 'zoo-dicom[compressed]', or convert the series with dcm2niix"
            )
        return dataset.pixel_array


def _rescaled(stored: NDArray[Any], each: Slice) -> NDArray[Any]:
    if stored.dtype.kind == "f" or each.slope % 1 or each.intercept % 1:
        return (stored * each.slope + each.intercept).astype(np.float32)
    values = stored.astype(np.int64) * int(each.slope) + int(each.intercept)
    lowest = min(int(values.min()), -1 - int(values.max()))  # of a signed type that holds them all
    return values.astype(np.result_type(np.int16, np.min_scalar_type(lowest)))
