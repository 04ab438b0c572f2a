"""Backend `gpu`: sparse convolution on bitmaps, compiled by Triton when it is first used.

The index is the one of backend `cpu`, on the GPU; every operation is a kernel whose blocks own what
they write, without atomics, so that results repeat. Kernels take the geometry of a bitmap as six
numbers, not as one structure: of a tuple's members Triton 3.9 compiles 1s and multiples of 16 in
even where it is told not to specialize, so that every volume would be compiled for anew.
"""

from zoo.errors import MissingDependency

try:
    import triton as triton
except ImportError as error:
    raise MissingDependency(
        "backend gpu needs Triton, which comes with PyTorch's wheels for CUDA on Linux:"
        f" pip install triton ({error})"
    ) from error
