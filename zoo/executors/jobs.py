"""One job per volume: where it is read from, and where its prediction goes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError, ReadError, WriteError
from zoo.executors.bids import Derivative
from zoo.executors.inputs import Input, case_name, inputs_of
from zoo.volumes import (
    DICOM,
    check_output,
    check_volume_output,
    identifier,
    is_volume,
    is_writable,
    stem,
)

SUFFIXES = {  # of outputs that are no volumes
    "report": (".json", ".html"),
    "preview": (".png",),
    "statistics": (".json", ".csv"),
}
EVERY = "*"  # in the path of masks, where a structure's name goes


@dataclass(frozen=True)
class Outputs:
    """The outputs of predictions: files for one input, folders for several.

    Attributes:
        volume: for the predicted volume.
        implant: for the implant; None if it is not wanted, as below.
        report: for the report: JSON, or a page where the name ends in .html.
        preview: for the picture, PNG.
        uncertainty: for the volume of how far the implant can be relied on.
        statistics: for what is measured of every structure, JSON or CSV.
        split: the folder for a mask of every structure, in the format of `volume`; or a path with
            `*` in place of a structure's name.
    """

    volume: Path
    implant: Path | None = None
    report: Path | None = None
    preview: Path | None = None
    uncertainty: Path | None = None
    statistics: Path | None = None
    split: Path | None = None

    def named(self) -> dict[str, Path]:
        """The outputs that are wanted, by what they are."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def paths(self) -> list[Path]:
        """The outputs that are wanted."""
        return list(self.named().values())

    def of_structure(self, name: str) -> Path:
        """Where the mask of a structure goes, if masks are wanted."""
        assert self.split
        if EVERY in self.split.name:
            letters = "".join(letter for letter in name.title() if letter.isalnum())
            return self.split.with_name(self.split.name.replace(EVERY, letters))
        return self.split / f"{identifier(name)}{_suffix(self.volume)}"

    def exist(self) -> bool:
        """Whether all that are wanted are there."""
        wanted = self.paths()
        if self.split and EVERY in self.split.name:
            wanted.remove(self.split)
            if not any(self.split.parent.glob(self.split.name)):
                return False
        return all(path.exists() for path in wanted)

    def below(self, source: Input) -> Outputs:
        """The files for one input in these folders; formats that are only read become .nii.gz."""
        folder, name = Path(source.name).parent, Path(os.path.abspath(source.path)).name
        only_read = _is_only_read(source.path)
        volume = folder / (f"{case_name(source.path)}.nii.gz" if only_read else name)
        return Outputs(
            self.volume / volume,
            self.implant and self.implant / volume,
            self.report and self.report / f"{source.name}.json",
            self.preview and self.preview / f"{source.name}.png",
            self.uncertainty and self.uncertainty / volume,
            self.statistics and self.statistics / f"{source.name}.csv",
            self.split and self.split / source.name,
        )

    def in_dataset(self, source: Input, derivative: Derivative) -> Outputs:
        """The files for one input, called as BIDS calls them, in these folders.

        Implant, if the task has one, and report are always written, beside the volume unless they
        have folders of their own; the report is its sidecar.
        """
        path = source.path
        suffix = ".nii.gz" if _is_only_read(path) else _suffix(path)
        names = derivative.names

        def file(folder: Path | None, output: str, suffix: str = suffix) -> Path | None:
            name = output if output in names else "volume"
            return folder and folder / derivative.path(path, name, suffix)

        implants = self.implant or (self.volume if "implant" in names else None)
        return Outputs(
            self.volume / derivative.path(path, "volume", suffix),
            file(implants, "implant"),
            file(self.report or self.volume, "volume", ".json"),
            file(self.preview, "volume", ".png"),
            file(self.uncertainty, "uncertainty"),
            file(self.statistics, "volume", ".csv"),
            file(self.split and self.volume, "split"),
        )


def _suffix(path: Path) -> str:
    """What follows the stem of a name: `.nii.gz`."""
    return path.name.removeprefix(stem(path.name))


def _is_only_read(path: Path) -> bool:
    """Whether a prediction cannot be in the format of this input, or should not."""
    if path.suffix.lower() == f".{DICOM}":  # a segmentation if asked for
        return True
    return (path.is_dir() or is_volume(path)) and not is_writable(path)


