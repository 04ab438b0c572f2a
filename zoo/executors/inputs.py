"""The inputs of a run: volumes, folders and what is below them, globs, and lists in files."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zoo.errors import ReadError
from zoo.executors.bids import DATATYPES, dataset_of, image_folders, is_dataset
from zoo.registries import installing
from zoo.volumes import DICOM, DICOM_PLUGIN, is_volume, reads_folders, stem

LISTS = (".txt", ".csv")  # files that name inputs
LONGEST_PATH = 4096  # characters; what is longer takes a pattern minutes to match
COLUMNS = ("input", "path", "image")  # of a table: the first of these, or its first column


@dataclass(frozen=True)
class Input:
    """One input.

    Attributes:
        path: the file or folder to read.
        name: what its case is called: its name without suffix, below the folders that it keeps.
        folders: how many of the folders above it belong to its name.
    """

    path: Path
    name: str
    folders: int = 0


def inputs_of(given: list[Path], apart: Collection[Path] = ()) -> list[Input]:
    """The inputs that paths stand for, in a stable order.

    A folder stands for the volumes in it and below, in the order of their names; hidden ones are
    left out, and of a BIDS dataset all but the images of its subjects. If a reader for folders is
    installed, a folder of nothing but DICOM files, or without any volume, counts as one volume. A
    pattern such as `scans/*.nii.gz` stands for what it matches, a .txt file for the path in each of
    its lines, and a .csv file for those in its column `input`, `path` or `image`, or its first
    one; paths in files are relative to them.

    Args:
        given: the paths.
        apart: folders of outputs; where they lie below a folder, they are left out as well.

    Raises:
        ReadError: a folder contains no volume, or a DICOM series next to other volumes, or is the
            root of the file system; a pattern matches nothing, or a list is empty, names itself or
            cannot be read.
    """
    outputs = frozenset(map(os.path.realpath, apart))
    return _distinct([found for path in given for found in _inputs(path, outputs)])


def volumes(given: list[Path]) -> list[Path]:
    """The paths of the inputs."""
    return [found.path for found in inputs_of(given)]


def dataset_of_all(inputs: list[Input]) -> Path | None:
    """The root of the BIDS dataset that all inputs are images of; None if there is none."""
    folders = {os.path.dirname(found.path) for found in inputs}
    roots = {dataset_of(Path(folder)) for folder in folders}
    return roots.pop() if len(roots) == 1 else None


def _inputs(path: Path, apart: Collection[str], lists: tuple[Path, ...] = ()) -> list[Input]:
    """The inputs that a path stands for, which is named in these lists."""
    if os.path.isdir(path):  # where a Path would raise, of names that are too long
        return _below(path, apart)
    if path.suffix.lower() in LISTS and os.path.isfile(path):
        if path.resolve() in lists:
            raise ReadError(f"{path}: wanted a list of other paths, got one that names itself")
        within = (*lists, path.resolve())
        return [found for listed in _listed(path) for found in _inputs(listed, apart, within)]
    if len(str(path)) > LONGEST_PATH:
        raise ReadError(f"{str(path)[:80]}...: wanted a path, got {len(str(path))} characters")
    if not os.path.exists(path) and glob.has_magic(str(path)):
        matched = sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not matched:
            raise ReadError(f"{path}: nothing matches this pattern; check it, and quote it")
        return [found for each in matched for found in _inputs(each, apart, lists)]
    return [Input(path, case_name(path))]


def case_name(path: Path) -> str:
    """The name of a file or folder without its suffix."""
    return stem(Path(os.path.abspath(path)).name)  # "." has none


def _below(folder: Path, apart: Collection[str]) -> list[Input]:
    if os.path.realpath(folder) == os.path.abspath(os.sep):
        raise ReadError(
            f"{folder}: wanted a folder of volumes, got the root of the file system, all of which"
            " would be searched; name the folders in it"
        )
    bids = is_dataset(folder)
    found = sorted(
        path
        for top in (image_folders(folder) if bids else [folder])
        for root, folders, names in os.walk(top)
        for path in _files(root, folders, names, apart)
        if is_volume(path)
    )
    if bids and not found:
        raise ReadError(
            f"{folder}: no image in this BIDS dataset; wanted volumes in sub-*/{DATATYPES[0]} or"
            f" sub-*/ses-*/{DATATYPES[0]}, also {' or '.join(DATATYPES[1:])}"
        )
    if reads_folders():
        slices = sum(path.suffix.lower() == f".{DICOM}" for path in found)
        if slices == len(found):
            return [Input(folder, case_name(folder))]
        if slices:
            raise ReadError(
                f"{folder}: wanted volumes or the .{DICOM} files of one, got both;"
                " give each a folder of its own"
            )
    if not found:
        raise ReadError(
            f"{folder}: no volume in this folder; wanted .nii.gz or .nrrd files,"
            f" or, for a DICOM series, {installing(DICOM_PLUGIN)}"
        )
    made = []
    for path in found:
        parents = path.relative_to(folder).parent
        made.append(Input(path, str(PurePosixPath(parents, case_name(path))), len(parents.parts)))
    return made


def _files(root: str, folders: list[str], names: list[str], apart: Collection[str]) -> list[Path]:
    """The files of a folder; hidden folders below it, and those of outputs, are not entered."""
    folders[:] = [name for name in folders if not name.startswith(".")]
    if apart:
        folders[:] = [n for n in folders if os.path.realpath(os.path.join(root, n)) not in apart]
    return [Path(root, name) for name in names if not name.startswith(".")]


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = list(csv.reader(lines)) if path.suffix.lower() == ".csv" else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"{path}: wanted a list of paths, got: {error}; save it as text") from error
    if path.suffix.lower() == ".csv":
        header = [name.strip().lower() for name in rows[0]] if rows else []
        column = next((header.index(name) for name in COLUMNS if name in header), None)
        rows = rows[1:] if column is not None else rows
        lines = [row[column or 0] for row in rows if len(row) > (column or 0)]
    found = [path.parent / line.strip() for line in lines if line.strip()]
    if not found:
        raise ReadError(f"{path}: wanted the path of a volume in every line, got none")
    return found


def _distinct(found: list[Input]) -> list[Input]:
    """Inputs whose names differ: those of one name keep so many of their folders that they do."""
    owners: dict[str, set[str]] = {}
    for each in found:
        owners.setdefault(each.name, set()).add(os.path.abspath(each.path))
    common = {
        name: os.path.commonpath([os.path.dirname(path) for path in paths])
        for name, paths in owners.items()
        if len(paths) > 1
    }
    made = []
    for each in found:
        if each.name in common:
            parents = Path(os.path.abspath(each.path)).relative_to(common[each.name]).parent
            name = str(PurePosixPath(parents, case_name(each.path)))
            each = Input(each.path, name, len(parents.parts))
        made.append(each)
    return made
