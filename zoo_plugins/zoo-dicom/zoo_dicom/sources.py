"""Files that may be DICOM, of a folder or of a zip archive; nothing is unpacked to disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn
from zipfile import ZipFile

from zoo.plugins import VolumeError, ZooError

MOST_BYTES = 4 << 30  # of an archive's files, unpacked


@dataclass(frozen=True, eq=False)
class Source:
    """A file: its name below the folder or in the archive, for messages only, and its bytes."""

    name: str
    open: Callable[[], Any]

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The bytes; whatever damaged ones make a parser raise becomes a line with the name."""
        try:
            with self.open() as stream:
                yield stream
        except ZooError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VolumeError(
                f"{self.name!r} cannot be read: {reason}; copy it again from its source"
            ) from error


def of_folder(folder: Path) -> list[Source]:
    """Every file below a folder but hidden ones; links to folders are not followed."""
    found = []
    for root, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(root, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.is_file() or not path.exists()]  # a broken link
    return [Source(str(path.relative_to(folder)), partial(path.open, "rb")) for path in found]


def of_zip(archive: ZipFile) -> list[Source]:
    """Every file in an archive but hidden ones; none yields more bytes than the archive says.

    Raises:
        VolumeError: together they would yield too many.
    """
    if (total := sum(member.file_size for member in archive.infolist())) > MOST_BYTES:
        raise VolumeError(
            f"wanted {MOST_BYTES / 1e9:.1f} GB of files at most, got {total / 1e9:.1f} GB;"
            " unpack the archive and give the folder of one series"
        )
    return [
        Source(member.filename, partial(archive.open, member))
        for member in archive.infolist()
        if not member.is_dir() and _is_shown(member.filename)
    ]


def _is_shown(path: str) -> bool:
    return not any(part.startswith(".") and part.strip(".") for part in PurePosixPath(path).parts)


def _fail(error: OSError) -> NoReturn:
    raise error
