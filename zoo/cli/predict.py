"""The command `zoo predict`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from zoo.cli._console import caution, complain, remark, report_error, say
from zoo.cli._shared_options import (
    Address,
    BackendName,
    DeviceName,
    ExecutorName,
    Name,
    Retries,
    Timeout,
    Workers,
    threshold_of,
)
from zoo.cli._streams import with_standard_streams
from zoo.cli._task_options import TaskOptions, with_task_options
from zoo.errors import ConfigError, ZooError

if TYPE_CHECKING:
    from zoo.executors import CasePlan, Derivative, Input


STREAMED = dict.fromkeys(("output", "implant", "uncertainty"), ".nii.gz") | {
    "preview": ".png",
    "report": ".json",
    "statistics": ".json",
}


@with_standard_streams(STREAMED)
def predict(
    name: Name,
    source: Annotated[
        list[Path],
        typer.Option(
            "-i",
            "--input",
            metavar="PATH",
            help="Volumes, folders, patterns, lists, a BIDS dataset, or -.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Write the prediction here; a folder if there are several inputs. Default for"
            " images of a BIDS dataset: its derivatives/zoo-MODEL.",
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
    statistics: Annotated[
        Path | None,
        typer.Option(help="Segmentation: write volume and mean HU of each structure, .json, .csv."),
    ] = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="Segmentation: also write each structure to a file in a folder called like OUT.",
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip what is done: same input, weights, options."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume, try again what failed.")
    ] = False,
    executor: ExecutorName = "local",
    address: Address = None,
    workers: Workers = 0,
    timeout: Timeout = None,
    retries: Retries = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Only part I of N. Default: that of a Slurm array, if it is one."
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Only print the expected cost; of several inputs as CSV, to OUT.csv with -o.",
        ),
    ] = False,
    options: TaskOptions = MappingProxyType({}),
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Predict on one volume, on several, or on a folder of volumes.

    zoo predict NAME -i ct.nii.gz --threshold auto -o complete.nii.gz

    With several inputs, every output is a folder. An input that fails is
    reported, and the others go on. - stands for standard input, and for
    standard output in place of one output: NIfTI, JSON or PNG.
    """
    with Console(stderr=True, quiet=quiet).status("starting"):  # PyTorch takes a while to import
        from zoo.executors import Outputs, Predict, Run, inputs_of, plan_jobs, run_jobs
        from zoo.models import load
        from zoo.volumes import stem

    if uncertainty:
        options = {**options, "uncertainty": True}
    if plan and options:
        flag = min(options).replace("_", "-")
        raise ConfigError(f"--plan does not take --{flag}; leave it out")
    if plan:
        return _print_plans(load(name, backend=backend, device=device), source, threshold, output)
    files = (output, implant, report, preview, uncertainty, statistics)
    found = inputs_of(source, [path for path in files if path])
    derivative = _derivative(name, source, found, output)
    if derivative:
        output = derivative.folder
    elif output is None:
        raise ConfigError(
            "wanted -o PATH for the prediction, or images of a BIDS dataset, which has a place for"
            " it, or --plan (see --help)"
        )
    alone = len(source) == 1 and [each.path for each in found] == source
    part = (1, 1) if alone and not shard else shard_of(shard, os.environ)
    masks = output.parent / stem(output.name) if split else None
    outputs = Outputs(output, implant, report, preview, uncertainty, statistics, masks)
    jobs = plan_jobs(source, outputs, part, derivative, found)
    several = any(job.name for job in jobs) or part[1] > 1
    if strict:
        options = {**options, "strict": True}
    work = Predict(name, backend, device, threshold, options)
    run = Run(executor, address, workers, timeout, retries)
    # Nodes of a cluster need not be like this one, which only wants to know the model.
    failures, count = 0, len(jobs) if several else 1
    with Console(stderr=True, quiet=quiet).status("loading the model") as status:
        model = load(name) if address else load(name, backend=backend, device=device)
        if derivative:
            derivative.describe([path for job in jobs[:1] for path in job.outputs.paths()])
        if not run.here:
            status.update(f"0 of {count} cases")
        outcomes = run_jobs(
            work,
            jobs,
            model,
            run,
            folder=output if several else None,
            resume=resume,
            retry_failed=retry_failed,
            part=f".{part[0]}-of-{part[1]}" if part[1] > 1 else "",
            progress=status.update,
        )
        for number, outcome in enumerate(outcomes, 1):
            job, of_how_many = outcome.job, f"case {number} of {count}, " if several else ""
            status.stop()
            if outcome.error is not None:
                if not several:
                    raise outcome.error
                failures += 1
                report_error(_naming(job.source, outcome.error), outcome.error)
            elif outcome.skipped is not None:
                if not quiet:
                    say(f"{of_how_many}{job.source}: skipped, {outcome.skipped}")
            elif not quiet:
                if outcome.again:
                    say(f"{job.source}: predicted again: {outcome.again}")
                _print_result(job, outcome.facts, of_how_many)
            if several and not quiet and number % EVERY == 0:
                remark(f"{number} of {count} cases, {failures} failed")
            status.update(f"{number} of {count} cases")
            if outcome.skipped is None:  # it takes a thread, and the next is skipped as fast
                status.start()
    if failures:
        complain(f"{failures} of {count} inputs failed; the others are done")
        raise typer.Exit(1)


EVERY = 100  # cases from one line about a long run to the next


