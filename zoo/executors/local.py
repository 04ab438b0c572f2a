"""Runs jobs in worker processes on this machine."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context
from time import monotonic
from typing import Any

from zoo.executors.runs import J, Outcome, Run, Work, attempt, died, portable, too_slow
from zoo.sparse import free_memory

GRACE = 5.0  # seconds that a worker has to end by itself
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")


def run_in_workers(work: Work[J], jobs: Sequence[J], run: Run) -> Iterator[Outcome[J]]:
    """Do jobs in processes of their own, each of which loads what they share once.

    One that dies, or takes longer than the time-out, is replaced, and its job tried again with no
    other beside it, as often as `run.retries`; then it has failed.
    """
    pool = _Pool(work, run)
    try:
        waiting, alone = deque(jobs), deque[tuple[J, int]]()
        while waiting or alone or pool.busy:
            while waiting and pool.has_room_for(waiting[0]):
                pool.start(waiting.popleft())
            if alone and not pool.busy and not waiting:
                pool.start(*alone.popleft())
            for outcome in pool.finished():
                if outcome.lost and outcome.attempts <= run.retries:
                    alone.append((outcome.job, outcome.attempts + 1))
                else:
                    yield outcome
    finally:
        pool.close()


@dataclass
class _Worker:
    """A process, the end of its pipe that is here, and what it does."""

    process: Any
    pipe: connection.Connection
    job: Any = None
    attempts: int = 1
    memory: int = 0  # bytes that the job is expected to need
    ready: bool = False
    started: float = math.inf  # when its clock began: once it has loaded the model


class _Pool:
    """Worker processes, made as they are needed."""

    def __init__(self, work: Work[Any], run: Run) -> None:
        self.work, self.run = work, run
        self.size, self.memory = max(run.workers, 1), free_memory()
        self.context = get_context("spawn")
        self.workers: list[_Worker] = []

    @property
    def busy(self) -> bool:
        return bool(self._working())

    def _working(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.job is not None]

    def has_room_for(self, job: Any) -> bool:
        """Whether a worker is free and, unless it would be the only job, memory for it as well."""
        working = self._working()
        if not working:
            return True
        needed = sum(worker.memory for worker in working) + self._needed(job)
        return len(working) < self.size and needed <= self.memory

    def _needed(self, job: Any) -> int:
        return self.run.memory(job) if self.run.memory else 0

    def start(self, job: Any, attempts: int = 1) -> None:
        """Give a job to an idle worker, or to a new one."""
        worker = next((each for each in self.workers if each.job is None), None) or self._new()
        worker.job, worker.attempts, worker.memory = job, attempts, self._needed(job)
        if worker.ready:
            worker.started = monotonic()
        with suppress(OSError):  # one that died meanwhile is found by its end
            worker.pipe.send(job)

    def finished(self) -> Iterator[Outcome[Any]]:
        """Wait until a job ends, however it does; yields what became of those that have."""
        working = self._working()
        timeout, patience = self.run.timeout, None
        if timeout is not None:
            first = min(worker.started for worker in working)
            patience = max(first + timeout - monotonic(), 0) if math.isfinite(first) else None
        ends: list[Any] = [worker.pipe for worker in working]
        ready = connection.wait([*ends, *(w.process.sentinel for w in working)], patience)
        for worker in working:
            if worker.pipe in ready and self._is_greeting(worker):
                continue
            if worker.pipe in ready or worker.process.sentinel in ready:
                outcome = self._answer(worker)
            elif timeout is not None and monotonic() >= worker.started + timeout:
                self._remove(worker)
                outcome = Outcome(worker.job, error=too_slow(timeout), lost=True)
            else:
                continue
            outcome = replace(outcome, job=worker.job, attempts=worker.attempts)
            worker.job = None
            yield outcome

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

    def _answer(self, worker: _Worker) -> Outcome[Any]:
        """What a worker says of its job or, where it says nothing any more, how it died."""
        try:
            answer: Outcome[Any] = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(GRACE)
            code = worker.process.exitcode
            self._remove(worker)
            how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            return Outcome(worker.job, error=died(how), lost=True)
        return answer

    def _new(self) -> _Worker:
        here, there = self.context.Pipe()
        cores = max((os.cpu_count() or 1) // self.size, 1)
        process = self.context.Process(target=_work, args=(there, self.work, cores), daemon=True)
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


def _work(pipe: connection.Connection, work: Work[Any], cores: int) -> None:
    """What a worker does: load, then one job after another until there are no more."""
    import logging
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends its workers
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(cores)
    with suppress(Exception):  # what is wrong with it is said of every job
        work.load()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the driver was killed
        pipe.send("ready")
        while (job := pipe.recv()) is not None:
            pipe.send(portable(attempt(work, job)))
