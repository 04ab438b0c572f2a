"""Volumes from files and back, through the registries of readers and writers; atomic output."""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import psutil

from zoo import registries
from zoo.errors import ReadError, VolumeError, WriteError, ZooError, one_line
from zoo.registries import Registry
from zoo.volumes.volume import Volume

FOLDER = "folder"  # the reader under this name reads a whole folder as one volume
PREFIX = f".zoo-{platform.node()}-"  # of this machine's temporary folders, before the process
DICOM, DICOM_PLUGIN = "dcm", "zoo-dicom"
PLUGINS = {  # the zoo's own plugins, which are installed separately, by the suffixes they add
    "reader": dict.fromkeys((DICOM, "zip"), DICOM_PLUGIN),
    "writer": dict.fromkeys(("stl", "ply", "obj", "3mf"), "zoo-mesh") | {DICOM: DICOM_PLUGIN},
}


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a volume with the reader of the longest suffix of the file's name that has one.

        >>> import numpy as np
        >>> with TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/mask.npy", np.ones((2, 3, 4), np.uint8))
        ...     read_volume(f"{folder}/mask.npy")
        Volume(2x3x4 uint8, 1 x 1 x 1 mm, RAS)

    Args:
        path: a file; or a folder, such as a DICOM series, which is read as one volume by the reader
            registered as `folder`.

    Returns:
        The volume.

    Raises:
        ReadError: the file is missing, damaged or not what its name says.
        VolumeError: it holds something other than one volume.
    """
    path = Path(path)
    _check_input(path)
    suffix = FOLDER if path.is_dir() else _known_suffix(path, registries.readers, ReadError)
    what = "folder of one volume" if path.is_dir() else f".{suffix} file"
    reader: Callable[[Path], Volume] = registries.readers.get(suffix)
    try:
        return reader(path)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    except ZooError:
        raise
    except Exception as error:  # damaged bytes can make a parser raise anything
        said = one_line(error)
        # A traceback would print the parser's error as it is, with what it quotes of the file.
        raise ReadError(
            f"{path}: wanted a complete {what}, got: {said};"
            " check its name or copy it again from its source"
        ) from (error if said in " ".join(str(error).split()) else None)


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> None:
    """Write a volume in the format that the file's suffix names, completely or not at all.

        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_volume(Volume(np.ones((2, 3, 4), np.uint8)), f"{folder}/mask.nii.gz")
        ...     read_volume(f"{folder}/mask.nii.gz")
        Volume(2x3x4 uint8, 1 x 1 x 1 mm, RAS)

    Args:
        volume: what to write.
        path: the file; its folder must exist.

    Raises:
        WriteError: it failed, and what was there before is unchanged; or no writer has the suffix.
        VolumeError: the format cannot hold these values.
    """
    path = Path(path)
    suffix = _known_suffix(path, registries.writers, WriteError)
    writer: Callable[[Volume, Path], None] = registries.writers.get(suffix)
    with atomic_path(path) as temporary:
        try:
            writer(volume, temporary)
        except VolumeError as error:
            raise VolumeError(f"{path}: {error}") from error
        except (ZooError, OSError):
            raise
        except Exception as error:
            raise WriteError(f"{path}: not a .{suffix}: {one_line(error)}") from error


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path of the same name, to be moved over `path` if the block succeeds.

    It lies in a hidden folder beside `path`, so that files written with it (the data of a detached
    header) are moved too. Whatever goes wrong, that folder is removed and `path` stays as it was;
    that of a process that was killed is left to `remove_abandoned`.
    Once the block is left, the file survives a loss of power. Of several files, the one at `path`
    is removed first and comes last: if the process is killed in between, there is none rather than
    a mixture of old and new.

        >>> with TemporaryDirectory() as folder:
        ...     with atomic_path(f"{folder}/scores.csv") as temporary:
        ...         _ = temporary.write_text("case,dice")
        ...         before = os.path.exists(f"{folder}/scores.csv")
        ...     before, os.listdir(folder)
        (False, ['scores.csv'])

    Args:
        path: the file; its folder must exist.

    Yields:
        The path to write to.

    Raises:
        WriteError: it cannot be written; any OSError of the block becomes one that names `path`.
    """
    path = Path(path)
    check_output(path)
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        with TemporaryDirectory(prefix=_hidden(os.getpid()), dir=target.parent) as folder:
            temporary = Path(folder, path.name)
            yield temporary
            companions = set(Path(folder).iterdir()) - {temporary}
            for written in (*companions, temporary):
                _sync(written)
            for companion in companions:
                check_output(target.parent / companion.name)
            if companions:
                target.unlink(missing_ok=True)
            for companion in companions:
                os.replace(companion, target.parent / companion.name)
            os.replace(temporary, target)
            with suppress(OSError):  # not every file system does that for folders
                _sync(target.parent)
    except ZooError:
        raise
    except OSError as error:
        raise WriteError(
            f"{path}: not written: {error.strerror or one_line(error)};"
            " free some space or choose another folder; what was there before is unchanged"
        ) from error


