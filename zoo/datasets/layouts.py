"""The cases of a folder, in the layouts that data sets come in.

| layout | files |
|---|---|
| skullfix | complete_skull/, defective_skull/ and, unless left out, implant/, each with NNN.nrrd |
| skullbreak | the same, with a folder for each kind of defect below defective_skull/ and implant/ |
| mug500 | complete skulls at any depth, one for an identifier such as A0001; B0001 is left out |
| complete | complete skulls side by side, whatever they are called |
| csv | cases.csv, or a CSV file itself: name,source,target[,implant], relative to its folder |
| segthor | Patient_NN/Patient_NN.nii.gz, a scan, and Patient_NN/GT.nii.gz, its labels |
| nnunet | imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz; dataset.json has the labels' names |
| decathlon | the same, where dataset.json lists the files as the Decathlon's tasks do |
| totalsegmentator | sNNNN/ct.nii.gz, and sNNNN/segmentations/ with a mask for each structure |

The cases of the last four are scans with labels, those of csv may be that or shapes, all others
are shapes. A volume may have any suffix that a reader carries; names that begin with a dot are
ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from zoo.datasets import _scans
from zoo.datasets._folders import entries, partner, refuse_second, volumes_in
from zoo.datasets.cases import Case, read_table, select
from zoo.errors import ReadError
from zoo.volumes import is_volume, stem

COMPLETE, DEFECTIVE, IMPLANT = "complete_skull", "defective_skull", "implant"
DEFECTS = ("bilateral", "frontoorbital", "parietotemporal", "random_1", "random_2")
TABLE = "cases.csv"
HEALTHY = re.compile(r"(?<![A-Za-z0-9])A\d{4}(?!\d)")  # 500 of them in MUG500+
CRANIOTOMY = re.compile(r"(?<![A-Za-z0-9])B\d{4}(?!\d)")  # patients; no complete skull of them
CLEANED = ("_clear", "_clean")  # of two files of one skull, the one to use

# What a case can be, and what that means. A task asks for a kind; no layout knows a task.
KINDS = {"shape": "a complete shape, perhaps with a defect", "labels": "a scan and its labels"}


@dataclass(frozen=True)
class Layout:
    """One way in which the files of a data set lie in its folder.

    Attributes:
        find: the cases of a folder.
        kinds: of `KINDS`, what its cases can be.
        wanted: what a folder must hold, for an error message.
    """

    find: Callable[[Path], list[Case]]
    kinds: tuple[str, ...]
    wanted: str


def find_cases(
    folder: Path,
    layout: str | None = None,
    split: Path | None = None,
    *,
    kind: str | None = None,
) -> list[Case]:
    """The cases of a folder in the order of their names; a table's in its own order.

    In the folder that this example makes, two skulls lie side by side:

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     for skull in ("b.nii.gz", "a.nrrd"):
        ...         Path(name, skull).touch()
        ...     recognised(Path(name)), [case.name for case in find_cases(Path(name), kind="shape")]
        ('complete', ['a', 'b'])

    Args:
        folder: the data set, or a CSV file.
        layout: one of `LAYOUTS`; None: recognised by what is in the folder.
        split: a text file with the names to keep, one per line; # begins a comment. In SkullBreak
            the name of a skull stands for all its defects. None: all are kept.
        kind: one of `KINDS`, what the cases must be; None: whatever the layout's are.

    Returns:
        The cases, at least one.

    Raises:
        ReadError: no such layout, one with other cases, no case, a file that a case needs is
            missing, or a name in the split that no case has; the message names it.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"wanted a kind of cases out of {', '.join(KINDS)}, got {kind!r}")
    layout = layout or recognised(folder) or _refuse(folder)
    if layout not in LAYOUTS:
        raise ReadError(f"wanted a layout out of {', '.join(LAYOUTS)}, got {layout!r}")
    kinds = LAYOUTS[layout].kinds
    if kind is not None and kind not in kinds:
        fitting = ", ".join(name for name, other in LAYOUTS.items() if kind in other.kinds)
        raise ReadError(
            f"{folder}: wanted cases that are {KINDS[kind]}, in a layout out of {fitting};"
            f" got {layout}, whose cases are {KINDS[kinds[0]]}; choose another folder"
        )
    cases = LAYOUTS[layout].find(folder)
    if not cases:
        raise ReadError(
            f"{folder}: wanted {LAYOUTS[layout].wanted}, got no volume in this folder; add one"
        )
    return cases if split is None else select(cases, split)


