"""The plugin's readers: a folder, a zip archive, one multi-frame file."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from zipfile import ZipFile

import numpy as np
from zoo.plugins import About, Volume, VolumeError

from zoo_dicom.slices import Slice, slices_of
from zoo_dicom.sources import Source, of_folder, of_zip
from zoo_dicom.stack import stack

MOST_LISTED = 12
# Kernels for bone, by the names that the makers give them: BONE, BONEPLUS, EDGE (GE); B, H, U, Br
# and Hr from 50 on (Siemens); D, E, YA, YB, YC (Philips); FC30 to FC35, FC81 to FC89 (Canon); and
# what is called SHARP.
BONE = re.compile(
    r"BONE|EDGE|^[BHU]R?[5-9]\d|^[DE]$|^Y[ABC]$|^FC(3[0-5]|8[1-9])|SHARP", re.IGNORECASE
)


def read_folder(
    path: str | os.PathLike[str], series: str | None = None, *, straighten: bool | None = None
) -> Volume:
    """Read the one DICOM series below a folder; what is not DICOM, and localizers, are passed over.

    The volume is (columns, rows, slices), its affine leads to RAS+ millimetres. CT gets its
    Hounsfield units.

    Of several CT series, the one with a kernel for bone is taken, then the one with the thinnest
    slices; `Volume.about.remarks` says which and why.

    Args:
        path: a folder; sub-folders are looked through too.
        series: number or UID of the one to take of several; else of ZOO_DICOM_SERIES.
        straighten: resample what a tilted gantry took, whose grid is sheared otherwise; else if
            ZOO_DICOM_TILT is "straighten".

    Raises:
        VolumeError: no series, or several of which none is best; a slice missing, two at one place,
            or slices that differ; a damaged file.
        MissingDependency: compressed pixels that nothing installed here decodes.
    """
    return _read(of_folder(Path(path)), series, straighten)


def read_zip(
    path: str | os.PathLike[str], series: str | None = None, *, straighten: bool | None = None
) -> Volume:
    """Read the one DICOM series in a zip archive, of which nothing is written; as `read_folder`."""
    with ZipFile(path) as archive:
        return _read(of_zip(archive), series, straighten)


def read_file(path: str | os.PathLike[str], *, straighten: bool | None = None) -> Volume:
    """Read a multi-frame DICOM file; as `read_folder`. A lone slice of a series is refused."""
    path = Path(path)
    return _read([Source(path.name, partial(path.open, "rb"))], "", straighten)


def _read(sources: list[Source], series: str | None, straighten: bool | None) -> Volume:
    if series is None:
        series = os.environ.get("ZOO_DICOM_SERIES", "")
    if straighten is None:
        straighten = os.environ.get("ZOO_DICOM_TILT") == "straighten"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of headers that break its rules and do no harm
        slices = [each for source in sources for each in slices_of(source)]
        if not slices:
            raise VolumeError(f"wanted DICOM slices, got none in {len(sources)} files")
        chosen, remarks = chosen_of(slices, series)
        volume = stack(chosen, straighten=straighten)
    return replace(volume, about=About(remarks=remarks)) if remarks else volume


def chosen_of(slices: list[Slice], wanted: str) -> tuple[list[Slice], tuple[str, ...]]:
    """The slices of the series `wanted`, a number or UID, and a line about the choice, if any.

    If that is empty, it is the only series with several slices, or the best CT for bone.

    Raises:
        VolumeError: no such series, or more than one.
    """
    groups: dict[str, list[Slice]] = {}
    for each in slices:
        groups.setdefault(each.series[0], []).append(each)
    if wanted:
        found = [group for group in groups.values() if wanted in group[0].series[:2]]
    else:
        stacks = [group for group in groups.values() if sum(map(Slice.is_placed, group)) > 1]
        found = stacks or list(groups.values())
    if len(found) == 1:
        return found[0], ()
    if not wanted and (best := _best(found)) is not None:
        group, reason = best
        return group, (
            f"took series {_described(group, groups)}, of {len(found)}, for its {reason};"
            " ZOO_DICOM_SERIES=, a number or UID, takes another",
        )
    listed = [_described(group, groups) for group in (found or groups.values())]
    more = [f"and {len(listed) - MOST_LISTED} more"] if len(listed) > MOST_LISTED else []
    raise VolumeError(
        f"wanted one series{f' {wanted!r}' if wanted else ''}, got"
        f" {'; '.join(listed[:MOST_LISTED] + more)}: choose with ZOO_DICOM_SERIES=, a number or UID"
        " (series=), or give a sub-folder"
    )


def _best(groups: list[list[Slice]]) -> tuple[list[Slice], str] | None:
    """The CT series with a kernel for bone and the thinnest slices, and the reason; None if two
    are as good as each other, or some are no CT."""
    if any(group[0].modality != "CT" for group in groups):
        return None
    ranked = sorted(groups, key=_rank)
    first, second = _rank(ranked[0]), _rank(ranked[1])
    if first == second:
        return None
    kernel, thickness = ranked[0][0].kernel, first[1]
    words = [f"kernel for bone {kernel!r}"] if not first[0] else []
    words += [f"slices of {thickness:g} mm"] if first[1] != second[1] or not words else []
    return ranked[0], " and ".join(words)


def _rank(group: list[Slice]) -> tuple[bool, float]:
    """What a better series for bone has less of: a smooth kernel, and thick slices, mm."""
    steps = group[0].steps
    normal = np.cross(*steps) if np.isfinite(steps).all() else np.zeros(3)
    heights = np.sort([each.position @ normal for each in group]) / (np.linalg.norm(normal) or 1)
    thickness = float(np.median(np.diff(heights))) if len(heights) > 1 else 0.0
    thickness = thickness or np.inf  # several slices at each place: no volume
    return not BONE.search(group[0].kernel.strip()), round(thickness, 2)


def _described(group: list[Slice], groups: dict[str, list[Slice]]) -> str:
    """Number, or UID if two have that number; description, slices, folder."""
    uid, number, description = group[0].series
    numbers = [other[0].series[1] for other in groups.values()]
    place = str(PurePath(group[0].source.name).parent)
    return (
        f"{number if number and numbers.count(number) == 1 else uid} {description!r},"
        f" {len(group)} slices" + (f" in {place!r}" if place != "." else "")
    )
