"""What a user asks of models: listing, predicting, scoring, verifying."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track

from zoo.commands.options import AsJson, BackendName, Chain, DeviceName, Name
from zoo.console import complain, err, out, print_facts, print_json, print_table, say
from zoo.errors import ConfigError, ZooError


def list_(
    pattern: Annotated[str, typer.Argument(help="Shell-style pattern of names.")] = "*",
    task: Annotated[str | None, typer.Option(help="Only models for this task.")] = None,
    as_json: AsJson = False,
) -> None:
    """List models."""
    from zoo import registries
    from zoo.cards import Task
    from zoo.loading import info, list_models

    if task is not None and task not in get_args(Task):
        raise ConfigError(f"unknown task {task!r}; there are: {', '.join(get_args(Task))}")
    rows = []
    for name in list_models(pattern, task=task):
        row = {"name": name, "task": "-", "architecture": "-"}
        try:
            card = info(name)
            row |= {"task": card.task, "architecture": card.architecture}
        except ZooError as error:
            complain(str(error))
        rows.append({**row, "origin": registries.cards.origin(name)})
    if as_json:
        return print_json(rows)
    if not rows:
        return say(f"no model matches {pattern!r}" + (f" and does {task}" if task else ""))
    print_table(rows)


def info(name: Name, as_json: AsJson = False) -> None:
    """Show a model's card, and where it comes from."""
    from zoo import registries
    from zoo.loading import info as card_of
    from zoo.loading import is_remote

    card = card_of(name)
    origin = {"origin": name if is_remote(name) else registries.cards.origin(name)}
    if as_json:
        return print_json(card.model_dump(mode="json") | origin)
    facts = card.model_dump(mode="json", exclude={"metadata", "text"}, exclude_none=True)
    print_facts(facts | origin)
    print()
    if out.is_terminal:
        out.print(Markdown(card.text))
    else:
        print(card.text)


