"""The bounds of a level's bitmap."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from zoo.errors import BackendError

MOST_VOXELS = 1 << 34  # of a bitmap: 2 GB of words, half as much of ranks
MOST_ROWS = (1 << 31) - 1  # ranks are int32


class Bounds(NamedTuple):
    """Bounds along i, j, k in units of the level's stride; `high` is the first that is outside.

    They follow from the operations, and may exceed the input's.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]

    def coarser(self) -> Bounds:
        return Bounds(tuple(n // 2 for n in self.low), tuple((n + 1) // 2 for n in self.high))

    def finer(self, size: int) -> Bounds:
        """What a kernel of that size reaches at half the stride."""
        return Bounds(tuple(2 * n for n in self.low), tuple(2 * n - 2 + size for n in self.high))

    def around(self, other: Bounds) -> Bounds:
        return Bounds(tuple(map(min, self.low, other.low)), tuple(map(max, self.high, other.high)))

    @property
    def first(self) -> tuple[int, int, int]:
        """Absolute numbers of the bitmap's first line (i, j), and of its first word along k."""
        i, j, k = self.low
        return i, j, k // 64

    def within(self, outer: Bounds) -> tuple[slice, slice, slice]:
        """Where the lines i, j and the words of this bitmap are in that of a box around it."""
        starts = [first - other for first, other in zip(self.first, outer.first, strict=True)]
        i, j, w = (slice(start, start + n) for start, n in zip(starts, self._shape, strict=True))
        return i, j, w

    @property
    def _shape(self) -> tuple[int, int, int]:
        """How many lines (i, j) the bitmap has, and words along k."""
        (i, j, k), (end_i, end_j, end_k) = self
        return end_i - i, end_j - j, -(-end_k // 64) - k // 64

    def words(self, batch_size: int, backend: str) -> tuple[int, int, int, int]:
        """Shape (B, I, J, W) of the bitmap: 64 voxels along k to a word, from a multiple of 64 on.

        Raises:
            BackendError: the box is out of all proportion; `backend` is the name that it names.
        """
        shape = batch_size, *self._shape
        if 64 * prod(shape) > MOST_VOXELS:
            size = " x ".join(str(b - a) for a, b in zip(*self, strict=True))
            raise BackendError(
                f"backend {backend} holds a bitmap of the bounding box, and {batch_size} x {size}"
                f" voxels exceed its limit of {MOST_VOXELS}: use backend torch for voxels this far"
                " apart"
            )
        return shape


def check_rows(count: int, backend: str) -> None:
    """Raise BackendError if there are more voxels than ranks can number."""
    if count > MOST_ROWS:
        raise BackendError(
            f"backend {backend} numbers at most {MOST_ROWS:,} voxels; use a coarser grid"
        )
