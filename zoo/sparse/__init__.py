"""Sparse tensors and the operations on them, on an explicit backend."""

from zoo.sparse.backend import Backend
from zoo.sparse.backends.reference import KeyIndex, TorchBackend
from zoo.sparse.convolution_relation import SAME, Relation, kernel_offsets
from zoo.sparse.devices import DeviceMemory
from zoo.sparse.memory import COPIES, free_memory
from zoo.sparse.normalisation import Running
from zoo.sparse.operations import (
    add,
    at,
    coarsen,
    concatenate,
    contains,
    convolution,
    generative_transposed_convolution,
    normalise,
    prune,
    rectify,
    transposed_convolution,
)
from zoo.sparse.selection import check_backends, select_backend, torch_device
from zoo.sparse.tensor import Index, SparseTensor, pack

__all__ = [
    "COPIES",
    "SAME",
    "Backend",
    "DeviceMemory",
    "Index",
    "KeyIndex",
    "Relation",
    "Running",
    "SparseTensor",
    "TorchBackend",
    "add",
    "at",
    "check_backends",
    "coarsen",
    "concatenate",
    "contains",
    "convolution",
    "free_memory",
    "generative_transposed_convolution",
    "kernel_offsets",
    "normalise",
    "pack",
    "prune",
    "rectify",
    "select_backend",
    "torch_device",
    "transposed_convolution",
]
