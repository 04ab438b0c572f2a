"""The convolutions by name: how many rows a kernel has, and what applies it."""

from zoo import sparse

OPERATIONS = {
    "k3": (27, lambda x, kernel: sparse.convolution(x, kernel)),
    "k2 down": (8, lambda x, kernel: sparse.convolution(x, kernel, stride=2)),
    "k2 up": (8, sparse.generative_transposed_convolution),
    "k4 up": (64, sparse.generative_transposed_convolution),
}
