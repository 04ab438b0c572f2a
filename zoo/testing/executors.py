"""Checks executors: every job ends once, whatever becomes of the process that it was in."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zoo.executors import Executor, Outcome, Run
from zoo.testing._expecting import expect

WELL = ("first", "second", "third", "last")  # jobs that nothing happens to
TIMEOUT = 3.0  # seconds


def check_executor(executor: Executor, run: Run) -> None:
    """Check that an executor loses and repeats nothing, whether jobs fail, die or hang.

        from zoo.testing import check_executor

        def test_my_executor():
            check_executor(run_on_mine, Run(workers=2))

    Args:
        executor: `(work, jobs, run) -> outcomes`.
        run: where; its time-out and retries are chosen here.

    Raises:
        AssertionError: a job has no outcome, or two; one that succeeds was done twice; a failure is
            not said, or not counted.
    """
    jobs = [*WELL[:3], "raises", "too large", "dies", "dies once", "hangs", WELL[3]]
    with TemporaryDirectory() as folder:
        work = _Trouble(Path(folder))
        run = Run(run.executor, run.address, run.workers, timeout=TIMEOUT, retries=1)
        found = list(executor(work, jobs, run))
        got = sorted(outcome.job for outcome in found)
        expect(got == sorted(jobs), f"wanted every job once, got {', '.join(got)}")
        outcomes = {outcome.job: outcome for outcome in found}
        _check_successes([outcomes[job] for job in (*WELL, "dies once")], work)
    for job, said, attempts in (
        ("raises", "no such thing", 1),
        ("too large", "allocate", 1),
        ("dies", "its process died", 2),
        ("hangs", f"took longer than {TIMEOUT:g} s", 2),
    ):
        outcome, message = outcomes[job], str(outcomes[job].error)
        expect(said in message, f"{job!r}: wanted an error with {said!r}, got {message}")
        expect(
            outcome.attempts == attempts,
            f"{job!r}: wanted {attempts} attempts, got {outcome.attempts}",
        )


def _check_successes(outcomes: Sequence[Outcome[str]], work: _Trouble) -> None:
    for outcome in outcomes:
        job, tries = outcome.job, 1 + (outcome.job not in WELL)
        expect(outcome.error is None, f"{job!r}: wanted success, got {outcome.error}")
        facts = dict(outcome.facts)
        expect(facts.pop("node", None), f"{job!r}: wanted the name of the node, got none")
        expect(facts == {"job": job}, f"{job!r}: wanted what its work returned, got {facts}")
        expect(
            work.tries(job) == outcome.attempts == tries,
            f"{job!r}: wanted {tries} tries, got {work.tries(job)}; {outcome.attempts} are counted",
        )


class _CannotBePickled(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


@dataclass(frozen=True)
class _Trouble:
    """Work whose jobs are named for what happens to them; the folder counts tries, a byte each."""

    folder: Path
    device: str = "cpu"

    def load(self) -> None:
        pass

    def __call__(self, job: str) -> dict[str, Any]:
        with (self.folder / job).open("ab") as file:
            file.write(b".")
        if job == "raises":
            raise _CannotBePickled("no such", "thing")
        if job == "too large":
            np.ones(2**60, np.uint8)
        if job == "dies" or (job == "dies once" and self.tries(job) == 1):
            os._exit(137)  # the exit status of what is killed for its memory
        if job == "hangs":
            time.sleep(1000)
        return {"job": job}

    def tries(self, job: str) -> int:
        return (self.folder / job).stat().st_size
