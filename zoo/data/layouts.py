"""The cases of a folder, in the layouts that data sets come in.

| layout | files |
|---|---|
| skullfix | complete_skull/, defective_skull/ and, unless left out, implant/, each with NNN.nrrd |
| skullbreak | the same, with a folder for each kind of defect below defective_skull/ and implant/ |
| mug500 | complete skulls at any depth, one for an identifier such as A0001; B0001 is left out |
| complete | complete skulls side by side, whatever they are called |
| csv | cases.csv, or a CSV file itself: name,source,target[,implant], relative to its folder |
| segthor | Patient_NN/Patient_NN.nii.gz, a scan, and Patient_NN/GT.nii.gz, its labels |

segthor is for segmentation, csv for any task, all others are for completion.
A volume may have any suffix that a reader carries; names that begin with a dot are left aside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from zoo.data.cases import Case, read_table, select
from zoo.errors import ReadError
from zoo.files import is_volume, stem

COMPLETE, DEFECTIVE, IMPLANT = "complete_skull", "defective_skull", "implant"
DEFECTS = ("bilateral", "frontoorbital", "parietotemporal", "random_1", "random_2")
TABLE = "cases.csv"
LABELS = "GT"
PATIENT = re.compile(r"Patient_\d+")
HEALTHY = re.compile(r"(?<![A-Za-z0-9])A\d{4}(?!\d)")  # 500 of them in MUG500+
CRANIOTOMY = re.compile(
    r"(?<![A-Za-z0-9])B\d{4}(?!\d)"
)  # its patients with a defect, of whom there is no complete skull
CLEANED = ("_clear", "_clean")  # of two files of one skull, the one to take

WANTED = {
    "skullfix": f"{DEFECTIVE}/, {COMPLETE}/ and, if there are implants, {IMPLANT}/ of NNN.nrrd",
    "skullbreak": f"the same with {DEFECTS[0]}/NNN.nrrd and so on below {DEFECTIVE}/",
    "mug500": "complete skulls with identifiers such as A0001",
    "complete": "volumes of complete skulls, whatever their names",
    "csv": f"{TABLE} with the columns name,source,target[,implant]",
    "segthor": f"Patient_01/Patient_01.nii.gz and Patient_01/{LABELS}.nii.gz",
}
LAYOUTS = tuple(WANTED)
TASKS = dict.fromkeys(LAYOUTS, ("completion",)) | {
    "segthor": ("segmentation",),
    "csv": ("completion", "segmentation"),
}


def find_cases(
    folder: Path,
    layout: str | None = None,
    split: Path | None = None,
    *,
    task: str | None = None,
) -> list[Case]:
    """The cases of a folder in order of their names; a table's in its own order.

    Args:
        folder: the data set, or a CSV file.
        layout: one of `LAYOUTS`; None: recognised from what is in the folder.
        split: a text file of the names to keep, one a line, # before a comment. In SkullBreak the
            name of a skull stands for all its defects.
        task: what the cases are wanted for; None: whatever the layout is for.

    Raises:
        ReadError: no such layout, one for another task, no case, a file that a case needs is
            missing, or a name in the split that no case has; the message names it.
    """
    layout = layout or recognised(folder) or _refuse(folder)
    if layout not in _FIND:
        raise ReadError(f"wanted a layout out of {', '.join(LAYOUTS)}, got {layout!r}")
    if task not in (None, *TASKS[layout]):
        fitting = ", ".join(name for name in LAYOUTS if task in TASKS[name])
        raise ReadError(
            f"{folder}: wanted a data set for {task}, in a layout out of {fitting}; got {layout},"
            f" which is for {' and '.join(TASKS[layout])}; choose another folder"
        )
    cases = _FIND[layout](folder)
    if not cases:
        raise ReadError(f"{folder}: wanted {WANTED[layout]}, got no volume in this folder; add one")
    return cases if split is None else select(cases, split)


def recognised(folder: Path) -> str | None:
    """The layout of a folder by what is in it; None if it has none.

    Raises:
        ReadError: the folder cannot be read.
    """
    if folder.suffix.lower() == ".csv" or (folder / TABLE).is_file():
        return "csv"
    if (folder / DEFECTIVE).is_dir():
        kinds = [(folder / DEFECTIVE / kind).is_dir() for kind in DEFECTS]
        return "skullbreak" if any(kinds) else "skullfix"
    entries = _entries(folder) if folder.is_dir() else []
    if any(PATIENT.fullmatch(entry.name) for entry in entries):
        return "segthor"
    skulls = [entry for entry in entries if is_volume(entry) or entry.is_dir()]
    if any(HEALTHY.search(entry.name) for entry in skulls):
        return "mug500"
    return "complete" if any(map(is_volume, entries)) else None


def _refuse(folder: Path) -> NoReturn:
    wanted = "; ".join(f"{what} ({layout})" for layout, what in WANTED.items())
    got = "none of these" if folder.is_dir() else "no such folder"
    raise ReadError(
        f"{folder}: wanted a folder with {wanted}; got {got};"
        " check the path, or make one with `zoo phantom skull -o DIR`"
    )


def _skullfix(folder: Path, kind: str = "") -> list[Case]:
    """One case for each defective skull, of one kind of defect where they lie in such folders."""
    complete = _volumes(folder / COMPLETE)
    has_implants = (folder / IMPLANT).is_dir()
    implants = _volumes(folder / IMPLANT / kind) if has_implants else {}
    return [
        Case(
            name=f"{kind}/{name}" if kind else name,
            source=source,
            target=_partner(complete, name, folder / COMPLETE / source.name),
            implant=_partner(implants, name, folder / IMPLANT / kind / source.name)
            if has_implants
            else None,
        )
        for name, source in _volumes(folder / DEFECTIVE / kind).items()
    ]


def _skullbreak(folder: Path) -> list[Case]:
    there = [kind for kind in DEFECTS if (folder / DEFECTIVE / kind).is_dir()]
    return [case for kind in there for case in _skullfix(folder, kind)]


def _mug500(folder: Path) -> list[Case]:
    """The complete skulls alone; where a skull has two files, the cleaned one."""
    skulls: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if path.name.startswith(".") or not is_volume(path) or CRANIOTOMY.search(place):
            continue
        found = HEALTHY.findall(place)
        name = found[-1] if found else stem(place)
        skulls[name] = _cleaner(skulls[name], path) if name in skulls else path
    return [Case(name, None, path, None) for name, path in skulls.items()]


def _cleaner(first: Path, second: Path) -> Path:
    cleaned = [path for path in (first, second) if stem(path.name).endswith(CLEANED)]
    if len(cleaned) != 1:
        _refuse_second(first, second)
    return cleaned[0]


def _complete(folder: Path) -> list[Case]:
    return [Case(name, None, path, None) for name, path in _volumes(folder).items()]


def _segthor(folder: Path) -> list[Case]:
    patients = [path for path in _entries(folder) if PATIENT.fullmatch(path.name)]
    cases = []
    for patient in patients:
        files = _volumes(patient)
        scan = _partner(files, patient.name, patient / f"{patient.name}.nii.gz")
        labels = _partner(files, LABELS, patient / f"{LABELS}.nii.gz")
        cases.append(Case(patient.name, scan, labels, None))
    return cases


def _csv(folder: Path) -> list[Case]:
    return read_table(folder / TABLE if folder.is_dir() else folder)


_FIND: dict[str, Callable[[Path], list[Case]]] = {
    "skullfix": _skullfix,
    "skullbreak": _skullbreak,
    "mug500": _mug500,
    "complete": _complete,
    "csv": _csv,
    "segthor": _segthor,
}


def _entries(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ReadError(
            f"{folder}: wanted a folder, got: {error.strerror}; check the path and the layout"
        ) from error
    return [folder / name for name in names if not name.startswith(".")]


def _volumes(folder: Path) -> dict[str, Path]:
    """The volumes of a folder by their names without suffix, in order."""
    volumes: dict[str, Path] = {}
    for path in filter(is_volume, _entries(folder)):
        name = stem(path.name)
        if name in volumes:
            _refuse_second(volumes[name], path)
        volumes[name] = path
    return volumes


def _partner(volumes: dict[str, Path], name: str, expected: Path) -> Path:
    """The volume of that name, whatever its suffix."""
    if name not in volumes:
        raise ReadError(f"{expected}: no such file; every case needs one: add it")
    return volumes[name]


def _refuse_second(first: Path, second: Path) -> None:
    raise ReadError(f"{second}: wanted one volume of a case, got {first} too; remove one of them")
