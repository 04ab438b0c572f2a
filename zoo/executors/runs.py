"""What an executor is asked to do with many jobs, and what it says became of each."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from zoo.errors import ZooError, as_zoo_error

LOCAL = "local"  # the executor of this machine

J = TypeVar("J")
J_contra = TypeVar("J_contra", contravariant=True)


class Work(Protocol[J_contra]):
    """What is done with every job, in any process and on any machine; it can be pickled.

    Attributes:
        device: what it computes on, as for `zoo.load`.
    """

    @property
    def device(self) -> str: ...

    def load(self) -> None:
        """Load what all jobs share, once in a process; later calls do nothing."""

    def __call__(self, job: J_contra) -> dict[str, Any]:
        """Do one job; returns what is to be known of it, as plain data.

        Raises:
            Exception: it failed; the message becomes one line.
        """
        ...


@dataclass(frozen=True)
class Run:
    """Where and how jobs are done.

    Attributes:
        executor: name in the executors registry.
        address: HOST:PORT of a cluster; None for this machine.
        workers: processes on this machine; 0 is as many as the executor likes.
        timeout: seconds that a job may take once its process has loaded what it needs; None: any.
        retries: how often a job is tried again whose process died or took too long.
        memory: bytes that a job is expected to need, its process included; None: not known.
    """

    executor: str = LOCAL
    address: str | None = None
    workers: int = 0
    timeout: float | None = None
    retries: int = 1
    memory: Callable[[Any], int] | None = None

    @property
    def here(self) -> bool:
        """Whether this process does it all, one job after another."""
        return self.executor == LOCAL and not self.workers and self.timeout is None


HERE = Run()


@dataclass(frozen=True)
class Outcome(Generic[J]):
    """What became of a job.

    Attributes:
        job: the job.
        facts: what its work returned and the name of the machine, `node`; if it failed, what is
            known.
        error: why it failed.
        lost: whether its process died or took too long, so that another may do it.
        attempts: how often it was tried.
        skipped: why it was not done, in words.
        again: why it was, although the journal had it.
    """

    job: J
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: ZooError | None = None
    lost: bool = False
    attempts: int = 1
    skipped: str | None = None
    again: str | None = None


class Executor(Protocol):
    """A function that does work over many jobs. Group `zoo_executors`."""

    def __call__(self, work: Work[J], jobs: Sequence[J], run: Run) -> Iterator[Outcome[J]]:
        """Do every job in a process other than this one, many at a time.

        A job that fails, or whose process dies or takes longer than `run.timeout`, costs itself
        alone: it is tried again as often as `run.retries` if its process was lost, and else, or
        then, has failed. `run.memory` is asked for every job as it starts, since it learns. Only
        work, jobs and outcomes are sent; files are read and written where a job is done, by the
        same paths relative to the same folder.

        Args:
            work: what is done with each job; it can be pickled.
            jobs: the jobs, which can be pickled, too.
            run: where and how: workers, time-out, retries.

        Yields:
            What became of every job, once each, as they end.

        Raises:
            ConfigError: `run` asks for what this executor does not have.
        """
        ...


def attempt(do: Callable[[J], dict[str, Any]], job: J) -> Outcome[J]:
    """Do one job, in the process that this is called in; whatever goes wrong is in the outcome.

        >>> attempt(lambda job: {"length": len(job)}, "abc").facts["length"]
        3
        >>> str(attempt(lambda job: 1 / 0, "abc").error)
        'unexpected ZeroDivisionError: division by zero; --debug shows where'

    Args:
        do: does a job, and returns plain data.
        job: the job.

    Returns:
        What became of it: the data with the name of this machine, or the error.
    """
    where = {"node": platform.node()}
    try:
        return Outcome(job, {**where, **do(job)})
    except Exception as error:  # also from a plugin, or because memory ran out
        return Outcome(job, where, as_zoo_error(error))


def portable(outcome: Outcome[J]) -> Outcome[J]:
    """The same outcome for another process: its error is its message, as not all can be pickled.

        >>> from zoo.errors import ReadError
        >>> portable(Outcome("job", error=ReadError("no such file"))).error
        ZooError('no such file')

    Args:
        outcome: what became of a job.

    Returns:
        An outcome that can be pickled if its job and facts can.
    """
    return replace(outcome, error=outcome.error and ZooError(str(outcome.error)))


def too_slow(seconds: float) -> ZooError:
    """The error of a job that a time-out has ended.

        >>> str(too_slow(30))
        'took longer than 30 s; --timeout allows more'

    Args:
        seconds: how long it was allowed to take.

    Returns:
        The error, for an `Outcome`.
    """
    return ZooError(f"took longer than {seconds:g} s; --timeout allows more")


def died(how: str = "") -> ZooError:
    """The error of a job whose process has died.

        >>> str(died("signal 9"))
        'its process died (signal 9), perhaps for want of memory'

    Args:
        how: what is known of that; empty: nothing.

    Returns:
        The error, for an `Outcome`.
    """
    return ZooError(f"its process died{how and f' ({how})'}, perhaps for want of memory")
