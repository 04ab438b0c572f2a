"""What the files of a scan with labels hold: the scan, and the structures that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.datasets._folders import volumes_in
from zoo.datasets.cases import Case
from zoo.datasets.pairs import on_grid
from zoo.errors import ReadError, VolumeError
from zoo.volumes import Volume, read_volume

# Each structure by its name, made of what a data set calls by names or by values of its labels.
Structures = Mapping[str, Sequence[int | str]]


def structures_of(case: Case) -> tuple[str, ...]:
    """The names of what is labelled in a case; empty if its labels have no names.

    Raises:
        ReadError: the folder of its masks cannot be read.
    """
    return tuple(volumes_in(case.target) if case.target.is_dir() else case.values)


def load_labels(case: Case, structures: Structures | None = None) -> tuple[Volume, Volume]:
    """Read a case that has labels: the scan, and the labels on its grid.

    Args:
        case: a case of kind "labels".
        structures: what to label 1, 2, ..., in this order, each made of names or values in the data
            set; of two that overlap, the later one counts. In labels without names, the name of a
            structure stands for its position, from 1. None: the values of the file as they are.

    Returns:
        The scan, and the labels, both on the scan's grid.

    Raises:
        ReadError: a file is missing or damaged, or a structure is not among those of the case.
        VolumeError: the files are on different grids, or labels are not whole numbers. The message
            names the file.

    A folder in the layout of SegTHOR, and two of its four structures:

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from zoo.datasets import find_cases
        >>> from zoo.datasets.phantoms.files import write_thorax
        >>> with TemporaryDirectory() as folder:
        ...     write_thorax(Path(folder), number=0, seed=1, resolution=32)
        ...     (case,) = find_cases(Path(folder))
        ...     scan, labels = load_labels(case, {"airway": ["trachea"], "heart": ["heart"]})
        >>> structures_of(case)
        ('oesophagus', 'heart', 'trachea', 'aorta')
        >>> labels.shape == scan.shape, np.unique(labels.array).tolist()
        (True, [0, 1, 2])
    """
    if case.source is None:
        raise ReadError(f"{case.target}: wanted a scan beside these labels, got none; add it")
    scan = read_volume(case.source)
    if case.target.is_dir():
        return scan, scan.with_array(_from_masks(case, scan, structures))
    labels = on_grid(read_volume(case.target), case.target, scan, case.source)
    if structures is None:
        return scan, labels
    wanted = [_values(case, structures, name) for name in structures]
    return scan, labels.with_array(_renumbered(case, labels.array, wanted))


def _values(case: Case, structures: Structures, name: str) -> set[int]:
    """The values in a labels file that make up one of the structures."""
    found: set[int] = set()
    for part in structures[name]:
        if isinstance(part, int):
            found.add(part)
        elif part in case.values:
            found.update(case.values[part])
        elif not case.values and part == name:
            found.add(1 + list(structures).index(name))
        else:
            _refuse(case, part)
    return found


def _renumbered(
    case: Case, labels: NDArray[np.generic], wanted: Sequence[set[int]]
) -> NDArray[np.uint8]:
    if labels.dtype.kind == "f":
        whole = labels.astype(np.int32)
        if not (whole == labels).all():
            raise VolumeError(f"{case.target}: wanted whole numbers as labels, got fractions")
        labels = whole
    numbers = np.zeros(labels.shape, np.uint8)
    for number, values in enumerate(wanted, 1):
        numbers[np.isin(labels, list(values))] = number
    return numbers


def _from_masks(case: Case, scan: Volume, structures: Structures | None) -> NDArray[np.uint8]:
    """Labels from a folder with a mask for each structure."""
    assert case.source is not None
    masks = volumes_in(case.target)
    structures = structures or {name: (name,) for name in masks}
    numbers = np.zeros(scan.shape, np.uint8)
    for number, parts in enumerate(structures.values(), 1):
        for part in parts:
            if part not in masks:
                _refuse(case, part)
            path = masks[str(part)]
            mask = on_grid(read_volume(path), path, scan, case.source)
            numbers[mask.array > 0] = number
    return numbers


def _refuse(case: Case, part: int | str) -> None:
    known = ", ".join(structures_of(case)) or "numbers, as these labels have no names"
    raise ReadError(f"{case.target}: wanted structures out of {known}; got {part!r}")
