"""Reads damaged files of a kind, and holds that to what the zoo promises of any input."""

import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import process_time

from kinds import Kind
from mutation import Files, mutated

from zoo.errors import ZooError

SECONDS = 5.0  # of a processor that reading may take
WAITING = 60.0  # seconds in all, on a busy machine, or for a Hub that is asked again
LONGEST = 8192  # characters of a line, which may quote a path
MEMORY = 256 << 20  # bytes that reading some kilobytes may take
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Late(BaseException):
    """Reading took too long; no Exception, which a reader would take for the file's fault."""


def damaged(kind: Kind, script: bytes) -> Files:
    """Files of a kind: which, and how many edits of its container, is in the first two bytes."""
    which, outer, *steps = script
    seeds = seeds_of(kind)
    cut = len(steps) * (outer % 3) // 2 if kind.pack is not Kind.pack else 0
    inside, outside = bytes(steps[cut:]), bytes(steps[:cut])
    return mutated(kind.pack(mutated(seeds[which % len(seeds)], inside)), outside)


@cache
def seeds_of(kind: Kind) -> list[Files]:
    return kind.seeds()


def put(files: Files, folder: Path) -> None:
    """Write the files into a folder that has no others."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def fire(kind: Kind, folder: Path) -> None:
    """Read what lies in the folder; AssertionError unless it ends as it should.

    That is: soon, in little memory, and with a value or a ZooError of one line that no terminal
    would obey.
    """
    reset_peak()
    before, started = peak(), process_time()
    try:
        with limited(WAITING):
            kind.read(folder)
    except ZooError as error:
        said = str(error)
        assert said and not CONTROL.search(said), f"a line with control characters: {said!r}"
        assert len(said) < LONGEST, f"a line of {len(said)} characters: {said[:200]!r}"
    except Late:
        raise AssertionError(f"took longer than {WAITING} s") from None
    seconds, taken = process_time() - started, peak() - before
    assert seconds < SECONDS, f"took {seconds:.1f} s"
    assert taken < MEMORY, f"took {taken >> 20} MiB"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most memory that this process has held since `reset_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
