"""The architecture `sparse-super-resolution`, which refines a coarse shape on a fine grid."""

from __future__ import annotations

from zoo.networks.generative import GenerativeNetwork


class SparseSuperResolution(GenerativeNetwork):
    """Predicts a fine shape from a coarse one, which is given on the fine grid, in blocks.

    Attributes:
        growth: voxels of the finest level for each that is given, about: once trained, it fills
            little more than the blocks.
    """

    task = "super-resolution"
    growth = 1.0
