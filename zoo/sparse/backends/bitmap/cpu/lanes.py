"""Inner loops on vector registers, written in LLVM's terms: the sums must stay in registers.

Numba's vectoriser would keep them in memory, as it cannot know that arrays do not overlap. Vectors
have a fixed length and a fixed order of summation; a processor with shorter ones splits them.
"""

# mypy: ignore-errors
# (neither Numba's nor LLVM's builders are typed)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from zoo.sparse.backends.bitmap.cpu.bits import element
from zoo.sparse.backends.bitmap.cpu.parts import part

REGISTER_BYTES = 64


@part
def aligned(count, like):
    """Zeros at a whole register: reading back a sum that straddles two cache lines is slow."""
    spare = REGISTER_BYTES // like.itemsize
    room = np.zeros(count + spare, like.dtype)
    skip = (-room.ctypes.data % REGISTER_BYTES) // like.itemsize
    return room[skip : skip + count]


class Lanes:
    """Vectors of a number of registers over the number type of an array."""

    def __init__(self, context: Any, builder: Any, array_type: Any, registers: int = 1) -> None:
        self.context, self.builder = context, builder
        self.align = array_type.dtype.bitwidth // 8
        self.width = registers * REGISTER_BYTES // self.align
        self.vector = ir.VectorType(context.get_data_type(array_type.dtype), self.width)
        self.zero = ir.Constant(self.vector, None)

    def pointer(self, kind: Any, array: Any, at: Any) -> Any:
        return element(self.context, self.builder, kind, array, at)

    def load(self, pointer: Any) -> Any:
        typed = self.builder.bitcast(pointer, self.vector.as_pointer())
        return self.builder.load(typed, align=self.align)

    def store(self, value: Any, pointer: Any) -> None:
        typed = self.builder.bitcast(pointer, self.vector.as_pointer())
        self.builder.store(value, typed, align=self.align)

    def row(self, matrix: Any, n: Any) -> Any:
        """Pointer to row n of a matrix with `width` columns."""
        return self.builder.gep(matrix, [self.builder.mul(n, n.type(self.width))])

    def broadcast(self, pointer: Any) -> Any:
        return self.splat(self.builder.load(pointer))

    def splat(self, value: Any) -> Any:
        """A vector of one value."""
        nothing = ir.Constant(ir.VectorType(value.type, self.width), ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        positions = ir.Constant(ir.VectorType(ir.IntType(32), self.width), None)
        single = self.builder.insert_element(nothing, value, first)
        return self.builder.shuffle_vector(single, nothing, positions)

    def take(self, vector: Any, positions: Sequence[int]) -> Any:
        """The vector of those elements of another."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), len(positions)), list(positions))
        nothing = ir.Constant(vector.type, ir.Undefined)
        return self.builder.shuffle_vector(vector, nothing, numbers)

    def join(self, vectors: Sequence[Any]) -> Any:
        """One vector of a power of two of equal ones, end to end."""
        if len(vectors) == 1:
            return vectors[0]
        half = len(vectors) // 2
        left, right = self.join(vectors[:half]), self.join(vectors[half:])
        length = left.type.count * 2
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), length), list(range(length)))
        return self.builder.shuffle_vector(left, right, numbers)

    def below(self, count: Any) -> Any:
        """Which lanes have a number lower than count."""
        numbers = ir.Constant(ir.VectorType(count.type, self.width), list(range(self.width)))
        return self.builder.icmp_signed("<", numbers, self.splat(count))

    def multiply_add(self, a: Any, b: Any, total: Any) -> None:
        """Add a * b to the variable `total`; fused where the processor can."""
        fused = ("contract",)
        product = self.builder.fmul(a, b, flags=fused)
        self.builder.store(self.builder.fadd(product, self.builder.load(total), flags=fused), total)

    def variables(self, values: Sequence[Any]) -> list[Any]:
        return [cgutils.alloca_once_value(self.builder, value) for value in values]


@intrinsic
def rectify(context, values, at, scale, shift, period, count):
    """values = max(values * scale + shift, 0), in place, for `count` times as long as shift is.

    scale and shift are `period` vectors; values are taken from position `at` on.
    """

    def generate(context, builder, signature, arguments):
        values, at, scale, shift, period, count = arguments
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[0])
        start = lanes.pointer(kinds[0], values, at)
        scales = lanes.pointer(kinds[2], scale, period.type(0))
        shifts = lanes.pointer(kinds[3], shift, period.type(0))
        with cgutils.for_range(builder, count) as outer:
            first = builder.mul(outer.index, period)
            with cgutils.for_range(builder, period) as inner:
                to = lanes.row(start, builder.add(first, inner.index))
                total = cgutils.alloca_once_value(
                    builder, lanes.load(lanes.row(shifts, inner.index))
                )
                factor = lanes.load(lanes.row(scales, inner.index))
                lanes.multiply_add(lanes.load(to), factor, total)
                total = builder.load(total)
                # NaN stays, as with torch.relu.
                negative = builder.fcmp_ordered("<", total, lanes.zero)
                lanes.store(builder.select(negative, lanes.zero, total), to)
        return context.get_dummy_value()

    n = types.intp
    return types.void(values, n, scale, shift, n, n), generate


@intrinsic
def clear(context, out, at, count):
    """out[at : at + count * LANES] = 0."""

    def generate(context, builder, signature, arguments):
        out, at, count = arguments
        lanes = Lanes(context, builder, signature.args[0])
        start = lanes.pointer(signature.args[0], out, at)
        with cgutils.for_range(builder, count) as loop:
            lanes.store(lanes.zero, lanes.row(start, loop.index))
        return context.get_dummy_value()

    return types.void(out, types.intp, types.intp), generate
