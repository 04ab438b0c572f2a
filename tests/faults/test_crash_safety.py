"""Commands that are killed, or find the disk full, at a write leave old files or new ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EVERY = 8  # the campaign strikes at every operation: tests/faults/striking.py FOLDER 1


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    path = tmp_path_factory.mktemp("shim") / "shim.so"
    compiler = ["gcc", "-shared", "-fPIC", "-o", path, HERE / "shim.c", "-ldl"]
    try:
        subprocess.run(compiler, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no shim without a C compiler: {error}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict to two files", "save"])
def test_nothing_is_half_written(command, shim, tmp_path):
    done = subprocess.run(
        [sys.executable, HERE / "striking.py", tmp_path, str(EVERY), command],
        env={**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    struck, faults = json.loads(done.stdout.splitlines()[-1])[command]
    assert struck >= 2 and not faults, faults