@dataclass(frozen=True)
class Job:
    """One input and its outputs.

    Attributes:
        source: the file or folder to read.
        outputs: the files to write.
        folders: the folders to make for them.
        name: of the case, in the journal of a run over several; empty for one that has none.
        facts: what its report says besides what was found.
    """

    source: Path
    outputs: Outputs
    folders: tuple[Path, ...] = ()
    name: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def done(self) -> bool:
        """Whether all outputs exist."""
        return self.outputs.exist()

    def check(self) -> None:
        """Raise WriteError if an output cannot be written or is also the input or another one.

        DICOM is written of what was DICOM, to which it refers.
        """
        volumes = (self.outputs.volume, self.outputs.implant, self.outputs.uncertainty)
        is_dicom = self.source.is_dir() or self.source.suffix.lower() in (f".{DICOM}", ".zip")
        for path in filter(None, volumes):
            check_volume_output(path)
            if path.suffix.lower() == f".{DICOM}" and not is_dicom:
                raise WriteError(
                    f"{path}: wanted a DICOM series as the input, to which a segmentation refers,"
                    f" got {self.source}; write .nii.gz"
                )
        for what, suffixes in SUFFIXES.items():
            wanted: Path | None = getattr(self.outputs, what)
            if wanted is None:
                continue
            check_output(wanted)
            if wanted.suffix.lower() not in suffixes:
                raise WriteError(
                    f"{wanted}: wanted a name that ends in {' or '.join(suffixes)} for the {what};"
                    " rename it"
                )
        source = self.source.resolve()
        seen = {source}
        for path in self.outputs.paths():
            if source.is_dir() and source in path.resolve().parents:
                raise WriteError(f"{path}: lies in {self.source}, the input; choose another folder")
            if path.resolve() in seen:
                raise WriteError(
                    f"{path}: is also the input or another output; give every output its own name"
                )
            seen.add(path.resolve())


def plan_jobs(
    inputs: list[Path],
    outputs: Outputs,
    shard: tuple[int, int] = (1, 1),
    derivative: Derivative | None = None,
    found: list[Input] | None = None,
) -> list[Job]:
    """Plan and check one job per volume; nothing is written yet.

    Args:
        inputs: as for `inputs_of`.
        outputs: files for a single volume, folders otherwise.
        shard: which part of the jobs, from 1 on, of how many: every machine takes its own.
        derivative: the BIDS dataset that the outputs are files of; None if they are of none.
        found: what `inputs_of` made of the inputs, if that is known.

    Raises:
        ReadError: an input is not there, or two have the same output.
        WriteError: an output cannot be written, would replace an input, or is not a folder although
            there are several inputs.
        ConfigError: there is no such part.
    """
    number, parts = shard
    if not 1 <= number <= parts:
        raise ConfigError(f"--shard: wanted I/N with I from 1 to N, got {number}/{parts}")
    found = inputs_of(inputs, outputs.paths()) if found is None else found
    if _is_one(inputs, found) and parts == 1 and derivative is None:
        job = Job(inputs[0], outputs)
        job.check()
        return [job]
    for folder in outputs.paths():
        if not derivative or folder != derivative.folder:
            _check_folder(folder)
    jobs, names = [], Counter(each.name for each in found)
    for each in found:
        files = outputs.in_dataset(each, derivative) if derivative else outputs.below(each)
        folders = dict.fromkeys([*outputs.paths(), *(path.parent for path in files.paths())])
        facts = derivative.facts(each.path) if derivative else {}
        # Files of one name in two formats have two entries in the journal.
        suffix = _suffix(each.path) if names[each.name] > 1 else ""
        jobs.append(Job(each.path, files, tuple(folders), each.name + suffix, facts))
    _check_distinct(jobs)
    return jobs[number - 1 :: parts]


def _is_one(given: list[Path], found: list[Input]) -> bool:
    """Whether a single volume was given, by its path."""
    return len(given) == 1 and [each.path for each in found] == given


def _check_distinct(jobs: list[Job]) -> None:
    owners: dict[Path, Path] = {}
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        for path in set(job.outputs.paths()):
            if os.path.realpath(path) in sources:
                raise WriteError(f"{path}: is one of the inputs; choose another folder for outputs")
            if path in owners:
                raise ReadError(
                    f"{owners[path]} and {job.source} would both write {path};"
                    " predict them separately"
                )
            owners[path] = job.source


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise WriteError(
            f"{folder}: wanted a folder for several inputs, got a file; choose another"
        )
    if not folder.exists():
        if is_writable(folder) or folder.suffix.lower() in sum(SUFFIXES.values(), ()):
            raise WriteError(
                f"{folder}: wanted a folder for several inputs, got the name of a file; leave"
                f" {''.join(folder.suffixes)} out"
            )
        check_output(folder)
