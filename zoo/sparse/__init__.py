"""The engine: sparse tensors and the operations on them, on an explicit backend."""

from zoo.sparse.backend import Backend
from zoo.sparse.operations import (
    add,
    coarsen,
    concatenate,
    contains,
    convolution,
    generative_transposed_convolution,
    prune,
    rectify,
    transposed_convolution,
)
from zoo.sparse.relation import kernel_offsets
from zoo.sparse.tensor import Index, SparseTensor

__all__ = [
    "Backend",
    "Index",
    "SparseTensor",
    "add",
    "coarsen",
    "concatenate",
    "contains",
    "convolution",
    "generative_transposed_convolution",
    "kernel_offsets",
    "prune",
    "rectify",
    "transposed_convolution",
]
