"""`sparse-super-resolution`: from a coarse shape, laid on a fine grid, to the fine one."""

from __future__ import annotations

from zoo.architectures.generative import GenerativeNetwork


class SparseSuperResolution(GenerativeNetwork):
    """Removes the corners of coarse voxels, and adds what they had lost."""

    task = "super-resolution"