def predict(
    name: Name,
    source: Annotated[
        list[Path],
        typer.Option("-i", "--input", metavar="PATH", help="A volume or folder; repeat for more."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PATH", help="The answer; a folder for several inputs."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Voxels above it are occupied; for scans.")
    ] = None,
    implant: Annotated[Path | None, typer.Option(help="Write what was added here too.")] = None,
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    preview: Annotated[Path | None, typer.Option(help="Write a picture here, PNG.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write facts about the run, JSON.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip what has its outputs.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would cost.")] = False,
    chain: Chain = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Predict on one volume, several, or a folder.

    zoo predict NAME -i ct.nii.gz --threshold 200 -o complete.nii.gz

    Several inputs need folders for every output. A case that fails is reported; the others go on.
    """
    from zoo.batch import Outputs, plan_jobs, run_jobs
    from zoo.loading import load

    if plan and chain:
        raise ConfigError("--plan is of one model alone: leave --chain out")
    if plan:
        return _print_plans(load(name, backend=backend, device=device), source, threshold)
    if output is None:
        raise ConfigError("wanted -o PATH, where the answer goes, or --plan (see --help)")
    jobs = plan_jobs(source, Outputs(output, implant, report, preview))
    model = load(name, backend=backend, device=device)
    failures = 0
    with Console(stderr=True, quiet=quiet).status("") as status:
        results = run_jobs(
            model, jobs, threshold=threshold, chain=chain, resume=resume, progress=status.update
        )
        for job, result in results:
            if isinstance(result, ZooError):
                if len(jobs) == 1:
                    raise result
                failures += 1
                complain(_naming(job.source, result))
            elif not quiet:
                _print_result(job, result)
    if failures:
        raise ZooError(f"{failures} of {len(jobs)} inputs failed; the others are done")


def _print_plans(model: Any, sources: list[Path], threshold: float | None) -> None:
    from zoo.batch import volumes

    for source in volumes(sources):
        cost = model.plan(source, threshold=threshold)
        peak, free, where = cost.peak_memory, cost.free_memory, ""
        if cost.peak_device_memory is not None and cost.free_device_memory is not None:
            peak, free, where = cost.peak_device_memory, cost.free_device_memory, f" {model.device}"
        say(
            f"{source}: {cost.voxels:,} occupied voxels in {' x '.join(map(str, cost.shape))}; "
            f"about {cost.seconds:.1f} s and {peak / 1e9:.2f} GB at the peak on "
            f"{model.backend.name}{where}; {free / 1e9:.1f} GB are free"
        )


def _naming(source: Path, error: ZooError) -> str:
    return str(error) if str(source) in str(error) else f"{source}: {error}"


def _print_result(job: Any, result: Any) -> None:
    if result is None:
        return say(f"{job.source}: done before")
    facts = result.report
    seconds = sum(facts["timings"].values())
    grid = facts["grid"]
    how = "resampled to" if grid["resampled"] else "used at"
    spacing = " x ".join(f"{value:.3g}" for value in grid["spacing"])
    answer = f"{facts['voxels_out']:,} in the answer"
    if result.implant is not None:
        answer = f"added {facts['voxels_out'] - facts['voxels_in']:,}"
    say(
        f"{job.source}: {facts['voxels_in']:,} occupied voxels, {how} {spacing} mm; "
        f"{answer}; {seconds:.1f} s on {facts['backend']} -> {job.outputs.volume}"
    )


def evaluate(
    name: Name,
    data: Annotated[Path, typer.Option(help="Folder of a data set, or a CSV of cases.")],
    layout: Annotated[
        str | None, typer.Option(help="Of the data set; recognised if not given.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Only the cases that this text file names, one a line.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Voxels above it are occupied; for scans.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of defects that are cut.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUTDIR",
            help="Write cases.csv, summary.json and pictures into this folder.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip cases that OUTDIR has scores of.")
    ] = False,
    pictures: Annotated[
        int | None,
        typer.Option(min=0, help="Draw so many of the worst cases; 1 with -o."),
    ] = None,
    factor: Annotated[
        int | None,
        typer.Option(min=2, help="Super-resolution: how coarse the input is made; 2 if not given."),
    ] = None,
    chain: Chain = False,
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model on cases with known answers.

    zoo evaluate NAME --data SkullBreak -o scores

    Completion. Of the implant: Dice, border Dice (within 10 mm of the input) and
    Hausdorff distances in mm. Of the whole: Dice, and the share of the grid's
    voxels that are wrong. A distance is infinite where there is no implant: null
    in JSON, and left out of mean and median.

    Super-resolution. Complete skulls are made coarse; Dice and wrong voxels of
    the answer, and wrong voxels of interpolation.

    Segmentation. Dice of every structure, and the means.

    A case that fails is reported and the others go on: the exit status is 0 if
    any case was scored, and 2 if none was. --resume tries failed ones again; it
    wants the same weights, threshold and seed as before.
    """
    from zoo.evaluate_command import case_table, evaluate_cases, remarks, summary_table

    result = evaluate_cases(
        name,
        data,
        layout=layout,
        split=split,
        threshold=threshold,
        seed=seed,
        output=output,
        resume=resume,
        pictures=pictures,
        factor=factor,
        chain=chain,
        backend=backend,
        device=device,
        console=err,
    )
    facts = result.facts
    if as_json:
        print_json(facts)
    else:
        print_table(case_table(result))
        print()
        print_table(summary_table(result))
        for line in remarks(result):
            say(line)
    failures, scored = facts["failures"], len(facts["cases"])
    for case, reason in failures.items():
        complain(f"{case}: {reason}")
    if failures:
        complain(f"{len(failures)} of {len(failures) + scored} cases failed; the others are scored")


def verify(
    name: Annotated[str, typer.Argument(help="As for predict; every model here if empty.")] = "",
    backends: Annotated[str, typer.Option(help="Which, a comma between; all if empty.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check a model's sha256, and its answer to its golden case on every backend that works here.

    The exit status is 2 if weights are not what the card pins, or a backend answers otherwise. An
    answer agrees if at most one voxel in a thousand differs: rounding differs between machines.
    """
    from zoo.loading import list_models
    from zoo.verifying import verify as run

    verdicts: list[Any] = []
    failures = []
    for each in [name] if name else list_models():
        chosen = backends.split(",") if backends else None
        checks = run(each, chosen, local_files_only=not name)
        try:
            verdicts += track(
                checks, each, console=err, disable=not err.is_terminal, transient=True
            )
        except ZooError as error:
            if name:
                raise
            failures.append(str(error))
    failures += [
        f"{verdict.model} on {verdict.backend}: {verdict.detail}"
        for verdict in verdicts
        if verdict.works and not verdict.agrees
    ]
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
    elif verdicts:
        print_table([verdict.row() for verdict in verdicts])
        for backend, reason in {v.backend: v.detail for v in verdicts if not v.works}.items():
            say(f"{backend}: {reason}")
    for failure in failures:
        complain(failure)
    if failures:
        raise ZooError(f"{len(failures)} checks failed")
