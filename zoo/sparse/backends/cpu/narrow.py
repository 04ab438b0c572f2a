"""Compiled convolution for few channels: voxel by voxel, straight from the bitmap.

The voxels that follow each other in a window have adjacent rows, and their weights are adjacent
too: so each run of them is one product of a vector with a matrix. Weights are packed as (parity,
line, block of LANES outputs, place in the window, C_in, LANES).
"""

# mypy: ignore-errors
# (Numba infers the types)

from __future__ import annotations

import numpy as np
import torch

from zoo.sparse.backends.cpu.bits import lowest, peek, poke
from zoo.sparse.backends.cpu.lanes import aligned
from zoo.sparse.backends.cpu.lanes_narrow import accumulate, accumulate_outer
from zoo.sparse.backends.cpu.runtime import bare, jit
from zoo.sparse.backends.cpu.windows import (
    enter_line,
    is_empty,
    look,
    new_view,
    pieces_per_word,
    shifted,
    voxels,
    window,
)

U = np.uint64


def pack(kernel: torch.Tensor, rows: torch.Tensor, width: int, lanes: int) -> torch.Tensor:
    """Kernel (K, C_in, C_out) as the compiled code has it, zero beyond C_out."""
    matrices = split_outputs(kernel, lanes)[rows].unflatten(0, (-1, width * width, width))
    return matrices.movedim(-2, 2).contiguous()


def unpack(packed: torch.Tensor, c_in: int, c_out: int) -> torch.Tensor:
    """The inverse of `pack`, but for the order of rows."""
    return packed.movedim(2, -2).flatten(-2)[..., :c_out]


def split_outputs(kernel: torch.Tensor, lanes: int) -> torch.Tensor:
    """(..., C_out) -> (..., blocks, lanes), zero beyond C_out."""
    blocks = -(-kernel.shape[-1] // lanes)
    missing = blocks * lanes - kernel.shape[-1]
    padded = torch.nn.functional.pad(kernel, (0, missing)) if missing else kernel
    return padded.unflatten(-1, (blocks, lanes))


@jit
def convolve(_, begin, end, target, source, relation, features, weights, out):
    """out[p] = sum over the relation of features[q] @ weights, for a span of target lines."""
    _, lines, blocks, _, _, lanes = weights.shape
    total = aligned(blocks * lanes, features)
    view = new_view(lines)
    convolve_span(begin, end, target, source, relation, features, weights, out, view, total)


@bare
def convolve_span(begin, end, target, source, relation, x, w, out, view, total):
    _, lines, blocks, width, channels, lanes = w.shape
    pieces = target.words.shape[3] * pieces_per_word(relation)
    for line in range(begin, end):
        if is_empty(target, line):
            continue
        plane = enter_line(view, source, target, relation, line)
        for piece in range(pieces):
            word, row = voxels(target, relation, line, piece)
            if not word:
                continue
            found = look(view, source, target, relation, piece)
            while word:
                k = lowest(word)
                word &= word - U(1)
                parity = plane + (k & 1) if relation.scale < 0 else plane
                for c in range(blocks * lanes):
                    total[c] = 0
                for n in range(found):
                    bits, near = window(view, n, shifted(k, relation.scale), width)
                    matrices = (parity * lines + view.which[n]) * blocks
                    step = 0
                    while bits:
                        gap = lowest(bits)
                        bits >>= U(gap)
                        run = lowest(~bits)
                        bits >>= U(run)
                        step += gap
                        for block in range(blocks):
                            matrix = (matrices + block) * width + step
                            accumulate(
                                total, block * lanes, x, near * channels,
                                w, matrix * channels * lanes, run * channels,
                            )  # fmt: skip
                        step += run
                        near += run
                for c in range(out.shape[1]):
                    poke(out, row * out.shape[1] + c, peek(total, c))
                row += 1


@jit
def correlate(number, begin, end, target, source, relation, features, gradient, out):
    """Add the gradient of `convolve` with respect to its weights, of a span, to out[number]."""
    part = out[number]
    _, lines, blocks, _, _, lanes = part.shape
    padded = aligned(blocks * lanes, features)
    view = new_view(lines)
    correlate_span(begin, end, target, source, relation, features, gradient, part, view, padded)


@bare
def correlate_span(begin, end, target, source, relation, x, gradient, part, view, padded):
    _, lines, blocks, width, channels, lanes = part.shape
    pieces = target.words.shape[3] * pieces_per_word(relation)
    for line in range(begin, end):
        if is_empty(target, line):
            continue
        plane = enter_line(view, source, target, relation, line)
        for piece in range(pieces):
            word, row = voxels(target, relation, line, piece)
            if not word:
                continue
            found = look(view, source, target, relation, piece)
            while word:
                k = lowest(word)
                word &= word - U(1)
                parity = plane + (k & 1) if relation.scale < 0 else plane
                for c in range(gradient.shape[1]):
                    poke(padded, c, peek(gradient, row * gradient.shape[1] + c))
                for n in range(found):
                    bits, near = window(view, n, shifted(k, relation.scale), width)
                    matrices = (parity * lines + view.which[n]) * blocks
                    step = 0
                    while bits:
                        gap = lowest(bits)
                        bits >>= U(gap)
                        run = lowest(~bits)
                        bits >>= U(run)
                        step += gap
                        for block in range(blocks):
                            matrix = (matrices + block) * width + step
                            accumulate_outer(
                                part, matrix * channels * lanes, x, near * channels,
                                padded, block * lanes, run * channels,
                            )  # fmt: skip
                        step += run
                        near += run
                row += 1
