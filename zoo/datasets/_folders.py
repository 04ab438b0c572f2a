"""The volumes of a folder by their names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from zoo.errors import ReadError
from zoo.volumes import is_volume, stem


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in the order of names, but for names that begin with a dot."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ReadError(
            f"{folder}: wanted a folder, got: {error.strerror}; check the path and the layout"
        ) from error
    return [folder / name for name in names if not name.startswith(".")]


def volumes_in(folder: Path) -> dict[str, Path]:
    """The volumes of a folder by their names without suffix, in order."""
    found: dict[str, Path] = {}
    for path in filter(is_volume, entries(folder)):
        name = stem(path.name)
        if name in found:
            refuse_second(found[name], path)
        found[name] = path
    return found


def partner(volumes: dict[str, Path], name: str, expected: Path) -> Path:
    """The volume of that name, whatever its suffix."""
    if name not in volumes:
        raise ReadError(f"{expected}: no such file; every case needs one: add it")
    return volumes[name]


def refuse_second(first: Path, second: Path) -> NoReturn:
    """Raise for two files where one is wanted."""
    raise ReadError(f"{second}: wanted one volume for a case, got {first} too; remove one of them")
