"""What the tests of the command line share: a tiny model, a small volume, and ways to run `zoo`."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import zoo

ROOT = Path(__file__).parent.parent
KEEP_ALL = [-9.0] * 6  # thresholds with which a random network fills the grid


def save_model(folder, **config):
    """Save a tiny model with random weights; returns the name that it is loaded by."""
    settings = {"channels": [2, 2, 4, 4, 4, 4, 16], **config}
    zoo.create("sparse-completion", settings, backend="torch").save(folder)
    return f"local-dir:{folder}"


def hollow_box():
    """A uint8 {0, 1} volume (20, 18, 16) with axes to the left, anterior and inferior."""
    array = np.zeros((20, 18, 16), np.uint8)
    array[4:15, 4:14, 4:12] = 1
    array[6:13, 6:12, 6:10] = 0
    affine = np.array([[-2.0, 0.1, 0, 31], [0.1, 2, 0, -12], [0, 0, -3, 7], [0, 0, 0, 1]])
    return zoo.Volume(array, affine)


def contents(folder):
    """Every path below a folder, with the bytes and the time of change of what is a file."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def start(*words, code=None, **more):
    """Start `python -m zoo`, or `code` that stands for it, in a process of its own."""
    program = ["-m", "zoo"] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **more,
    )


@contextmanager
def mounted(folder, options):
    """A tiny file system in place of `folder`, where the user may mount one."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
