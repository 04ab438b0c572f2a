"""Checks readers and writers: values, millimetres and orientation survive a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from zoo.testing._expecting import expect, expect_close
from zoo.volumes import Volume

Read = Callable[[Path], Volume]
Write = Callable[[Volume, Path], None]

DTYPES = ("uint8", "int16", "float32")
VALUES = {"int16": -1000, "float32": 0.25}
MILLIMETRES = 1e-3  # how far an affine may be off


def check_reader(read: Read, write: Write, suffix: str, *, dtypes: Sequence[str] = DTYPES) -> None:
    """Check that a reader reads what was written to a file, in every orientation.

    Args:
        read: `(path) -> Volume`, the reader.
        write: `(volume, path) -> None`, preferably through another library than the reader's.
        suffix: suffix of the files, without its leading dot.
        dtypes: dtypes of arrays that the format can store.

    Raises:
        AssertionError: the values or the affine, in mm, differ; or a truncated or empty file is
            read without an error.
    """
    _check_round_trips(read, write, suffix, dtypes)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"volume.{suffix}")
        write(_volume("uint8", np.eye(4)), path)
        content = path.read_bytes()
        for kept in (0, len(content) // 2):
            path.write_bytes(content[:kept])
            try:
                read(path)
            except Exception:
                continue
            expect(False, f"wanted an error for {kept} of {len(content)} bytes, got a volume")


def check_writer(
    write: Write, suffix: str, read: Read | None = None, *, dtypes: Sequence[str] = DTYPES
) -> None:
    """Check that a writer writes what it is given, and always the same bytes.

    Args:
        write: `(volume, path) -> None`, the writer.
        suffix: suffix of the files, without its leading dot.
        read: `(path) -> Volume`, preferably through another library; contents are not compared if
            left out.
        dtypes: dtypes of arrays that the format can store.

    Raises:
        AssertionError: there is no file, the same volume gives different bytes, the volume is
            changed, or the values or the affine in the file differ.
    """
    for dtype in dtypes:
        volume = _volume(dtype, _affines()[-1])
        before = volume.array.copy()
        first, second = _written(write, volume, suffix), _written(write, volume, suffix)
        expect(first == second, f"{dtype}: the same volume gave different bytes")
        expect(np.array_equal(volume.array, before), f"{dtype}: the volume was changed")
        _written(write, volume.with_array(np.asfortranarray(before)), suffix)
    if read:
        _check_round_trips(read, write, suffix, dtypes)


def _written(write: Write, volume: Volume, suffix: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, f"volume.{suffix}")
        write(volume, path)
        expect(path.is_file(), f"wanted a file at {path.name}, got none")
        return path.read_bytes()


def _check_round_trips(read: Read, write: Write, suffix: str, dtypes: Sequence[str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, f"volume.{suffix}")
        cases = [(dtypes[0], affine) for affine in _affines()]
        for dtype, affine in cases + [(dtype, _affines()[-1]) for dtype in dtypes[1:]]:
            volume = _volume(dtype, affine)
            write(volume, path)
            back = read(path)
            what = f"{dtype}, {volume.orientation}"
            expect_close(back.array, volume.array, 1e-6, what)
            expect_close(back.affine, volume.affine, MILLIMETRES, f"{what}, affine in mm")


def _volume(dtype: str, affine: np.ndarray) -> Volume:
    """A volume (4, 5, 6) without symmetry, whose values are 0 and 1, negative, or fractional."""
    grid = np.zeros((4, 5, 6), dtype)
    grid[0, :2, 1] = grid[1:3, 3, 2:5] = grid[3, 1, 5] = VALUES.get(dtype, 1)
    return Volume(grid, affine)


def _affines() -> list[np.ndarray]:
    """Affines of every orientation, anisotropic and off the origin, then an oblique one."""
    spacing, origin = np.diag([0.5, 0.8, 2.0]), (-31.5, 12.25, 7.0)
    turns = [
        np.eye(3)[list(axes)] * signs
        for axes in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    c, s = np.cos(0.3), np.sin(0.3)
    turns.append(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ turns[5])
    affines = []
    for turn in turns:
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = turn @ spacing, origin
        affines.append(affine)
    return affines
