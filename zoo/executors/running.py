"""Runs one job: predicts, and writes what is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

from zoo.anatomy import Threshold
from zoo.errors import VolumeError, WriteError
from zoo.executors.jobs import Job
from zoo.models import Model, Prediction, Progress
from zoo.volumes import Volume, atomic_path, make_folder


def run_job(
    model: Model,
    job: Job,
    threshold: Threshold = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict on one input and write its outputs; returns the report.

    Raises:
        ZooError: it failed; what was not written yet is not written.
    """
    started = perf_counter()
    for folder in job.folders:
        make_folder(folder)
    job.check()
    prediction = _predict(model, job.source, threshold, options, progress)
    outputs = job.outputs
    if progress:
        progress("write")
    if outputs.implant:
        if prediction.implant is None:
            raise WriteError(
                f"{outputs.implant}: {model.card.name} predicts no implant; leave it out"
            )
        _save_implant(prediction, prediction.implant, outputs.implant)
    if outputs.uncertainty:
        if prediction.uncertainty is None:
            raise WriteError(
                f"{outputs.uncertainty}: {model.card.name} predicts no uncertainty; leave it out"
            )
        prediction.uncertainty.save(outputs.uncertainty)
    title = f"{job.source.name}, {prediction.report['model']}"
    if outputs.preview:
        from zoo.pictures import draw_prediction  # takes a while to import

        draw_prediction(outputs.preview, prediction, title)
    if outputs.report:
        facts, warnings = model.task.assess(prediction)
        prediction.report.update({**facts, "assessment": warnings} if facts else {})
        with atomic_path(outputs.report) as temporary:
            if outputs.report.suffix.lower() == ".html":
                from zoo.pictures import write_page

                write_page(temporary, prediction, title, model.card)
            else:
                temporary.write_text(json.dumps(prediction.report, indent=2) + "\n")
    prediction.save(outputs.volume)
    return {**prediction.report, "seconds": perf_counter() - started}


def _save_implant(prediction: Prediction, implant: Volume, path: Path) -> None:
    """Write an implant; an empty one, which no mesh can be made of, only where the format can."""
    try:
        implant.save(path)
    except VolumeError:
        if implant.array.any():
            raise
        prediction.report["notes"].append(f"{path} is not written")


def _predict(
    model: Model,
    source: Path,
    threshold: Threshold,
    options: Mapping[str, Any],
    progress: Progress | None,
) -> Prediction:
    try:
        return model.predict(source, threshold=threshold, progress=progress, **options)
    except VolumeError as error:  # a reader names the file, a check of the values does not
        named = str(source) in str(error)
        raise error if named else VolumeError(f"{source}: {error}") from error
