"""Predicting one file, several or a folder of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from zoo.errors import ReadError, VolumeError, WriteError, ZooError
from zoo.files import (
    DICOM,
    DICOM_PLUGIN,
    atomic_path,
    check_output,
    check_volume_output,
    is_volume,
    is_writable,
    make_folder,
    reads_folders,
    stem,
)
from zoo.model import Model, Progress
from zoo.prediction import Prediction
from zoo.preview import draw_prediction


@dataclass(frozen=True)
class Outputs:
    """Where the answers go: files for one input, folders for several."""

    volume: Path
    implant: Path | None = None
    report: Path | None = None
    preview: Path | None = None

    def paths(self) -> list[Path]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if value is not None]

    def below(self, source: Path) -> Outputs:
        """The files of one input in folders of outputs; .nii.gz for what is only read, as DICOM."""
        name = Path(os.path.abspath(source)).name  # "." has none
        only_read = (source.is_dir() or is_volume(source)) and not is_writable(source)
        volume = f"{stem(name)}.nii.gz" if only_read else name
        return Outputs(
            self.volume / volume,
            self.implant and self.implant / volume,
            self.report and self.report / f"{stem(name)}.json",
            self.preview and self.preview / f"{stem(name)}.png",
        )


@dataclass(frozen=True)
class Job:
    """One input, its outputs, and the folders to make for them."""

    source: Path
    outputs: Outputs
    folders: tuple[Path, ...] = ()

    def done(self) -> bool:
        return all(path.exists() for path in self.outputs.paths())

    def check(self) -> None:
        """Raise WriteError if an output cannot be written, or is the input or another output."""
        for path in filter(None, (self.outputs.volume, self.outputs.implant)):
            check_volume_output(path)
        for path in filter(None, (self.outputs.report, self.outputs.preview)):
            check_output(path)
        if (preview := self.outputs.preview) and preview.suffix.lower() != ".png":
            raise WriteError(
                f"{preview}: wanted a name that ends in .png, for the preview; rename it"
            )
        source = self.source.resolve()
        seen = {source}
        for path in self.outputs.paths():
            if source.is_dir() and source in path.resolve().parents:
                raise WriteError(f"{path}: lies in {self.source}, the input; choose another folder")
            if path.resolve() in seen:
                raise WriteError(
                    f"{path}: is the input or another output; every output needs a name of its own"
                )
            seen.add(path.resolve())


def plan_jobs(inputs: list[Path], outputs: Outputs) -> list[Job]:
    """One job per volume, checked; nothing is made yet. Those of several inputs go to folders.

    Raises:
        ReadError: a folder without a volume in it, or two inputs whose outputs have one name.
        WriteError: an output that cannot be written, or is not a folder for several inputs.
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


def run_jobs(
    model: Model,
    jobs: Iterable[Job],
    *,
    threshold: float | None,
    chain: bool = False,
    resume: bool,
    progress: Progress | None = None,
) -> Iterator[tuple[Job, Prediction | ZooError | None]]:
    """Predict job after job; a failure is handed over and the next job goes on. None: was done."""
    for job in jobs:
        if resume and job.done():
            yield job, None
            continue
        try:
            yield job, _run(model, job, threshold, chain, progress)
        except ZooError as error:
            yield job, error
        except Exception as error:  # of a plugin, or of memory
            failure = ZooError(
                f"{job.source}: unexpected {type(error).__name__}: {error}; --debug shows where"
            )
            failure.__cause__ = error
            yield job, failure


def _run(
    model: Model, job: Job, threshold: float | None, chain: bool, progress: Progress | None
) -> Prediction:
    for folder in job.folders:
        make_folder(folder)
    job.check()
    prediction = _predict(model, job.source, threshold, chain, progress)
    outputs = job.outputs
    if progress:
        progress("write")
    if outputs.implant:
        if prediction.implant is None:
            raise WriteError(f"{outputs.implant}: {model.card.name} gives no implant; leave it out")
        prediction.implant.save(outputs.implant)
    if outputs.preview:
        title = f"{job.source.name}, {prediction.report['model']}"
        draw_prediction(outputs.preview, prediction, title)
    if outputs.report:
        with atomic_path(outputs.report) as temporary:
            temporary.write_text(json.dumps(prediction.report, indent=2) + "\n")
    prediction.save(outputs.volume)
    return prediction


def _predict(
    model: Model, source: Path, threshold: float | None, chain: bool, progress: Progress | None
) -> Prediction:
    try:
        return model.predict(source, threshold=threshold, chain=chain, progress=progress)
    except VolumeError as error:  # of a reader's, which names the file, or of the values'
        named = str(source) in str(error)
        raise error if named else VolumeError(f"{source}: {error}") from error


def volumes(inputs: list[Path]) -> list[Path]:
    """The inputs, and for a folder the volumes in it, sorted.

    A folder without any, or with DICOM files only, is one volume if a reader of folders is there.

    Raises:
        ReadError: a folder without a volume in it, or with a DICOM series beside others.
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
            f"{path}: no volume in this folder; give one with .nii.gz or .nrrd files,"
            f" or pip install {DICOM_PLUGIN} for a DICOM series"
        )
    return found


def _check_distinct(jobs: list[Job]) -> None:
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path in set(job.outputs.paths()):
            if path in owners:
                raise ReadError(
                    f"{owners[path]} and {job.source} would both write {path}; predict them apart"
                )
            owners[path] = job.source


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise WriteError(
            f"{folder}: wanted a folder, for several inputs, got a file; choose another"
        )
    if not folder.exists():
        check_output(folder)
