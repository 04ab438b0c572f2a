"""The location of a model's files, and a folder of them on disk.

Nothing that is read here is trusted: sizes are bounded before a file is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zoo.errors import WeightsError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
README = "README.md"
SUFFIX = "safetensors"
LARGEST_TEXT = 2**20  # bytes, of a README.md or config.json
LARGEST_WEIGHTS = 2**32  # bytes
LARGEST_PICTURE = 2**24  # bytes


class Location(Protocol):
    """A location that files are read from.

    Attributes:
        renews: whether a damaged file can be fetched again.
    """

    renews: bool

    def file(self, name: str, limit: int, *, again: bool = False) -> Path:
        """The path of a file.

        Args:
            name: name of the file.
            limit: its largest allowed size, in bytes.
            again: fetch it even if it is there.

        Raises:
            WeightsError: the file does not exist, cannot be fetched, or is too large.
        """
        ...

    def find(self, name: str, limit: int) -> Path | None:
        """The path of a file, None if it does not exist; otherwise as `file`."""
        ...

    def picture(self, link: str) -> Path | None:
        """The path of a picture that the card shows by that link; None if it is not there.

        Raises:
            WeightsError: it cannot be fetched, or is too large.
        """
        ...


class Folder:
    """A folder on disk, as `Model.save` writes it.

    Args:
        path: the folder.
    """

    renews = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, name: str, limit: int, *, again: bool = False) -> Path:
        path = self.path_of(name)
        if not path.is_file():
            raise WeightsError(f"no {path.name} in {self.path}: save the model there again")
        return bounded(path, limit)

    def find(self, name: str, limit: int) -> Path | None:
        path = self.path_of(name)
        return bounded(path, limit) if path.is_file() else None

    def path_of(self, name: str) -> Path:
        """The path that a file has, or would have."""
        return self.path / name

    def picture(self, link: str) -> Path | None:
        path = (self.path / link).resolve()
        there = path.is_file() and path.is_relative_to(self.pictures.resolve())
        return bounded(path, LARGEST_PICTURE) if there else None

    @property
    def pictures(self) -> Path:
        """The folder that no link to a picture leads out of."""
        return self.path

    def __str__(self) -> str:
        return str(self.path)


class BesideCard(Folder):
    """The files of one card in a folder of several: NAME.md, NAME.safetensors, NAME.golden-...

    Args:
        card: path of the card's file, NAME.md.
    """

    def __init__(self, card: Path) -> None:
        super().__init__(card.parent)
        self.stem = card.stem

    def path_of(self, name: str) -> Path:
        return self.path / f"{self.stem}.{SUFFIX if name.endswith(SUFFIX) else name}"

    @property
    def pictures(self) -> Path:
        return self.path.parent


@dataclass(frozen=True)
class Origin:
    """The origin of a model.

    Attributes:
        location: where its files are; None if it was made in this process.
        facts: the metadata in the file of its weights.
    """

    location: Location | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file, by which cards pin weights.

        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile() as file:
        ...     sha256_of(file.name)[:8]
        'e3b0c442'

    Args:
        path: the file.

    Returns:
        64 hex digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bounded(path: Path, limit: int) -> Path:
    """The path, after checking that its file has at most `limit` bytes."""
    size = path.stat().st_size
    if size > limit:
        raise too_large(str(path), size, limit)
    return path


def too_large(what: str, size: int, limit: int) -> WeightsError:
    """The error for a file of more than `limit` bytes."""
    return WeightsError(
        f"{what}: wanted {limit:,} bytes at most, got {size:,}; it is not what its name says"
    )
