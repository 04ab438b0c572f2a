"""Drives a run: what the journal has is left alone, the rest is predicted and written into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from zoo import registries
from zoo.errors import ZooError
from zoo.executors.jobs import Job
from zoo.executors.journal import Entry, Identity, Journal
from zoo.executors.local import run_here
from zoo.executors.plan import LOCAL, Outcome, Run
from zoo.models import Model, Progress

EXISTS = "its outputs exist"


def run_jobs(
    run: Run,
    jobs: Sequence[Job],
    model: Model,
    *,
    folder: Path | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    part: str = "",
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Predict jobs; one that fails does not stop the others.

    Args:
        run: what to do.
        jobs: the jobs, from `plan_jobs`.
        model: the model, which workers load for themselves.
        folder: of the outputs of several jobs, with the journal; None for a single file.
        resume: whether to skip what the journal has as done or failed, with this input, model,
            options and outputs; without a journal, a job whose outputs exist.
        retry_failed: whether a resumed run tries again what failed.
        part: what is added to the names of the tables, of a shard.
        progress: called with the name of every stage as it begins, in this process alone.

    Yields:
        What became of every job: those that are skipped first.
    """
    journal = None
    if folder is not None:
        weights = model.card.weights.sha256 if model.card.weights else None
        options = {"threshold": run.threshold, **run.options}
        journal = Journal(folder, Identity(model.card.name, weights, options))
    left, reasons = [], dict[str, str]()
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
    if run.executor == LOCAL and not run.workers:
        outcomes = run_here(run, left, model, progress)
    else:
        outcomes = registries.executors.get(run.executor)(run, left)
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


def _kept(job: Job, entry: Entry, *, retry_failed: bool) -> Outcome | None:
    """What the journal says of a case that need not be run again; None if it is tried again."""
    if entry.status == "done":
        return Outcome(job, skipped=EXISTS)
    if retry_failed:
        return None
    said = f"failed before: {entry.reason}; --retry-failed tries again"
    return Outcome(job, error=ZooError(said), skipped=said)


def _journalled(journal: Journal, outcome: Outcome) -> Outcome:
    """The same, once it is in the journal; a failure where that cannot be written."""
    reason = None if outcome.error is None else " ".join(str(outcome.error).split())
    try:
        journal.write(outcome.job, outcome.facts, reason=reason)
    except ZooError as error:
        return replace(outcome, error=outcome.error or error)
    return outcome