def shard_of(given: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """The part of the cases that this process takes, from 1 on, and the number of parts.

    Args:
        given: I/N; None for that of a Slurm array, or all.
        environment: where Slurm says which task of an array this is.

    Raises:
        ConfigError: it is not I/N.
    """
    if given is None:
        task, count = (environment.get(f"SLURM_ARRAY_TASK_{word}") for word in ("ID", "COUNT"))
        if task is None or count is None:
            return 1, 1
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1") or 1)
        return (int(task) - first) // step + 1, int(count)
    number, slash, parts = given.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal():
        raise ConfigError(f"--shard: wanted I/N, such as 2/8, got {given!r}")
    return int(number), int(parts)


def _derivative(
    name: str, source: list[Path], found: list[Input], output: Path | None
) -> Derivative | None:
    """The BIDS derivative that the predictions are to be; None if they are files of their own.

    It is one if a dataset is given by its root, or if all inputs are of one dataset and there is no
    `output`.
    """
    from zoo.cards import info
    from zoo.executors import Derivative, dataset_of_all

    root = dataset_of_all(found)
    if root is None or (output is not None and root not in map(_absolute, source)):
        return None
    return Derivative.of(info(name), root, output)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def extended(tasks: list[str]) -> Callable[..., None]:
    """The command `zoo predict` with the options of these tasks."""
    from zoo.models import Options

    return with_task_options(predict, Options, lambda task: task.prediction_options, tasks)


MACHINES = (1, 10, 100)  # what is said of a plan


def _print_plans(
    model: Any, sources: list[Path], threshold: float | str | None, output: Path | None
) -> None:
    from zoo.executors import inputs_of, plan_cases, plan_table
    from zoo.sparse import free_memory
    from zoo.volumes import atomic_path

    cases = inputs_of(sources)
    plans = list(plan_cases(model, cases, threshold))
    if len(plans) == 1 and output is None:
        (plan,), (case,) = plans, cases
        peak, where = plan.memory, ""
        if plan.device_memory is not None:
            peak, where = plan.device_memory, f" {model.device}"
        time = "" if plan.seconds is None else f"about {plan.seconds:.1f} s and "
        free = free_memory(model.device)
        return say(
            f"{case.path}: about {plan.occupied:,} occupied voxels, of {plan.voxels:,} in the file;"
            f" {time}a peak of {peak / 1e9:.2f} GB on {model.backend.name}{where};"
            f" {free / 1e9:.1f} GB are free"
        )
    table = plan_table(plans)
    if output is None:
        print(table, end="")
    else:
        if output.suffix.lower() != ".csv":
            raise ConfigError(
                f"{output}: wanted a name that ends in .csv for the plan; rename it, or leave -o"
                " out to print it"
            )
        with atomic_path(output) as temporary:
            temporary.write_text(table, encoding="utf-8")
    for line in needs(plans, free_memory(), os.cpu_count() or 1):
        remark(line)


def needs(plans: Sequence[CasePlan], free: int, cores: int) -> list[str]:
    """What a cohort needs in words: the memory of its largest case, and the time on machines.

    Args:
        plans: of its cases.
        free: bytes of memory that a machine has for them.
        cores: of a machine.
    """
    largest = max(plan.memory for plan in plans)
    lines = [f"{len(plans)} cases; the largest needs {largest / 1e9:.2f} GB"]
    if any(plan.seconds is None for plan in plans):
        return lines
    from tqdm import tqdm

    total = sum(plan.seconds or 0.0 for plan in plans)
    beside = max(min(cores, free // largest), 1)
    times = ", ".join(f"{tqdm.format_interval(total / n)} on {n}" for n in MACHINES)
    lines.append(
        f"about {times} machines like this one, of {cores} cores and {free / 1e9:.0f} GB free,"
        f" where --workers {beside} fit"
    )
    return lines


def _naming(source: Path, error: ZooError) -> str:
    return str(error) if str(source) in str(error) else f"{source}: {error}"


def _print_result(job: Any, facts: Mapping[str, Any], of_how_many: str) -> None:
    stages = {**facts["timings"], "compile": facts["seconds_compiling"]}
    stages["write"] = stages.pop("write")  # which comes last
    parts = ", ".join(f"{name} {part:.1f}" for name, part in stages.items() if part)
    resampling = facts["grid"]
    how = "resampled to" if resampling["resampled"] else "used at"
    found = f"{facts['voxels_out']:,} in the prediction"
    if facts["task"] == "completion":
        found = f"added {facts['voxels_out'] - facts['voxels_in']:,}"
    say(
        f"{of_how_many}{job.source}: {facts['voxels_in']:,} occupied voxels of"
        f" {_in_words(facts['input'])}, {how} {_times(resampling['spacing'])} mm; {found};"
        f" {facts['seconds']:.1f} s on {facts['backend']} ({parts}) -> {job.outputs.volume}"
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


UNITS = {  # what is said where a header does not give millimetres
    "unknown": " (no unit in the header)",
    "meter": " (metres in the header)",
    "micron": " (micrometres in the header)",
}


def _in_words(given: Mapping[str, Any]) -> str:
    """What was found out about an input."""
    unit = f"mm{UNITS.get(given['unit'], '')}"
    words = [_times(given["shape"]), given["orientation"], f"{_times(given['spacing'])} {unit}"]
    if (threshold := given["threshold"]) is not None:
        number = threshold if isinstance(threshold, str) else f"{threshold:g}"
        words.append(f"threshold {number}")
    return ", ".join(words)


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
