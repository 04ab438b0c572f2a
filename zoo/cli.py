"""The `zoo` command. Exit status 2 and one line on stderr for wrong usage or bad input."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track

from zoo.console import complain, err, out, print_facts, print_json, print_table, say
from zoo.errors import ConfigError, ZooError

INTERRUPTED = 130  # what typer, and a shell, makes of Ctrl-C

app = typer.Typer(
    help="A plug-in model zoo of sparse CNNs for medical volumes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Name = Annotated[str, typer.Argument(help="A model's name, hf-hub:ORG/REPO or local-dir:PATH.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Chain = Annotated[bool, typer.Option("--chain", help="Super-resolution: coarser models go before.")]
BackendName = Annotated[str, typer.Option("--backend", help="Backend, or auto.")]
DeviceName = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, ... or auto.")]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    logging.disable(logging.NOTSET if debug else logging.CRITICAL)  # libraries' own lines
    try:
        status = app([word for word in words if word != "--debug"], "zoo", standalone_mode=False)
        _flush()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        complain(_reason(error))
        return 2
    finally:
        logging.disable(logging.NOTSET)
    if status == INTERRUPTED:
        complain("interrupted; what was not finished was not written")
    return status or 0


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads on, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, ZooError):
        return str(error)
    if hasattr(error, "format_message"):  # a usage error of typer's
        return f"{error.format_message() or 'wanted a command'} (see --help)"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


plugin = typer.Typer(no_args_is_help=True, help="Make a plugin.")
app.add_typer(plugin, name="plugin")


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Every command takes --help and --debug."""


@app.command("list")
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


@app.command()
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


@app.command()
def download(name: Name, as_json: AsJson = False) -> None:
    """Fetch a model's files into the Hugging Face cache, for machines without a network."""
    from zoo.loading import download as fetch

    fetched = fetch(name)
    if as_json:
        return print_json({file: str(path) for file, path in fetched.items()})
    for file, path in fetched.items():
        say(f"{file}: {path}")
    say(f"{name}: the sha256 of its weights is its card's")


@app.command()
def push(
    name: Name,
    repo: Annotated[str, typer.Argument(help="ORG/REPO on the Hub; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make a private one.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; made if it is not there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a model on the Hugging Face Hub, or on the server that HF_ENDPOINT names.

    zoo push local-dir:runs/mine/model ORG/REPO

    The token is that of `hf auth login`, or HF_TOKEN.
    """
    from zoo.loading import load

    published = load(name).push_to_hub(repo, private=private, revision=revision)
    if as_json:
        return print_json(asdict(published))
    say(published.url)
    say(f"load it as {published.name}")


@app.command()
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


@app.command()
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
        say(
            f"{source}: {cost.voxels:,} occupied voxels in {' x '.join(map(str, cost.shape))}; "
            f"about {cost.seconds:.1f} s and {cost.peak_memory / 1e9:.2f} GB at the peak on "
            f"{model.backend.name}; {cost.free_memory / 1e9:.1f} GB are free"
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


@app.command()
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


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Training config, YAML.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")],
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that make the data.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 leaves torch's choice.")] = 0,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Multiply matrices in bfloat16.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of generated data, to share; OUTPUT/cache if empty.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train a model; writes checkpoints, a log, a curve and, at the end, the model's folder.

    Several GPUs: accelerate launch --num_processes N -m zoo train CONFIG -o OUTPUT

    Several CPU processes: torchrun --nproc_per_node N -m zoo train CONFIG -o OUTPUT -d cpu
    """
    from zoo.training.command import train as run

    line = run(
        config,
        output,
        backend=backend,
        device=device,
        workers=workers,
        threads=threads,
        mixed_precision=mixed_precision,
        cache=cache,
        resume=resume,
        console=err,
    )
    if line:
        say(line)


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="File of torch.save's: a state_dict.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the model.")],
    architecture: Annotated[str, typer.Option(help="Of the network, such as sparse-completion.")],
    config: Annotated[
        str, typer.Option(help="What shapes do not tell: JSON, or the path of a file of it.")
    ] = "{}",
    name: Annotated[
        str | None, typer.Option(help="On the card; made of the file's name if not given.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(metavar="MM", help="Voxel size that it was trained on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a model of a PyTorch checkpoint, of MinkowskiEngine or the zoo's own network.

    zoo convert skull_completion_512.pth -o mine --architecture sparse-completion

    Nothing in the file is run; every tensor of the state_dict is used, or it is refused.
    """
    from zoo.convert import convert as run
    from zoo.convert import read_settings

    report = run(
        checkpoint,
        output,
        architecture=architecture,
        config=read_settings(config),
        name=name,
        spacing=spacing,
    )
    if as_json:
        return print_json(asdict(report))
    for line in report.lines():
        say(line)


@app.command()
def phantom(
    kind: Annotated[str, typer.Argument(help="What to generate: skull or thorax.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write into.")],
    resolution: Annotated[int, typer.Option(min=8, max=1024, help="Voxels along an edge.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first one.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
) -> None:
    """Generate phantoms: skulls with defects and implants, or chest CTs with labelled organs."""
    from zoo.phantom_files import KINDS

    if kind not in KINDS:
        raise ConfigError(f"unknown phantom {kind!r}; there are: {', '.join(KINDS)}")
    for number in track(range(count), "generating", console=err, disable=not err.is_terminal):
        KINDS[kind](output, number, seed + number, resolution)
    say(f"{count} {kind} phantoms of {resolution}^3 -> {output}")


@app.command()
def bench(
    resolutions: Annotated[str, typer.Option(help="Voxels along an edge.")] = "64,128,256",
    channels: Annotated[
        list[str] | None, typer.Option(help="Of the network, one a level; repeat for more.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="completion: a skull; segmentation: a chest.")
    ] = "completion",
    backends: Annotated[str, typer.Option(help="Which; all that are installed if empty.")] = "",
    volume: Annotated[Path | None, typer.Option(help="A binary volume, not a phantom.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Measure training steps too.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for one measurement at most.")] = 900,
    plot: Annotated[Path | None, typer.Option(help="Write the figure here, PNG.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure speed and memory against peers, each in a process of its own."""
    from zoo.benchmark.command import bench as run
    from zoo.benchmark.command import table

    result = run(
        resolutions,
        channels or [],
        backends,
        task=task,
        volume=volume,
        train=train,
        timeout=timeout,
        picture=plot,
        output=output,
        console=err,
    )
    if as_json:
        return print_json(result)
    print_table(table(result["rows"]))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show which backends work here, how to get the others, and what plugins bring or break."""
    from zoo.doctor import check_backends, plugin_parts, plugin_problems
    from zoo.report import versions

    checks, problems = [asdict(check) for check in check_backends()], plugin_problems()
    parts, known = plugin_parts(), versions()
    if as_json:
        facts = {"versions": known, "backends": checks, "plugins": parts, "problems": problems}
        return print_json(facts)
    say("  ".join(f"{key} {value}" for key, value in known.items()))
    print_table(checks)
    if parts:
        print()
        print_table(parts)
    for problem in problems:
        say(f"broken plugin: {problem}")


@plugin.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the package: a-z, 0-9 and dashes.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Make its folder in here.")
    ] = Path(),
) -> None:
    """Write a package with an architecture, a model and tests, which installs as it is."""
    from zoo.scaffold import new_plugin as run

    folder = run(name, output)
    say(f"{folder}: now  pip install '{folder}[test]'  and  pytest {folder}")
