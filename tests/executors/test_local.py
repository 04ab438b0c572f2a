"""Worker processes on this machine."""

import pytest

from zoo.executors import Run
from zoo.executors.local import run_in_workers
from zoo.testing import check_executor


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_repeated():
    check_executor(run_in_workers, Run(workers=2))
