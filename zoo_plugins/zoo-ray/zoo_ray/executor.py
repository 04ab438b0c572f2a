"""The executor: Ray Core tasks, one for each job, and what is done when one is lost."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from types import ModuleType
from typing import Any

from zoo.plugins import BackendError, Outcome, Run, Work, ZooError, died, too_slow
from zoo_ray import worker
from zoo_ray.cluster import connected

AHEAD = 2  # tasks handed to the cluster for each that it can run at a time
NODES = 3  # how often a job is moved from a node that died
DOUBLINGS = 2  # of the memory that is asked for, when there was too little


def run_on_ray(work: Work[Any], jobs: Sequence[Any], run: Run) -> Iterator[Outcome[Any]]:
    """Do jobs on a Ray cluster, one Core task for each; see `zoo.plugins.Executor`.

    A task has one CPU and, if `work.device` is cuda, one GPU, and the memory that `run.memory`
    says. A job whose process was killed as its node had too little memory is tried again with twice
    as much, twice; one whose node died is tried again elsewhere.
    """
    with connected(run) as ray:
        yield from _Driver(ray, work, run).outcomes(jobs)


@dataclass
class _Flight:
    """A job, how it was lost before, and when its clock began."""

    job: Any
    losses: Counter[type] = field(default_factory=Counter)
    started: float = math.inf


class _Driver:
    """Keeps a cluster busy with jobs."""

    def __init__(self, ray: ModuleType, work: Work[Any], run: Run) -> None:
        self.ray, self.run = ray, run
        self.work = ray.put(work)
        self.slot = "GPU" if work.device.startswith("cuda") else "CPU"
        self.task = ray.remote(
            max_retries=0,
            max_calls=0,  # the process stays, with the model
            num_cpus=1,
            num_gpus=int(self.slot == "GPU"),
            num_returns="streaming",
        )(worker.do)
        errors = ray.exceptions
        self.limits = {
            errors.WorkerCrashedError: run.retries,
            errors.TaskCancelledError: run.retries,
            errors.NodeDiedError: NODES,
            errors.OutOfMemoryError: DOUBLINGS,
        }

    def outcomes(self, jobs: Sequence[Any]) -> Iterator[Outcome[Any]]:
        """What became of every job, as they end."""
        waiting, flying = deque(map(_Flight, jobs)), dict[Any, _Flight]()
        while waiting or flying:
            room = AHEAD * self._slots() - len(flying)
            for _ in range(min(room, len(waiting))):
                flight = waiting.popleft()
                flying[self._submit(flight)] = flight
            ready, _ = self.ray.wait(list(flying), timeout=self._patience(flying))
            for stream in ready:
                outcome = self._next(stream, flying[stream])
                if outcome is None:
                    continue
                flight = flying.pop(stream)
                if outcome.lost and self._may_try_again(flight):
                    waiting.append(flight)
                else:
                    yield replace(outcome, job=flight.job)
            self._end_overdue(flying)

    def _slots(self) -> int:
        """How many tasks the cluster can run at a time; it may grow and shrink."""
        slots = int(self.ray.cluster_resources().get(self.slot, 0))
        if not slots and self.slot == "GPU":
            raise BackendError(
                "-d cuda: wanted a cluster with a GPU, got none; add a node with one"
            )
        return max(slots, 1)

    def _submit(self, flight: _Flight) -> Any:
        flight.started = math.inf
        options = {"memory": self._memory(flight)} if self.run.memory else {}
        return self.task.options(**options).remote(os.getcwd(), self.work, flight.job)

    def _memory(self, flight: _Flight) -> int:
        """The bytes to ask for, never more than the largest node has: that would wait for ever."""
        assert self.run.memory is not None
        wanted = self.run.memory(flight.job) << flight.losses[self.ray.exceptions.OutOfMemoryError]
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        largest = max((node.get("memory", 0) for node in nodes if node.get(self.slot)), default=0)
        return min(wanted, int(largest) or wanted)

    def _patience(self, flying: dict[Any, _Flight]) -> float | None:
        if self.run.timeout is None:
            return None
        first = min(flight.started for flight in flying.values())
        left = first + self.run.timeout - monotonic()
        return max(left, 0.0) if math.isfinite(left) else None

    def _end_overdue(self, flying: dict[Any, _Flight]) -> None:
        for stream, flight in flying.items():
            if self.run.timeout is not None and monotonic() > flight.started + self.run.timeout:
                flight.started = math.inf
                self.ray.cancel(stream, force=True)

    def _next(self, stream: Any, flight: _Flight) -> Outcome[Any] | None:
        """What a task says next of its job; None if it has only started."""
        try:
            said = self.ray.get(next(stream))
        except tuple(self.limits) as error:
            flight.losses[type(error)] += 1
            attempts = flight.losses.total()
            return Outcome(flight.job, error=self._said(error), lost=True, attempts=attempts)
        except self.ray.exceptions.RayError as error:
            failure = ZooError(f"Ray: {type(error).__name__}: {' '.join(str(error).split())}")
            return Outcome(flight.job, error=failure)
        if said == worker.STARTED:
            flight.started = monotonic()
            return None
        return replace(said, attempts=flight.losses.total() + 1)

    def _may_try_again(self, flight: _Flight) -> bool:
        return all(count <= self.limits[kind] for kind, count in flight.losses.items())

    def _said(self, error: Exception) -> ZooError:
        errors = self.ray.exceptions
        if isinstance(error, errors.TaskCancelledError) and self.run.timeout is not None:
            return too_slow(self.run.timeout)
        if isinstance(error, errors.NodeDiedError):
            return died("with its node")
        if isinstance(error, errors.OutOfMemoryError):
            return died("as its node had too little memory")
        return died()
