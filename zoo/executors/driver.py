"""Drives a run: what the journal has is left alone, the rest is predicted and written into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from zoo import registries
from zoo.cards import weights_of
from zoo.errors import ConfigError, ZooError
from zoo.executors.jobs import Job
from zoo.executors.journal import Entry, Identity, Journal
from zoo.executors.memory import Memory
from zoo.executors.running import Predict, run_job
from zoo.executors.runs import HERE, LOCAL, Executor, J, Outcome, Run, Work, attempt
from zoo.models import Model, Progress, numbered, silent
from zoo.volumes import remove_abandoned

EXISTS = "its outputs exist"


def run_jobs(
    work: Predict,
    jobs: Sequence[Job],
    model: Model,
    run: Run = HERE,
    *,
    folder: Path | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    part: str = "",
    progress: Progress | None = None,
) -> Iterator[Outcome[Job]]:
    """Predict jobs; one that fails does not stop the others.

    What processes that were killed, of this run or an earlier one, left half-written in folders of
    outputs is removed at the end.

    Args:
        work: what to do.
        jobs: the jobs, from `plan_jobs`.
        model: the model of that work, for this process; others load it themselves.
        run: where and how; in this process unless it asks for another.
        folder: of the outputs of several jobs, with the journal; None for a single file.
        resume: whether to skip what the journal has as done or failed, with this input, model,
            options and outputs; without a journal, a job whose outputs exist.
        retry_failed: whether a resumed run tries again what failed.
        part: what is added to the names of the tables, of a shard.
        progress: called with the name of every stage as it begins, and which case of how many it
            is, in this process alone.

    Yields:
        What became of every job: those that are skipped first.

    Raises:
        ConfigError: the executor does not have what `run` asks for.
    """
    check_address(run)
    journal = None
    if folder is not None:
        weights = weights_of(model.card)
        options = {"threshold": work.threshold, **work.options}
        journal = Journal(folder, Identity(model.card.name, weights, options))
    left, reasons, told = [], dict[str, str](), progress or silent
    for job in jobs:
        outcome = None
        if resume and journal is None and job.done():
            outcome = Outcome(job, skipped=EXISTS)
        elif resume and journal is not None and (entry := journal.read(job)):
            reason = journal.why_again(job, entry)
            if reason is None:
                outcome = _kept(job, entry, retry_failed=retry_failed)
            else:
                reasons[job.name] = reason
        if outcome is None:
            left.append(job)
        else:
            yield outcome
    if run.here:
        outcomes: Iterator[Outcome[Job]] = (
            attempt(partial(run_job, model, work=work, progress=numbered(told, n, len(jobs))), job)
            for n, job in enumerate(left, len(jobs) - len(left) + 1)
        )
    else:
        outcomes = spread(work, left, run, Memory(model))
    try:
        for outcome in outcomes:
            if journal is None:
                yield outcome
            else:
                again = reasons.get(outcome.job.name)
                yield replace(_journalled(journal, outcome), again=again)
    finally:
        if journal is not None:
            journal.summarise(jobs, part)
            for root in _roots(jobs) | {journal.folder}:
                remove_abandoned(root)


def _roots(jobs: Sequence[Job]) -> set[Path]:
    """The folders of outputs that are in none of the others."""
    folders = {folder for job in jobs for folder in job.folders}
    return {folder for folder in folders if folders.isdisjoint(folder.parents)}


def check_address(run: Run) -> None:
    """Raise ConfigError if there is an address that the executor has no use for."""
    if run.executor == LOCAL and run.address:
        raise ConfigError(f"--address: {LOCAL} is this machine; name an executor with --executor")


def spread(
    work: Work[J], jobs: Sequence[J], run: Run, memory: Callable[[J], int]
) -> Iterator[Outcome[J]]:
    """Do work over many jobs where `run` says.

    Args:
        work: what to do.
        jobs: what with.
        run: where and how.
        memory: as for `Run`; a `Memory` learns from every outcome.

    Raises:
        ConfigError, NotRegistered: the executor does not have what `run` asks for, or is unknown.
    """
    check_address(run)
    executor: Executor = registries.executors.get(run.executor)
    return _learnt(executor(work, jobs, replace(run, memory=memory)), memory)


def _learnt(outcomes: Iterator[Outcome[J]], memory: object) -> Iterator[Outcome[J]]:
    for outcome in outcomes:
        if isinstance(memory, Memory):
            memory.learn(outcome)
        yield outcome


def _kept(job: Job, entry: Entry, *, retry_failed: bool) -> Outcome[Job] | None:
    """What the journal says of a case that need not be run again; None if it is tried again."""
    if entry.status == "done":
        return Outcome(job, skipped=EXISTS)
    if retry_failed:
        return None
    said = f"failed before: {entry.reason}; --retry-failed tries again"
    return Outcome(job, error=ZooError(said), skipped=said)


def _journalled(journal: Journal, outcome: Outcome[Job]) -> Outcome[Job]:
    """The same, once it is in the journal; a failure where that cannot be written."""
    try:
        journal.write(outcome)
    except ZooError as error:
        return replace(outcome, error=outcome.error or error)
    return outcome
