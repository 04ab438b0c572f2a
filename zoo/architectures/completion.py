"""`sparse-completion`: adds what is missing from a binary shape."""

from __future__ import annotations

from zoo.architectures.generative import GenerativeNetwork


class SparseCompletion(GenerativeNetwork):
    """From a defective shape to the complete one."""

    task = "completion"
