"""Grids that are costly to make, kept on disk as packed bits and shared by processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.files import atomic_path, make_folder

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Grids:
    """Bool grids (n, I, J, K) of one shape, axes RAS, and their spacing (3,) in mm."""

    grids: Bools
    spacing: tuple[float, float, float]


class GridCache:
    """A folder of compressed bitmaps, one .npz file per name: n I J K / 8 bytes at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[], Grids]) -> Grids:
        """What is kept under the name; made and kept if there is nothing, or nothing whole.

        Several processes may ask at once: the file appears whole, and each makes the same.
        """
        path = self.folder / f"{name}.npz"
        try:
            return _read(path)
        except Exception:  # damaged bytes can make a parser raise anything
            made = make()
        make_folder(path.parent)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            bits = np.packbits(made.grids)
            np.savez_compressed(file, bits=bits, shape=made.grids.shape, spacing=made.spacing)
        return made


def _read(path: Path) -> Grids:
    with np.load(path, allow_pickle=False) as content:
        bits, shape, spacing = (content[key] for key in ("bits", "shape", "spacing"))
    grids = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).view(np.bool_)
    i, j, k = spacing.tolist()
    return Grids(grids, (i, j, k))
