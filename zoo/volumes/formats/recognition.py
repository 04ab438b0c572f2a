"""Which format it is, where no name says so."""

from __future__ import annotations

MAGIC = (  # suffix, the position of what every such file has there
    ("nii.gz", 0, b"\x1f\x8b"),
    ("nii", 344, b"n+1"),
    ("nii", 4, b"n+2"),
    ("nrrd", 0, b"NRRD"),
    ("mha", 0, b"ObjectType"),
    ("npy", 0, b"\x93NUMPY"),
    ("npz", 0, b"PK"),
)
LONGEST_START = 352  # bytes that are enough to tell


def suffix_of(start: bytes) -> str | None:
    """The suffix that a file's name should have, from its first bytes; None if nothing fits.

        >>> suffix_of(b"NRRD0004 ...")
        'nrrd'

    Args:
        start: its first `LONGEST_START` bytes, or all of it.
    """
    fits = (suffix for suffix, at, magic in MAGIC if start[at:].startswith(magic))
    return next(fits, None)