def recognised(folder: Path) -> str | None:
    """The layout of a folder by what is in it; None if it has none.

    Raises:
        ReadError: the folder cannot be read.
    """
    if folder.suffix.lower() == ".csv" or (folder / TABLE).is_file():
        return "csv"
    if (folder / DEFECTIVE).is_dir():
        is_there = [(folder / DEFECTIVE / defect).is_dir() for defect in DEFECTS]
        return "skullbreak" if any(is_there) else "skullfix"
    content = entries(folder) if folder.is_dir() else []
    if layout := _recognised_scans(folder) if content else None:
        return layout
    skulls = [entry for entry in content if is_volume(entry) or entry.is_dir()]
    if any(HEALTHY.search(entry.name) for entry in skulls):
        return "mug500"
    return "complete" if any(map(is_volume, content)) else None


def _recognised_scans(folder: Path) -> str | None:
    if _scans.patients(folder):
        return "segthor"
    if _scans.has_images(folder):
        return "nnunet" if _scans.is_nnunet(folder) else "decathlon"
    return "totalsegmentator" if _scans.is_totalsegmentator(folder) else None


def _refuse(folder: Path) -> NoReturn:
    wanted = "; ".join(f"{layout.wanted} ({name})" for name, layout in LAYOUTS.items())
    got = "none of these" if folder.is_dir() else "no such folder"
    raise ReadError(
        f"{folder}: wanted a folder with {wanted}; got {got};"
        " check the path, or make one with `zoo phantom skull -o DIR`"
    )


def _skullfix(folder: Path, defect: str = "") -> list[Case]:
    """One case for each defective skull; `defect` is the folder of one kind of defect, if any."""
    complete = volumes_in(folder / COMPLETE)
    has_implants = (folder / IMPLANT).is_dir()
    implants = volumes_in(folder / IMPLANT / defect) if has_implants else {}
    return [
        Case(
            name=f"{defect}/{name}" if defect else name,
            source=source,
            target=partner(complete, name, folder / COMPLETE / source.name),
            implant=partner(implants, name, folder / IMPLANT / defect / source.name)
            if has_implants
            else None,
        )
        for name, source in volumes_in(folder / DEFECTIVE / defect).items()
    ]


def _skullbreak(folder: Path) -> list[Case]:
    there = [defect for defect in DEFECTS if (folder / DEFECTIVE / defect).is_dir()]
    return [case for defect in there for case in _skullfix(folder, defect)]


def _mug500(folder: Path) -> list[Case]:
    """The complete skulls alone; of a skull that has two files, the cleaned one."""
    skulls: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not is_volume(path) or CRANIOTOMY.search(relative):
            continue
        found = HEALTHY.findall(relative)
        name = found[-1] if found else stem(relative)
        skulls[name] = _cleaner(skulls[name], path) if name in skulls else path
    return [Case(name, None, path, None) for name, path in skulls.items()]


def _cleaner(first: Path, second: Path) -> Path:
    cleaned = [path for path in (first, second) if stem(path.name).endswith(CLEANED)]
    if len(cleaned) != 1:
        refuse_second(first, second)
    return cleaned[0]


def _complete(folder: Path) -> list[Case]:
    return [Case(name, None, path, None) for name, path in volumes_in(folder).items()]


def _csv(folder: Path) -> list[Case]:
    return read_table(folder / TABLE if folder.is_dir() else folder)


LAYOUTS = {
    "skullfix": Layout(
        _skullfix,
        ("shape",),
        f"{DEFECTIVE}/, {COMPLETE}/ and, if there are implants, {IMPLANT}/ of NNN.nrrd",
    ),
    "skullbreak": Layout(
        _skullbreak,
        ("shape",),
        f"the same with {DEFECTS[0]}/NNN.nrrd and so on below {DEFECTIVE}/",
    ),
    "mug500": Layout(_mug500, ("shape",), "complete skulls with identifiers such as A0001"),
    "complete": Layout(_complete, ("shape",), "volumes of complete skulls, whatever their names"),
    "csv": Layout(
        _csv, ("shape", "labels"), f"{TABLE} with the columns name,source,target[,implant]"
    ),
    "segthor": Layout(
        _scans.segthor, ("labels",), "Patient_01/Patient_01.nii.gz and Patient_01/GT.nii.gz"
    ),
    "nnunet": Layout(
        _scans.nnunet, ("labels",), "imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, dataset.json"
    ),
    "decathlon": Layout(
        _scans.decathlon, ("labels",), "imagesTr/, labelsTr/ and a dataset.json that lists pairs"
    ),
    "totalsegmentator": Layout(
        _scans.totalsegmentator, ("labels",), "s0001/ct.nii.gz and s0001/segmentations/NAME.nii.gz"
    ),
}
