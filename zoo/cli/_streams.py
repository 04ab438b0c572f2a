"""`-` in place of a file: standard input, standard output."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Any

from zoo.cli._console import spoken
from zoo.errors import ConfigError, ReadError

DASH = Path("-")


def with_standard_streams(
    outputs: Mapping[str, str],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command read the volume `-` in its argument `source`, and write one output to `-`.

    What it prints then goes to stderr.

    Args:
        outputs: the arguments that may be `-`, and the suffix of what is then written.
    """

    def extended(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def streamed(**arguments: Any) -> None:
            sources = arguments["source"]
            written = [name for name in outputs if arguments.get(name) == DASH]
            if DASH not in sources and not written:
                return command(**arguments)
            if DASH in sources and len(sources) > 1:
                raise ConfigError(f"-i -: wanted nothing besides it, got {len(sources)} inputs")
            if len(written) > 1:
                raise ConfigError(f"wanted one output to be -, got {len(written)}; name the others")
            if "output" in written and arguments.get("split"):
                raise ConfigError("--split: wanted -o FILE, beside which the masks go, got -o -")
            from zoo.volumes import temporary_folder  # takes a while to import

            with temporary_folder() as folder:
                if DASH in sources:
                    arguments["source"] = [received := _received(folder)]
                    spoken[str(received)] = "standard input"
                if not written:
                    return command(**arguments)
                (name,) = written
                path = folder / f"out{outputs[name]}"
                spoken[str(path)] = "standard output"
                _check_not_terminal(name)
                with redirect_stdout(sys.stderr):
                    command(**{**arguments, name: path})
                if path.exists():  # an empty implant is not written as a mesh
                    sys.stdout.buffer.write(path.read_bytes())

        return streamed

    return extended


def _received(folder: Path) -> Path:
    """Write standard input to a file whose name says what it is."""
    from zoo.volumes import LONGEST_START, suffix_of

    if sys.stdin.isatty():
        raise ReadError("-i -: wanted a volume from a pipe or a file, got a terminal; use < FILE")
    start = sys.stdin.buffer.read(LONGEST_START)
    suffix = suffix_of(start)
    if suffix is None:
        got = repr(start[:16]) if start else "nothing"
        raise ReadError(
            f"-i -: wanted NIfTI, NRRD, MetaImage or NumPy, got {got}; save it and pass its path"
        )
    path = folder / f"stdin.{suffix}"
    with path.open("wb") as file:
        file.write(start)
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _check_not_terminal(name: str) -> None:
    if sys.stdout.isatty() and name not in ("report", "statistics"):
        raise ConfigError(f"--{name} -: wanted a pipe or a file, got a terminal; use > FILE")
