"""The architecture `sparse-completion`, which adds what is missing from a binary shape."""

from __future__ import annotations

from zoo.networks.generative import GenerativeNetwork


class SparseCompletion(GenerativeNetwork):
    """Predicts the complete shape from a defective one; see `GenerativeNetwork`."""

    task = "completion"
