"""Which files make up a case, and which is input, prediction, implant or ground truth."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo.errors import ReadError, VolumeError
from zoo.executors import Entry, done_in, inputs_of
from zoo.volumes import Volume, has_two_values, is_volume, read_volume, stem

INPUT, PREDICTION, IMPLANT, TRUTH = "input", "prediction", "implant", "ground truth"
ROLES = (INPUT, PREDICTION, IMPLANT, TRUTH)
SMALL = 0.5  # of the largest shape; one that has less than that of its volume is an implant
MOST_LABELS = 64  # different values; what has more is a scan
STRIDE = 2  # voxels along each axis, from one whose value is counted to the next


@dataclass(frozen=True)
class Case:
    """A case to look at.

    Attributes:
        name: its title.
        read: returns its volumes by role, at least one; raises ReadError or VolumeError.
        report: what `zoo predict --report` wrote of it; empty if that is not known.
        path: that stands for it alone; None for a case of files.
    """

    name: str
    read: Callable[[], dict[str, Volume]]
    report: Mapping[str, Any]
    path: Path | None = None


def cases_of(paths: Sequence[Path]) -> tuple[list[Case], int]:
    """The cases that paths stand for, and which of them to begin with.

    A folder that `zoo predict` wrote stands for the cases in its journal; OUT/CASE, or the
    prediction's own path, for the same ones, beginning with that. Any other folder stands for the
    volumes in it, each a case. Files are those of one case, in any order; a .json file is its
    report.

    Raises:
        ReadError: a path is not there, a folder has no cases, or a report cannot be read.
    """
    if len(paths) == 1:
        found, start = _journalled(paths[0])
        if not found and paths[0].is_dir():
            inputs = inputs_of(list(paths))
            found = [
                Case(each.name, partial(_by_content, [each.path]), {}, each.path) for each in inputs
            ]
        if found:
            return found, start
    volumes = [path for path in paths if path.suffix.lower() != ".json"]
    if not volumes:
        raise ReadError(f"wanted a volume to look at, got {paths[0]}; add the prediction")
    if missing := [path for path in paths if not path.exists()]:
        raise ReadError(f"{missing[0]}: no such file, nor a case of a folder; check the path")
    reports = [_report(path) for path in paths if path not in volumes]
    common = os.path.commonpath([path.absolute().parent for path in volumes])
    name = ", ".join(os.path.relpath(path, common) for path in volumes)
    return [Case(name, partial(_by_content, volumes), reports[0] if reports else {})], 0


def in_roles(volumes: Sequence[Volume]) -> dict[str, Volume]:
    """What each volume of a case is, by its content.

    A scan, with many values, is the input. Of labels the first are the prediction and the second
    the ground truth. A shape of less than half of the largest one's volume is an implant: the
    first that of the prediction, the second the ground truth. Of the other shapes the one with the
    coarsest voxels, then the smallest one, is the input, unless there is a scan or only one shape;
    then come prediction and ground truth.

        >>> import numpy as np
        >>> skull, hole = np.ones((8, 8, 8), np.uint8), np.zeros((8, 8, 8), np.uint8)
        >>> skull[1:-1, 1:-1, 1:-1], hole[3:5, 3:5, 0] = 0, 1
        >>> found = in_roles([Volume(skull), Volume(hole), Volume(skull - hole)])
        >>> {role: int(volume.array.sum()) for role, volume in found.items()}
        {'input': 292, 'prediction': 296, 'implant': 4}

    Raises:
        VolumeError: more volumes than roles for them.
    """
    found: dict[str, Volume] = {}
    kinds = [kind_of(volume) for volume in volumes]
    scans, labels, shapes = (
        [volume for volume, kind in zip(volumes, kinds, strict=True) if kind == wanted]
        for wanted in ("scan", "labels", "shape")
    )
    sizes = {id(shape): _millilitres(shape) for shape in shapes}
    largest = max(sizes.values(), default=0.0)
    implants = [shape for shape in shapes if sizes[id(shape)] < SMALL * largest]
    whole = [shape for shape in shapes if sizes[id(shape)] >= SMALL * largest]
    if len(whole) > 1 and not scans:
        first = min(whole, key=lambda shape: (shape.array.size, sizes[id(shape)]))
        scans = [first]
        whole = [shape for shape in whole if shape is not first]
    for roles, given in (
        ((INPUT,), scans),
        ((PREDICTION, TRUTH), labels),
        ((PREDICTION, TRUTH), whole),
        ((IMPLANT, TRUTH), implants),
    ):
        free = [role for role in roles if role not in found or role == TRUTH]
        if len(given) > len(free):
            raise VolumeError(
                f"wanted at most one volume each as {', '.join(ROLES)}, got {len(volumes)} of which"
                f" {len(given)} could be {' or '.join(free)}; leave some out"
            )
        found |= dict(zip(free, given, strict=False))
    return {role: found[role] for role in ROLES if role in found}


def _by_content(paths: Sequence[Path]) -> dict[str, Volume]:
    return in_roles([read_volume(path) for path in paths])


def _journalled(path: Path) -> tuple[list[Case], int]:
    """The cases of a journal, in that folder or in one above it, and which of them it names."""
    for folder in (path, *path.parents):
        if entries := done_in(folder):
            names = [entry.case for entry in entries]
            wanted = stem(path.relative_to(folder).as_posix())
            if folder != path and wanted not in names:
                return [], 0
            start = 0 if folder == path else names.index(wanted)
            return [_predicted(entry, folder) for entry in entries], start
    return [], 0


def _predicted(entry: Entry, folder: Path) -> Case:
    outputs = {name: folder / path for name, path in entry.outputs.items()}
    paths = {INPUT: Path(entry.input), PREDICTION: outputs["volume"]}
    if "implant" in outputs:
        paths[IMPLANT] = outputs["implant"]
    report = outputs.get("report", Path())
    known = {"model": entry.model, "warnings": entry.warnings}
    return Case(
        entry.case,
        partial(_by_role, paths),
        _report(report) if report.suffix == ".json" and report.is_file() else known,
        folder / entry.case,
    )


def _by_role(paths: Mapping[str, Path]) -> dict[str, Volume]:
    """The volumes of these paths; an implant that is only a mesh is left out."""
    readable = {role: path for role, path in paths.items() if role != IMPLANT or is_volume(path)}
    return {role: read_volume(path) for role, path in readable.items()}


def _report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{path}: wanted the report of a prediction, got: {error}") from error
    if not isinstance(report, dict):
        raise ReadError(f"{path}: wanted the report of a prediction, got other JSON")
    return report


def kind_of(volume: Volume) -> Literal["scan", "labels", "shape"]:
    """A shape has two values at most, labels have a few whole numbers, a scan has many."""
    if volume.about is not None and len(volume.about.labels) > 1:
        return "labels"
    sample = volume.array[::STRIDE, ::STRIDE, ::STRIDE]
    if volume.array.dtype.kind == "f" and not np.array_equal(sample, np.rint(sample)):
        return "scan"
    if sample.min() >= 0 and has_two_values(sample):
        return "shape"
    values = np.unique(sample)
    return "labels" if len(values) <= MOST_LABELS and values[0] >= 0 else "scan"


def _millilitres(shape: Volume) -> float:
    voxel = abs(float(np.linalg.det(shape.affine[:3, :3])))
    return np.count_nonzero(shape.array) * voxel / 1000
