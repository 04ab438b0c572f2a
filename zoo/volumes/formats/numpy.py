"""NumPy: .npy holds the array alone; .npz holds `array` and `affine`. Pickles are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.volumes.volume import Volume


def read(path: Path) -> Volume:
    """Read a .npy file (identity affine), or a .npz file with `array` and perhaps `affine`."""
    with path.open("rb") as stream:
        if path.suffix.lower() == ".npy":
            return Volume(np.lib.format.read_array(stream, allow_pickle=False))
        with np.lib.npyio.NpzFile(stream, allow_pickle=False) as entries:
            if "array" not in entries:
                raise ValueError(f"no entry named 'array' among {entries.files}")
            affine = entries["affine"] if "affine" in entries else np.eye(4)
            return Volume(entries["array"], affine)


def write(volume: Volume, path: Path) -> None:
    """Write a .npy file (the affine is lost) or a .npz file."""
    with path.open("wb") as stream:
        if path.suffix.lower() == ".npy":
            np.lib.format.write_array(stream, volume.array, allow_pickle=False)
        else:
            np.savez_compressed(stream, array=volume.array, affine=volume.affine)
