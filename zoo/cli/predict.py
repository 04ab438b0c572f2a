"""The command `zoo predict`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.console import Console

from zoo.cli._console import caution, report_error, say
from zoo.cli._shared_options import BackendName, DeviceName, Name, threshold_of
from zoo.cli._task_options import TaskOptions, with_task_options
from zoo.errors import ConfigError, ZooError


def predict(
    name: Name,
    source: Annotated[
        list[Path],
        typer.Option(
            "-i", "--input", metavar="PATH", help="A volume, or a folder of volumes; repeatable."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Write the prediction here; a folder if there are several inputs.",
        ),
    ] = None,
    threshold: Annotated[
        Any,
        typer.Option(
            parser=threshold_of,
            metavar="T|auto",
            help="For scans: voxels above it are occupied; auto finds the skull in a CT.",
        ),
    ] = None,
    implant: Annotated[
        Path | None, typer.Option(help="Also write the implant, to this file.")
    ] = None,
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    preview: Annotated[
        Path | None, typer.Option(help="Draw the prediction in this PNG file.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a report: JSON, or a page if the name ends in .html."),
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            help="Completion: predict six times, and write in which share of them a voxel is added."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip inputs whose outputs exist.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only print the expected cost.")] = False,
    options: TaskOptions = MappingProxyType({}),
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Predict on one volume, on several, or on a folder of volumes.

    zoo predict NAME -i ct.nii.gz --threshold 200 -o complete.nii.gz

    With several inputs, every output is a folder. An input that fails is
    reported, and the others go on.
    """
    from zoo.executors import Outputs, plan_jobs, run_jobs
    from zoo.models import load

    if plan and options:
        flag = min(options).replace("_", "-")
        raise ConfigError(f"--plan does not take --{flag}; leave it out")
    if plan:
        return _print_plans(load(name, backend=backend, device=device), source, threshold)
    if output is None:
        raise ConfigError("wanted -o PATH for the prediction, or --plan (see --help)")
    jobs = plan_jobs(source, Outputs(output, implant, report, preview, uncertainty))
    if uncertainty:
        options = {**options, "uncertainty": True}
    model = load(name, backend=backend, device=device)
    failures = 0
    with Console(stderr=True, quiet=quiet).status("") as status:
        results = run_jobs(
            model,
            jobs,
            threshold=threshold,
            options=options,
            resume=resume,
            progress=status.update,
        )
        for job, result in results:
            if isinstance(result, ZooError):
                if len(jobs) == 1:
                    raise result
                failures += 1
                report_error(_naming(job.source, result), result)
            elif not quiet:
                _print_result(job, result)
    if failures:
        raise ZooError(f"{failures} of {len(jobs)} inputs failed; the others are done")


def extended(tasks: list[str]) -> Callable[..., None]:
    """The command `zoo predict` with the options of these tasks."""
    from zoo.models import Options

    return with_task_options(predict, Options, lambda task: task.prediction_options, tasks)


def _print_plans(model: Any, sources: list[Path], threshold: float | str | None) -> None:
    from zoo.executors import volumes

    for source in volumes(sources):
        plan = model.plan(source, threshold=threshold)
        peak, free, where = plan.peak_memory, plan.free_memory, ""
        if plan.peak_device_memory is not None and plan.free_device_memory is not None:
            peak, free, where = plan.peak_device_memory, plan.free_device_memory, f" {model.device}"
        say(
            f"{source}: {plan.voxels:,} occupied voxels in {' x '.join(map(str, plan.shape))}; "
            f"about {plan.seconds:.1f} s and a peak of {peak / 1e9:.2f} GB on "
            f"{model.backend.name}{where}; {free / 1e9:.1f} GB are free"
        )


def _naming(source: Path, error: ZooError) -> str:
    return str(error) if str(source) in str(error) else f"{source}: {error}"


def _print_result(job: Any, result: Any) -> None:
    if result is None:
        return say(f"{job.source}: skipped, its outputs exist")
    facts = result.report
    seconds = sum(facts["timings"].values())
    resampling = facts["grid"]
    how = "resampled to" if resampling["resampled"] else "used at"
    spacing = " x ".join(f"{value:.3g}" for value in resampling["spacing"])
    found = f"{facts['voxels_out']:,} in the prediction"
    if result.implant is not None:
        found = f"added {facts['voxels_out'] - facts['voxels_in']:,}"
    say(
        f"{job.source}: {facts['voxels_in']:,} occupied voxels, {how} {spacing} mm; "
        f"{found}; {seconds:.1f} s on {facts['backend']} -> {job.outputs.volume}"
    )
    if (bone := facts.get("bone")) is not None:
        say(
            f"{job.source}: bone above {bone['threshold']:g}, skull of {bone['skull_ml']:g} ml;"
            f" left out: {bone['neck_removed_ml']:g} ml of neck,"
            f" {bone['others_removed_ml']:g} ml of other things"
        )
    for note in facts["notes"]:
        say(f"{job.source}: {note}")
    for warning in facts["warnings"]:
        caution(f"{job.source}: {warning}")
