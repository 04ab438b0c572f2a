"""The plugin's readers: a folder, a zip archive, one multi-frame file."""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path, PurePath
from zipfile import ZipFile

from zoo.plugins import Volume, VolumeError

from zoo_dicom.slices import Slice, slices_of
from zoo_dicom.sources import Source, of_folder, of_zip
from zoo_dicom.stack import stack

MOST_LISTED = 12


def read_folder(
    path: str | os.PathLike[str], series: str | None = None, *, straighten: bool | None = None
) -> Volume:
    """Read the one DICOM series below a folder; what is not DICOM, and localizers, are passed over.

    The volume is (columns, rows, slices), its affine leads to RAS+ millimetres. CT gets its
    Hounsfield units.

    Args:
        path: a folder; sub-folders are looked through too.
        series: number or UID of the one to take of several; else of ZOO_DICOM_SERIES.
        straighten: resample what a tilted gantry took; else if ZOO_DICOM_TILT is "straighten".

    Raises:
        VolumeError: no series, or several and none chosen; a slice missing, two at one place, or
            slices that differ; a tilted gantry unless `straighten`; a damaged file.
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
        return stack(_chosen(slices, series), straighten=straighten)


def _chosen(slices: list[Slice], wanted: str) -> list[Slice]:
    """The slices of the series `wanted`, a number or UID; if empty, of the only one with several.

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
        return found[0]
    listed = [_described(group, groups) for group in (found or groups.values())]
    more = [f"and {len(listed) - MOST_LISTED} more"] if len(listed) > MOST_LISTED else []
    raise VolumeError(
        f"wanted one series{f' {wanted!r}' if wanted else ''}, got"
        f" {'; '.join(listed[:MOST_LISTED] + more)}: choose with ZOO_DICOM_SERIES=, a number or UID"
        " (series=), or give a sub-folder"
    )


def _described(group: list[Slice], groups: dict[str, list[Slice]]) -> str:
    """Number, or UID if two have that number; description, slices, folder."""
    uid, number, description = group[0].series
    numbers = [other[0].series[1] for other in groups.values()]
    place = str(PurePath(group[0].source.name).parent)
    return (
        f"{number if number and numbers.count(number) == 1 else uid} {description!r},"
        f" {len(group)} slices" + (f" in {place!r}" if place != "." else "")
    )
