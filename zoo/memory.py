"""How much memory is free for this process: on the machine, and below the limits it is under."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

GROUPS = "/sys/fs/cgroup"
UNLIMITED = 1 << 60  # bytes; above it, a control group's limit is none


def free_memory() -> int:
    """Bytes that can be had without swapping, being refused, or being killed for it.

    That is the least of what is free on the machine, what is left below `ulimit -v`, and what is
    left below the limits of control groups, which containers and batch systems set.

    Example:
        >>> 0 < free_memory()
        True
    """
    return max(0, min([psutil.virtual_memory().available, *_address_space(), *_groups()]))


def _address_space() -> Iterator[int]:
    with suppress(AttributeError):  # psutil knows it on Linux only
        process = psutil.Process()
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        if limit != psutil.RLIM_INFINITY:
            yield limit - process.memory_info().vms


def _groups(root: Path = Path("/")) -> Iterator[int]:
    """What is left in each group that this process is in, for both versions of control groups."""
    mounted = root / GROUPS[1:]
    for line in _words(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(mounted, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            yield from _left(mounted / "memory", path, *names)


def _left(mounted: Path, path: str, limit: str, usage: str) -> Iterator[int]:
    """In a group and those that it is in; what they keep of files can be given back."""
    group = mounted / path.strip("/")
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):
            most, used = (int((folder / name).read_text()) for name in (limit, usage))
            facts = dict(line.split() for line in _words(folder / "memory.stat"))
            files = int(facts.get("inactive_file", 0)) + int(facts.get("active_file", 0))
            if most < UNLIMITED:
                yield most - used + files
        if folder == mounted:
            return


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