def remove_abandoned(folder: str | os.PathLike[str]) -> None:
    """Remove what `atomic_path` left below a folder where its process was killed.

    Only that of this machine's processes, since of another's nobody here knows whether they live.

        >>> with TemporaryDirectory() as folder:
        ...     ours, lost = (f"{folder}/{_hidden(process)}abc" for process in (os.getpid(), 2**30))
        ...     os.mkdir(ours)
        ...     os.mkdir(lost)
        ...     remove_abandoned(folder)
        ...     os.path.exists(ours), os.path.exists(lost)
        (True, False)

    Args:
        folder: with all folders in it.
    """
    named = re.compile(rf"{re.escape(PREFIX)}(\d+)-\w+")
    for root, folders, _ in os.walk(folder):
        for name in folders:
            found = named.fullmatch(name)
            if found and not psutil.pid_exists(int(found[1])):
                rmtree(Path(root, name), ignore_errors=True)


def _hidden(process: int) -> str:
    """How the names of a process's temporary folders begin."""
    return f"{PREFIX}{process}-"


def _sync(path: Path) -> None:
    """Wait until what was written is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for files on the way to elsewhere; WriteError if none can be made."""
    try:
        made = TemporaryDirectory(prefix="zoo-")
    except OSError as error:
        raise WriteError(
            f"no temporary folder can be made: {error.strerror}; free some space, or set TMPDIR"
        ) from error
    with made as folder:
        yield Path(folder)


def check_output(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, before long work; nothing is written.

        >>> try:
        ...     check_output("/missing/scores.csv")
        ... except WriteError as error:
        ...     print(error)
        /missing/scores.csv: its folder does not exist; create it first: mkdir -p /missing

    Args:
        path: the file.

    Raises:
        WriteError: it is a folder or a device, its folder is missing, or there is no permission.
    """
    exists = os.path.exists(path)
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise WriteError(f"{path}: wanted a file name, got a folder; add a name to it")
    if exists and not os.path.isfile(path):
        raise WriteError(f"{path}: wanted a regular file, got a device or pipe; choose another")
    if not os.path.isdir(folder):
        create = f"mkdir -p {shlex.quote(folder)}"
        raise WriteError(f"{path}: its folder does not exist; create it first: {create}")
    if not os.access(folder, os.W_OK | os.X_OK) or (exists and not os.access(path, os.W_OK)):
        raise WriteError(f"{path}: no permission to write it; choose another folder")


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it, unless it exists.

        >>> with TemporaryDirectory() as folder:
        ...     make_folder(f"{folder}/a/b")
        ...     os.listdir(f"{folder}/a")
        ['b']

    Args:
        folder: the folder.

    Raises:
        WriteError: it cannot be made.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be made: {error.strerror}; choose another") from error


def check_volume_output(path: str | os.PathLike[str]) -> None:
    """Raise WriteError if a volume cannot be written to `path`; for checking before long work."""
    check_output(path)
    _known_suffix(Path(path), registries.writers, WriteError)


def is_volume(path: Path) -> bool:
    """Whether a file's name ends in a suffix that has a reader."""
    return _suffix(path, registries.readers) is not None


def is_writable(path: Path) -> bool:
    """Whether a file's name ends in a suffix that has a writer."""
    return _suffix(path, registries.writers) is not None


def stem(name: str) -> str:
    """A file's name without its suffix, if that has a reader or a writer."""
    path = Path(name)
    suffix = _suffix(path, registries.readers) or _suffix(path, registries.writers)
    return name if suffix is None else name[: -len(suffix) - 1]


def reads_folders() -> bool:
    """Whether a reader is registered that reads a whole folder as one volume."""
    return FOLDER in registries.readers


def _check_input(path: Path) -> None:
    is_folder = os.path.isdir(path)
    if is_folder and not reads_folders():
        raise ReadError(
            f"{path}: wanted a file, got a folder; for a DICOM series,"
            f" {registries.installing(DICOM_PLUGIN)}, or convert it with dcm2niix first"
        )
    if not os.path.exists(path):
        raise ReadError(f"{path}: no such file; check the path")
    if not is_folder and not os.path.isfile(path):
        raise ReadError(f"{path}: wanted a regular file, got a device or pipe; save it first")
    if not os.access(path, os.R_OK):
        raise ReadError(f"{path}: no permission to read it; change its mode or owner")
    if not is_folder and os.path.getsize(path) == 0:
        raise ReadError(f"{path}: the file is empty; copy it again from its source")


def _suffix(path: Path, registry: Registry) -> str | None:
    """The longest suffix of the file's name, without its leading dot, that is in the registry."""
    parts = path.name.lower().split(".")[1:]
    known = _suffixes(registry)
    suffixes = (".".join(parts[start:]) for start in range(len(parts)))
    return next((suffix for suffix in suffixes if suffix in known), None)


def _known_suffix(path: Path, registry: Registry, error: type[ZooError]) -> str:
    if suffix := _suffix(path, registry):
        return suffix
    listed = ", ".join(f".{name}" for name in _suffixes(registry))
    last = path.suffix.lower()[1:]
    plugin = PLUGINS[registry.noun].get(last)
    mend = "rename or convert it"
    if plugin:
        mend = f"{registries.installing(plugin)} adds .{last}"
    raise error(f"{path}: wanted a file name that ends in one of {listed}; {mend}")


def _suffixes(registry: Registry) -> list[str]:
    return [name for name in registry.names() if name != FOLDER]
