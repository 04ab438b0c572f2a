"""One job per volume: where it is read from, and where its prediction goes."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from zoo.errors import ReadError, WriteError
from zoo.volumes import (
    DICOM,
    DICOM_PLUGIN,
    check_output,
    check_volume_output,
    is_volume,
    is_writable,
    reads_folders,
    stem,
)

REPORTS = (".json", ".html")  # which kinds of reports there are


@dataclass(frozen=True)
class Outputs:
    """The outputs of predictions: files for one input, folders for several.

    Attributes:
        volume: for the predicted volume.
        implant: for the implant; None if it is not wanted, as below.
        report: for the report: JSON, or a page where the name ends in .html.
        preview: for the picture, PNG.
        uncertainty: for the volume of how far the implant can be relied on.
    """

    volume: Path
    implant: Path | None = None
    report: Path | None = None
    preview: Path | None = None
    uncertainty: Path | None = None

    def paths(self) -> list[Path]:
        """The outputs that are wanted."""
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if value is not None]

    def below(self, source: Path) -> Outputs:
        """The files for one input in these folders; formats that are only read become .nii.gz."""
        name = Path(os.path.abspath(source)).name  # "." has none
        only_read = (source.is_dir() or is_volume(source)) and not is_writable(source)
        volume = f"{stem(name)}.nii.gz" if only_read else name
        return Outputs(
            self.volume / volume,
            self.implant and self.implant / volume,
            self.report and self.report / f"{stem(name)}.json",
            self.preview and self.preview / f"{stem(name)}.png",
            self.uncertainty and self.uncertainty / volume,
        )


@dataclass(frozen=True)
class Job:
    """One input and its outputs.

    Attributes:
        source: the file or folder to read.
        outputs: the files to write.
        folders: the folders to make for them.
    """

    source: Path
    outputs: Outputs
    folders: tuple[Path, ...] = ()

    def done(self) -> bool:
        """Whether all outputs exist."""
        return all(path.exists() for path in self.outputs.paths())

    def check(self) -> None:
        """Raise WriteError if an output cannot be written or is also the input or another one."""
        volumes = (self.outputs.volume, self.outputs.implant, self.outputs.uncertainty)
        for path in filter(None, volumes):
            check_volume_output(path)
        for path in filter(None, (self.outputs.report, self.outputs.preview)):
            check_output(path)
        if (preview := self.outputs.preview) and preview.suffix.lower() != ".png":
            raise WriteError(
                f"{preview}: wanted a name that ends in .png for the preview; rename it"
            )
        if (report := self.outputs.report) and report.suffix.lower() not in REPORTS:
            raise WriteError(
                f"{report}: wanted a name that ends in {' or '.join(REPORTS)} for the report;"
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


def plan_jobs(inputs: list[Path], outputs: Outputs) -> list[Job]:
    """Plan and check one job per volume; nothing is written yet.

    Args:
        inputs: volumes, and folders of volumes.
        outputs: files for a single volume, folders otherwise.

    Raises:
        ReadError: a folder contains no volume, or two inputs have the same output.
        WriteError: an output cannot be written, or is not a folder although there are several
            inputs.
    """
    sources = volumes(inputs)
    if len(inputs) == 1 and sources == inputs:
        job = Job(inputs[0], outputs)
        job.check()
        return [job]
    folders = tuple(outputs.paths())
    for folder in folders:
        _check_folder(folder)
    jobs = [Job(path, outputs.below(path), folders) for path in sources]
    _check_distinct(jobs)
    return jobs


def volumes(inputs: list[Path]) -> list[Path]:
    """The inputs, with each folder replaced by the volumes in it, sorted.

    If a reader for folders is installed, a folder with nothing but DICOM files, or without any
    volume, counts as one volume.

    Raises:
        ReadError: a folder contains no volume, or a DICOM series next to other volumes.
    """
    return [path for given in inputs for path in _volumes(given)]


def _volumes(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(child for child in path.iterdir() if child.is_file() and is_volume(child))
    if reads_folders():
        slices = sum(child.suffix.lower() == f".{DICOM}" for child in found)
        if slices == len(found):
            return [path]
        if slices:
            raise ReadError(
                f"{path}: wanted volumes or the .{DICOM} files of one, got both;"
                " give each a folder of its own"
            )
    if not found:
        raise ReadError(
            f"{path}: no volume in this folder; wanted .nii.gz or .nrrd files,"
            f" or pip install {DICOM_PLUGIN} for a DICOM series"
        )
    return found


def _check_distinct(jobs: list[Job]) -> None:
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path in set(job.outputs.paths()):
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
        if is_writable(folder) or folder.suffix.lower() in (*REPORTS, ".png"):
            raise WriteError(
                f"{folder}: wanted a folder for several inputs, got the name of a file; leave"
                f" {''.join(folder.suffixes)} out"
            )
        check_output(folder)
