"""What a run over many cases is to do, and what became of a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.anatomy import Threshold
from zoo.errors import ZooError
from zoo.executors.jobs import Job

LOCAL = "local"  # the executor of this machine


@dataclass(frozen=True)
class Run:
    """A run over cases.

    Attributes:
        model: name of the model, as for `zoo.load`.
        backend, device: as for `zoo.load`.
        threshold: as for `Model.predict`.
        options: the options of the model's task, as for `Model.predict`.
        workers: processes on this machine; 0 is this one.
        timeout: seconds that a case may take in a worker; None: any.
        retries: how often a case is tried again whose process died or took too long.
        executor: name in the executors registry.
    """

    model: str
    backend: str = "auto"
    device: str = "auto"
    threshold: Threshold = None
    options: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 0
    timeout: float | None = None
    retries: int = 1
    executor: str = LOCAL


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        job: the case.
        facts: its report; empty if it failed.
        error: why it failed.
        lost: whether its process died or took too long, so that it may be tried again.
        skipped: why it was not predicted, in words.
        again: why it was, although the journal had it.
    """

    job: Job
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: ZooError | None = None
    lost: bool = False
    skipped: str | None = None
    again: str | None = None
