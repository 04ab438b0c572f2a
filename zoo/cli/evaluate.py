"""The command `zoo evaluate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._console import caution, complain, print_json, print_table, report_error, say
from zoo.cli._progress import counted
from zoo.cli._shared_options import (
    Address,
    AsJson,
    BackendName,
    DeviceName,
    ExecutorName,
    Name,
    Retries,
    Timeout,
    Workers,
    threshold_of,
)
from zoo.cli._task_options import TaskOptions, with_task_options
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.evaluation import Measure, Result

SHORT = 20  # a case's name of so many characters, or fewer, is never folded
MOST_ROWS = 20  # cases that the terminal shows


def evaluate(
    name: Name,
    data: Annotated[Path, typer.Option(help="Folder of a data set, or a CSV file of cases.")],
    layout: Annotated[
        str | None, typer.Option(help="Layout of the data set; recognised if left out.")
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(help="Only score the cases that this text file names, one per line."),
    ] = None,
    threshold: Annotated[
        Any,
        typer.Option(
            metavar="T|auto",
            parser=threshold_of,
            help="For scans: voxels above it are occupied; auto finds the skull in a CT.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the defects that are cut.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUTDIR",
            help="Write cases.csv, summary.json and pictures to this folder.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip cases that already have scores in OUTDIR.")
    ] = False,
    pictures: Annotated[
        int | None,
        typer.Option(min=0, help="How many of the worst cases to draw. Default: 1 with -o."),
    ] = None,
    options: TaskOptions = MappingProxyType({}),
    backend: BackendName = "auto",
    device: DeviceName = "auto",
    executor: ExecutorName = "local",
    address: Address = None,
    workers: Workers = 0,
    timeout: Timeout = None,
    retries: Retries = 1,
    as_json: AsJson = False,
) -> None:
    """Score a model on cases with ground truth.

    zoo evaluate NAME --data SkullBreak -o scores

    Completion: for the implant, Dice, border Dice (within 10 mm of the input)
    and Hausdorff distances in mm; for the complete shape, Dice and the share of
    the grid's voxels that are wrong. Without an implant the distances are
    infinite: null in JSON, and left out of mean and median.

    Super-resolution: complete skulls are made coarse and refined again; Dice and
    the share of wrong voxels, also that of interpolation.

    Segmentation: Dice, surface Dice (the share of the surfaces that is within
    --tolerance mm of the other) and 95th percentile Hausdorff distance of every
    structure and their means, on the scan's own grid. A structure that is neither
    in the prediction nor in the ground truth has no score and is left out; one
    that is in only one of them scores 0, and its distance is infinite.

    A case that fails is reported and the others are still scored: the exit
    status is 0 if any case was scored, and 2 if none was. --resume tries failed
    cases again; weights, threshold and seed must be the same as before.
    """
    from zoo.datasets import recognised
    from zoo.evaluation import evaluate as in_this_process
    from zoo.evaluation import evaluate_cases
    from zoo.executors import Run, ScoreCase, scored_by

    settings = {"threshold": threshold, "seed": seed, **options}
    run = Run(executor, address, workers, timeout, retries)
    work = ScoreCase(name, backend, device, settings)
    if address:  # nodes of a cluster need not be like this one, which draws pictures
        backend = device = "auto"

    def track(outcomes: Iterator[Any], count: int) -> Iterable[Any]:
        unsaid = not as_json  # with the first score, as it may be a wrong guess
        for case, outcome in counted(outcomes, "scoring", count):
            if unsaid and not isinstance(outcome, ZooError):
                say(f"{data}: taken for a data set of layout {layout or recognised(data)}")
                unsaid = False
            yield case, outcome

    result = evaluate_cases(
        name,
        data,
        layout=layout,
        split=split,
        settings=settings,
        output=output,
        resume=resume,
        pictures=pictures,
        backend=backend,
        device=device,
        track=track,
        evaluate=in_this_process if run.here and not address else scored_by(work, run),
    )
    if as_json:
        print_json(result.facts)
    else:
        rows = case_table(result)
        short = all(len(row["case"]) <= SHORT for row in rows)
        print_table(rows, whole=("case",) if short else ())
        print()
        print_table(summary_table(result))
        for line in remarks(result):
            say(line)
    for case in result.facts["cases"]:
        if case["warnings"]:
            caution(f"{case['case']}: {case['warnings']}")
    failures, scored = result.failures, len(result.facts["cases"])
    for case, error in failures.items():
        report_error(f"{case}: {error}", error)
    if failures:
        complain(f"{len(failures)} of {len(failures) + scored} cases failed; the others are scored")


def extended(tasks: list[str]) -> Callable[..., None]:
    """The command `zoo evaluate` with the options of these tasks."""
    from zoo.evaluation import Settings

    return with_task_options(evaluate, Settings, lambda task: task.settings_class, tasks)


def case_table(result: Result) -> list[dict[str, str]]:
    """The scores of cases for the terminal: all in order, or only the worst if there are many."""
    cases, measures = result.facts["cases"], result.measures
    if len(cases) > MOST_ROWS:
        first, measure = next(iter(measures.items()))
        cases = sorted(cases, key=lambda case: _badness(measure, case[first]))[:MOST_ROWS]
    return [
        {"case": case["case"]}
        | {
            measure.heading: measure.cell(case[key])
            for key, measure in measures.items()
            if not measure.minor
        }
        for case in cases
    ]


def _badness(measure: Measure, value: float | None) -> float:
    """What sorts the worst value first, and cases without one last."""
    if value is None:
        return math.inf
    return value if measure.high else -value


def summary_table(result: Result) -> list[dict[str, str]]:
    """The summary for the terminal."""
    return [
        {"measure": measure.heading}
        | {
            column: measure.cell(result.facts["summary"][key][column])
            for column in ("mean", "median", "worst")
        }
        for key, measure in result.measures.items()
    ]


def remarks(result: Result) -> list[str]:
    """Remarks on what the tables do not show, one per line."""
    facts = result.facts
    lines, count = [], len(facts["cases"])
    if count > MOST_ROWS:
        lines.append(
            f"the {MOST_ROWS} worst of {count} cases; --json prints them all, -o writes them all"
        )
    if without := facts["without_prediction"]:
        lines.append(f"the prediction is empty for {without} of {count} cases")
    for name, measure in result.measures.items():
        unscored = count - facts["summary"].get(name, {"cases": count})["cases"]
        if unscored and measure.high and not measure.minor:
            lines.append(
                f"{measure.heading}: {unscored} of {count} cases have no score, as it is not"
                " labelled, or not there and not found; mean and median leave them out"
            )
    left_out = count - facts["summary"].get("hd95", {"cases": count})["cases"]
    if left_out:
        lines.append(f"mean and median leave out the infinite distances of {left_out} cases")
    return lines
