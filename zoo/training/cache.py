"""A cache on disk for grids that are expensive to make, shared by processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.volumes import atomic_path, make_folder

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Grids:
    """Grids of one case.

    Attributes:
        grids: (n, I, J, K), axes RAS: bool; uint8 for coverage in steps of 1/255 or for tissues;
            or float16 for intensities.
        spacing: voxel size along each axis, in mm.
    """

    grids: Bools | NDArray[np.uint8] | NDArray[np.float16]
    spacing: tuple[float, float, float]


class GridCache:
    """A folder of compressed grids, one .npz file per name, of at most n I J K / 8 bytes for bool.

    Args:
        folder: the folder, which is created when the first grids are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[], Grids]) -> Grids:
        """Return the grids under a name; if they are missing or damaged, make and keep them.

        Several processes may ask at once: files are written atomically, and each makes the same.

        Args:
            name: name of the grids; slashes in it make subfolders.
            make: makes the grids.

        Raises:
            WriteError: the grids cannot be kept.
        """
        path = self.folder / f"{name}.npz"
        try:
            return _read(path)
        except Exception:  # damaged bytes can make a parser raise anything
            made = make()
        make_folder(path.parent)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **_packed(made))
        return made


def _read(path: Path) -> Grids:
    with np.load(path, allow_pickle=False) as content:
        i, j, k = content["spacing"].tolist()
        if "values" in content:
            return Grids(content["values"], (i, j, k))
        bits, shape = content["bits"], content["shape"]
    grids = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).view(np.bool_)
    return Grids(grids, (i, j, k))


def _packed(made: Grids) -> dict[str, Any]:
    grids = made.grids
    if grids.dtype == np.bool_:
        return {
            "bits": np.packbits(grids.view(np.uint8)),
            "shape": grids.shape,
            "spacing": made.spacing,
        }
    return {"values": grids, "spacing": made.spacing}


def generator_digest(*modules: ModuleType) -> str:
    """A digest of the code that generates phantoms, so that a cache is not used after it changes.

        >>> from zoo import errors
        >>> generator_digest(errors) == generator_digest(errors)
        True

    Args:
        modules: the code; a package stands for all its modules.

    Returns:
        Hex digits.
    """
    code = b"".join(path.read_bytes() for module in modules for path in _sources(module))
    return hashlib.sha256(code).hexdigest()[:12]


def _sources(module: ModuleType) -> list[Path]:
    file = Path(str(module.__file__))
    return sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
