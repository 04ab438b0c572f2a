"""The command `zoo verify`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli._console import complain, err, print_json, print_table, report_error, say
from zoo.cli._progress import Bars, Lines
from zoo.cli._shared_options import Address, AsJson, ExecutorName, Workers
from zoo.errors import ConfigError, ZooError

if TYPE_CHECKING:
    from zoo.executors import Outcome, Run, Verify

ALL = "all"  # of --backends


def verify(
    name: Annotated[
        str, typer.Argument(help="As for predict. Default: every installed model.")
    ] = "",
    backends: Annotated[
        str,
        typer.Option(
            help="Comma-separated, or all. Default: the one that predictions take here; others can"
            " take minutes."
        ),
    ] = "",
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY.pem", help="Also check that all files are signed by this public key."
        ),
    ] = None,
    executor: ExecutorName = "local",
    address: Address = None,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Check a model's weights, and its prediction for its reference case.

    The exit status is 2 if the weights are not the ones that the card pins, or if
    a prediction differs from the reference. At most one voxel in a thousand may
    differ, as rounding differs between machines.
    """
    from zoo.cards import info, list_models
    from zoo.executors import Run, Verify
    from zoo.models import Verdict

    if key and not name:
        raise ConfigError("wanted the NAME of a model with --key: whose files are to be signed?")
    # A name without a tag stands for one of the others.
    names = [name] if name else [each for each in list_models() if info(each).name == each]
    work = Verify(chosen(backends), local_files_only=not name, key=key)
    found: dict[str, list[Verdict]] = {each: [] for each in names}
    failures = []
    for outcome in _outcomes(work, names, Run(executor, address, workers)):
        if outcome.error:
            if name:
                raise outcome.error
            report_error(f"{outcome.job}: {outcome.error}", outcome.error)
            failures.append(outcome.job)
        else:
            found[outcome.job] = [Verdict(**fields) for fields in outcome.facts["verdicts"]]
    verdicts = [verdict for each in found.values() for verdict in each]
    differing = [verdict for verdict in verdicts if verdict.works and not verdict.agrees]
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
    elif verdicts:
        print_table([verdict.row() for verdict in verdicts])
        for backend, reason in {v.backend: v.detail for v in verdicts if not v.works}.items():
            say(f"{backend}: {reason}")
        if key:
            say(f"{name}: all files are signed by {key}")
    for verdict in differing:
        complain(f"{verdict.model} on {verdict.backend}: {verdict.detail}")
    if count := len(failures) + len(differing):
        raise ZooError(f"{count} checks failed")


def chosen(backends: str) -> tuple[str, ...] | None:
    """The backends that --backends names; None is all."""
    from zoo.sparse import select_backend, torch_device

    if backends == ALL:
        return None
    return tuple((backends or select_backend("auto", torch_device("auto")).name).split(","))


def _outcomes(work: Verify, names: list[str], run: Run) -> Iterator[Outcome[str]]:
    """What became of each model, while it is said which it is."""
    from zoo.executors import attempt, memory_to_verify, spread

    on = ", ".join(work.backends or ["every backend"])
    with Bars() if err.is_terminal else Lines() as shown:
        if run.here and not run.address:
            for number, name in enumerate(names):
                shown.part(f"{name} on {on}: model", number + 1, len(names))
                yield attempt(work, name)
        else:
            shown.part(f"models on {on}:", 0, len(names))
            outcomes = spread(work, names, run, memory_to_verify)
            for number, outcome in enumerate(outcomes, 1):
                shown.part(f"models on {on}:", number, len(names))
                yield outcome
