"""Runs jobs on this machine: one after another here, or in worker processes."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from time import monotonic
from typing import Any

from zoo.errors import ZooError, as_zoo_error
from zoo.executors.jobs import Job
from zoo.executors.plan import Outcome, Run
from zoo.executors.running import run_job
from zoo.models import Model, Progress, load

GRACE = 5.0  # seconds that a worker has to end by itself


def run_here(
    run: Run, jobs: Sequence[Job], model: Model, progress: Progress | None = None
) -> Iterator[Outcome]:
    """Predict job after job in this process; a job that fails does not stop the others."""
    for job in jobs:
        try:
            yield Outcome(job, run_job(model, job, run.threshold, run.options, progress))
        except Exception as error:  # from a plugin, or because memory ran out
            yield Outcome(job, error=as_zoo_error(error, str(job.source)))


def run_in_workers(run: Run, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Predict in processes of their own, each of which loads the model once.

    One that dies, or takes longer than the time-out, is replaced, and its case tried again with no
    other beside it, as often as `run.retries`; then it has failed.
    """
    pool = _Pool(run)
    try:
        waiting, alone = deque((job, 0) for job in jobs), deque[tuple[Job, int]]()
        while waiting or alone or pool.busy:
            while waiting and pool.has_room:
                pool.start(*waiting.popleft())
            if alone and not pool.busy and not waiting:
                pool.start(*alone.popleft())
            for outcome, tried in pool.finished():
                if outcome.lost and tried < run.retries:
                    alone.append((outcome.job, tried + 1))
                else:
                    yield outcome
    finally:
        pool.close()


@dataclass
class _Worker:
    """A process, the end of its pipe that is here, and what it does."""

    process: Any
    pipe: connection.Connection
    job: Job | None = None
    tried: int = 0
    ready: bool = False
    started: float = math.inf  # when its clock began: once it has loaded the model


class _Pool:
    """Worker processes, made as they are needed."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.context = get_context("spawn")
        self.workers: list[_Worker] = []

    @property
    def busy(self) -> bool:
        return any(worker.job for worker in self.workers)

    @property
    def has_room(self) -> bool:
        return sum(worker.job is not None for worker in self.workers) < self.run.workers

    def start(self, job: Job, tried: int) -> None:
        """Give a job to an idle worker, or to a new one."""
        worker = next((each for each in self.workers if each.job is None), None) or self._new()
        worker.job, worker.tried = job, tried
        if worker.ready:
            worker.started = monotonic()
        with suppress(OSError):  # one that died meanwhile is found by its end
            worker.pipe.send(job)

    def finished(self) -> Iterator[tuple[Outcome, int]]:
        """Wait until a job ends, however it does; yields what has ended, and how often it failed
        before."""
        working = [worker for worker in self.workers if worker.job]
        timeout, patience = self.run.timeout, None
        if timeout is not None:
            first = min(worker.started for worker in working)
            patience = max(first + timeout - monotonic(), 0) if math.isfinite(first) else None
        ends: list[Any] = [worker.pipe for worker in working]
        ready = connection.wait([*ends, *(w.process.sentinel for w in working)], patience)
        for worker in working:
            job, tried = worker.job, worker.tried
            assert job is not None
            if worker.pipe in ready and self._is_greeting(worker):
                continue
            if worker.pipe in ready or worker.process.sentinel in ready:
                outcome = self._outcome(worker, job)
            elif timeout is not None and monotonic() >= worker.started + timeout:
                self._remove(worker)
                outcome = Outcome(
                    job,
                    error=ZooError(f"{job.source}: took longer than {timeout:g} s"),
                    lost=True,
                )
            else:
                continue
            worker.job = None
            yield outcome, tried

    def _is_greeting(self, worker: _Worker) -> bool:
        """Whether all that a worker says is that it is ready."""
        if worker.ready:
            return False
        try:
            worker.pipe.recv()
        except (EOFError, OSError):
            return False
        worker.ready, worker.started = True, monotonic()
        return True

    def _outcome(self, worker: _Worker, job: Job) -> Outcome:
        try:
            facts, error = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(GRACE)
            code = worker.process.exitcode
            self._remove(worker)
            how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            return Outcome(
                job,
                error=ZooError(f"{job.source}: its process died ({how}), perhaps of memory"),
                lost=True,
            )
        return Outcome(job, facts, None if error is None else ZooError(error))

    def _new(self) -> _Worker:
        here, there = self.context.Pipe()
        cores = max((os.cpu_count() or 1) // self.run.workers, 1)
        process = self.context.Process(target=_work, args=(there, self.run, cores), daemon=True)
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, str(cores)))  # read when the child imports them
        try:
            process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        there.close()
        self.workers.append(_Worker(process, here))
        return self.workers[-1]

    def _remove(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)

    def close(self) -> None:
        for worker in self.workers:
            with suppress(OSError):
                worker.pipe.send(None)
        for worker in list(self.workers):
            if worker.job is None:
                worker.process.join(GRACE)
            self._remove(worker)


THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")


def _work(pipe: connection.Connection, run: Run, cores: int) -> None:
    """What a worker does: load the model, then one job after another until there are no more."""
    import logging
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends its workers
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(cores)
    model: Model | None = None
    with suppress(Exception):  # what is wrong with it is said of every case
        model = load(run.model, backend=run.backend, device=run.device)
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if job is None:
            return
        facts: dict[str, Any] = {}
        said: str | None = None
        try:
            if model is None:
                model = load(run.model, backend=run.backend, device=run.device)
            facts = run_job(model, job, run.threshold, run.options)
        except Exception as error:
            said = str(as_zoo_error(error, str(job.source)))
        pipe.send((facts, said))
