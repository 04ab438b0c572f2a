"""Runs one job: predicts, and writes what is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

from zoo.anatomy import Threshold
from zoo.errors import VolumeError, WriteError
from zoo.executors.jobs import Job, Outputs
from zoo.executors.journal import stamp_of
from zoo.models import Model, Prediction, Progress, forget_peak_memory, load, silent
from zoo.tables import csv_of
from zoo.volumes import Volume, atomic_path, make_folder, mask_of


@dataclass(frozen=True)
class Predict:
    """The work of a prediction.

    Attributes:
        model: name of the model, as for `zoo.load`.
        backend, device: as for `zoo.load`.
        threshold: as for `Model.predict`.
        options: the options of the model's task, as for `Model.predict`.
    """

    model: str
    backend: str = "auto"
    device: str = "auto"
    threshold: Threshold = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> None:
        """Load the model, which then stays in this process."""
        loaded(self.model, self.backend, self.device)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Predict on the input of one job and write its outputs; returns the report.

        The peak of memory in it is that of this job, where the system can tell.
        """
        forget_peak_memory()
        return run_job(loaded(self.model, self.backend, self.device), job, self)


@lru_cache(maxsize=1)
def loaded(model: str, backend: str, device: str) -> Model:
    """The model, which stays in this process until another is wanted."""
    return load(model, backend=backend, device=device)


def run_job(
    model: Model,
    job: Job,
    work: Predict,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict on one input with a model that is loaded, and write its outputs.

    Returns:
        The report, with the seconds of all of it, and the `stamp` that the input had before.

    Raises:
        ZooError: it failed; what was not written yet is not written.
    """
    started = perf_counter()
    for folder in job.folders:
        make_folder(folder)
    job.check()
    stamp = stamp_of(job.source)
    prediction = _predict(model, job.source, work, progress)
    outputs = job.outputs
    if progress:
        progress("write")
    if outputs.implant:
        if prediction.implant is None:
            raise WriteError(
                f"{outputs.implant}: {model.card.name} predicts no implant; leave it out"
            )
        _save_mask(prediction, prediction.implant, outputs.implant)
    if outputs.uncertainty:
        if prediction.uncertainty is None:
            raise WriteError(
                f"{outputs.uncertainty}: {model.card.name} predicts no uncertainty; leave it out"
            )
        prediction.uncertainty.save(outputs.uncertainty)
    if outputs.statistics or outputs.split:
        _save_structures(prediction, outputs)
    title = f"{job.source.name}, {prediction.report['model']}"
    if outputs.preview:
        from zoo.pictures import draw_prediction  # takes a while to import

        draw_prediction(outputs.preview, prediction, title)
    prediction.save(outputs.volume)
    seconds, timings = perf_counter() - started, prediction.report["timings"]
    timings["write"] = seconds - sum(timings.values()) - prediction.report["seconds_compiling"]
    prediction.report["seconds"] = seconds
    if outputs.report:
        facts, warnings = model.task.assess(prediction)
        prediction.report.update({**facts, "assessment": warnings} if facts else {})
        with atomic_path(outputs.report) as temporary:
            if outputs.report.suffix.lower() == ".html":
                from zoo.pictures import write_page

                write_page(temporary, prediction, title, model.card)
            else:
                temporary.write_text(
                    json.dumps({**job.facts, **prediction.report}, indent=2) + "\n"
                )
    return {**prediction.report, "stamp": stamp}


def _save_mask(prediction: Prediction, mask: Volume, path: Path) -> None:
    """Write a mask; an empty one, which no mesh can be made of, only where the format can."""
    try:
        mask.save(path)
    except VolumeError:
        if mask.array.any():
            raise
        prediction.report["notes"].append(f"{path} is not written")


def _save_structures(prediction: Prediction, outputs: Outputs) -> None:
    """Write what is measured of the structures of a segmentation, and a mask of each."""
    structures = prediction.report.get("structures")
    if structures is None:
        raise WriteError(
            f"{outputs.statistics or outputs.split}: {prediction.report['model']} predicts no"
            " structures; leave --statistics and --split out"
        )
    if outputs.statistics:
        with atomic_path(outputs.statistics) as temporary:
            temporary.write_text(_statistics_as(outputs.statistics, structures), encoding="utf-8")
    if outputs.split:
        for name, facts in structures.items():
            path = outputs.of_structure(name)
            make_folder(path.parent)
            _save_mask(prediction, mask_of(prediction.volume, facts["label"], name), path)


def _statistics_as(path: Path, structures: dict[str, dict[str, Any]]) -> str:
    """The structures as JSON, or as a table with a row for each where a name ends in .csv."""
    if path.suffix.lower() != ".csv":
        return json.dumps(structures, indent=2) + "\n"
    rows = [{"structure": name, **facts} for name, facts in structures.items()]
    return csv_of(rows, list(rows[0]))


def _predict(
    model: Model,
    source: Path,
    work: Predict,
    progress: Progress | None,
) -> Prediction:
    try:
        progress = progress or silent
        return model.predict(source, threshold=work.threshold, progress=progress, **work.options)
    except VolumeError as error:  # a reader names the file, a check of the values does not
        named = str(source) in str(error)
        raise error if named else VolumeError(f"{source}: {error}") from error
