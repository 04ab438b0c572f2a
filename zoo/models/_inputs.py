"""What a prediction is given: placed in space, read with the digest of its file, and described."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from zoo.anatomy import Threshold
from zoo.cards import sha256_of
from zoo.errors import ConfigError, ReadError
from zoo.volumes import Volume, shortened

Triple = tuple[float, float, float]


def placed(volume: Any, spacing: float | Triple | None, affine: ArrayLike | None) -> Any:
    """An array or tensor as a volume with that spacing or affine; what has its own as it is.

    Raises:
        ConfigError: both, or for what has its own.
    """
    if spacing is None and affine is None:
        return volume
    bare = isinstance(volume, np.ndarray | torch.Tensor)
    if not bare or (spacing is not None and affine is not None):
        got = "both" if bare else f"{type(volume).__name__}, which has its own"
        raise ConfigError(f"wanted spacing= or affine= for an array or a tensor, got {got}")
    array = Volume.of(volume)
    if affine is None:
        lengths = np.asarray(spacing, dtype=float)
        if lengths.shape not in ((), (3,)) or not (lengths > 0).all():
            raise ConfigError(f"spacing: wanted one length above 0 mm or three, got {spacing!r}")
        affine = np.diag([*np.broadcast_to(lengths, 3), 1.0])
    return Volume(array.array, np.asarray(affine))


def read(given: Any) -> tuple[Volume, str]:
    """Read a volume; also the sha256 of the file if the path of one was given, or of the array.

    Raises:
        ReadError: the file changed while it was being read.
    """
    if not (isinstance(given, str | os.PathLike) and os.path.isfile(given)):
        source = Volume.of(given)
        return source, hashlib.sha256(np.ascontiguousarray(source.array).data).hexdigest()
    before = _stamp(given)
    source, digest = Volume.of(given), sha256_of(Path(given))
    if _stamp(given) != before:
        raise ReadError(
            f"{given}: changed while it was being read; predict again when it is complete"
        )
    return replace(source, array=shortened(source.array)), digest  # which is kept to the end


def found_out(source: Volume, threshold: Threshold) -> dict[str, Any]:
    """What was found out about an input, for a report."""
    return {
        "shape": list(source.shape),
        "orientation": source.orientation,
        "spacing": list(source.spacing),
        "unit": source.frame.unit if source.frame else "mm",
        "threshold": threshold,
    }


def _stamp(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    facts = os.stat(path)
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
