"""What a Ray worker does. Ray imports this module by its name on every node."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from zoo.plugins import Outcome, Work, attempt, portable

STARTED = "started"


def do(folder: str, work: Work[Any], job: Any) -> Iterator[str | Outcome[Any]]:
    """Do one job, with paths relative to `folder`.

    Yields:
        STARTED as soon as what all jobs share is loaded, then the outcome.
    """
    logging.disable(logging.CRITICAL)
    os.chdir(folder)
    with suppress(Exception):  # what is wrong with it is said of every job
        work.load()
    yield STARTED
    yield portable(attempt(work, job))
