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
from numba.np import arrayobj

from zoo.sparse.backends.cpu.runtime import jit

REGISTER_BYTES = 64
CHAINS = 4  # sums in flight in `accumulate`: one alone would wait four cycles for every product


@jit
def aligned(count, like):
    """Zeros at a whole register: reading back a sum that straddles two cache lines is slow."""
    spare = REGISTER_BYTES // like.itemsize
    room = np.zeros(count + spare, like.dtype)
    skip = (-room.ctypes.data % REGISTER_BYTES) // like.itemsize
    return room[skip : skip + count]


class Lanes:
    """Vectors of a number of registers over the float type of an array."""

    def __init__(self, context: Any, builder: Any, array_type: Any, registers: int = 1) -> None:
        self.context, self.builder, self.array_type = context, builder, array_type
        self.align = array_type.dtype.bitwidth // 8
        self.width = registers * REGISTER_BYTES // self.align
        self.vector = ir.VectorType(context.get_data_type(array_type.dtype), self.width)
        self.zero = ir.Constant(self.vector, None)

    def pointer(self, array: Any, at: Any) -> Any:
        data = arrayobj.make_array(self.array_type)(self.context, self.builder, array).data
        return self.builder.gep(data, [at])

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
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        places = ir.Constant(ir.VectorType(ir.IntType(32), self.width), None)
        single = self.builder.insert_element(nothing, self.builder.load(pointer), first)
        return self.builder.shuffle_vector(single, nothing, places)

    def multiply_add(self, a: Any, b: Any, total: Any) -> None:
        """Add a * b to the variable `total`; fused where the processor can."""
        fused = ("contract",)
        product = self.builder.fmul(a, b, flags=fused)
        self.builder.store(self.builder.fadd(product, self.builder.load(total), flags=fused), total)

    def variables(self, values: Sequence[Any]) -> list[Any]:
        return [cgutils.alloca_once_value(self.builder, value) for value in values]


@intrinsic
def accumulate(context, out, out_at, x, x_at, weights, weights_at, count):
    """out[:LANES] += x[:count] @ weights (count, LANES), each array from its own place on."""

    def generate(context, builder, signature, arguments):
        out, out_at, x, x_at, weights, weights_at, count = arguments
        lanes = Lanes(context, builder, signature.args[0])
        out, x = lanes.pointer(out, out_at), lanes.pointer(x, x_at)
        weights = lanes.pointer(weights, weights_at)
        sums = lanes.variables([lanes.load(out)] + [lanes.zero] * (CHAINS - 1))

        def step(total, n):
            factor = lanes.broadcast(builder.gep(x, [n]))
            lanes.multiply_add(factor, lanes.load(lanes.row(weights, n)), total)

        start, one, chains = count.type(0), count.type(1), count.type(CHAINS)
        whole = builder.and_(count, count.type(-CHAINS))
        with cgutils.for_range_slice(builder, start, whole, chains, count.type) as (n, _):
            for chain, total in enumerate(sums):
                step(total, builder.add(n, n.type(chain)))
        with cgutils.for_range_slice(builder, whole, count, one, count.type) as (n, _):
            step(sums[0], n)
        a, b, c, d = [builder.load(total) for total in sums]
        lanes.store(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)), out)
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, weights, n, n), generate


@intrinsic
def accumulate_outer(context, out, out_at, x, x_at, gradient, gradient_at, count):
    """out (count, LANES) += outer(x[:count], gradient[:LANES]), each from its own place on."""

    def generate(context, builder, signature, arguments):
        out, out_at, x, x_at, gradient, gradient_at, count = arguments
        lanes = Lanes(context, builder, signature.args[0])
        out, x = lanes.pointer(out, out_at), lanes.pointer(x, x_at)
        gradient = lanes.load(lanes.pointer(gradient, gradient_at))
        with cgutils.for_range(builder, count) as loop:
            row = lanes.row(out, loop.index)
            (total,) = lanes.variables([lanes.zero])
            builder.store(lanes.load(row), total)
            lanes.multiply_add(lanes.broadcast(builder.gep(x, [loop.index])), gradient, total)
            lanes.store(builder.load(total), row)
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, gradient, n, n), generate


def rows_kernel(rows: int, registers: int) -> Any:
    """A product that uses every weight it loads for several rows."""

    @intrinsic
    def multiply_rows(context, out, to, x, rows_of_x, at, weights, weights_at, channels, stride):
        """out[to[n]] += x[rows_of_x[n]] @ weights (channels, LANES) for `rows` numbers n from `at`.

        out and x are flat; to and rows_of_x hold row numbers of `stride` and `channels` columns.
        """

        def generate(context, builder, signature, arguments):
            out, to, x, rows_of_x, at, weights, weights_at, channels, stride = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0], registers)
            numbers = Lanes(context, builder, kinds[1])

            def starts(array, kind, row_numbers, columns):
                first = numbers.pointer(row_numbers, at)
                for n in range(rows):
                    number = builder.load(builder.gep(first, [at.type(n)]))
                    place = builder.mul(builder.sext(number, at.type), columns)
                    yield Lanes(context, builder, kind).pointer(array, place)

            sources = list(starts(x, kinds[2], rows_of_x, channels))
            targets = list(starts(out, kinds[0], to, stride))
            weights = lanes.pointer(weights, weights_at)
            sums = lanes.variables([lanes.load(target) for target in targets])
            with cgutils.for_range(builder, channels) as loop:
                row = lanes.load(lanes.row(weights, loop.index))
                for source, total in zip(sources, sums, strict=True):
                    factor = lanes.broadcast(builder.gep(source, [loop.index]))
                    lanes.multiply_add(factor, row, total)
            for total, target in zip(sums, targets, strict=True):
                lanes.store(builder.load(total), target)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, to, x, rows_of_x, n, weights, n, n, n), generate

    return multiply_rows


def pairs_kernel(channels_at_once: int, registers: int) -> Any:
    """A sum of outer products that stays in registers over all pairs of rows."""

    @intrinsic
    def multiply_pairs(
        context, out, out_at, x, rows_of_x, channel, channels, y, rows_of_y, y_at, stride, count
    ):
        """Add the sum over n of outer(x[rows_of_x[n], channel:], y[rows_of_y[n]]) to a tile of out.

        The tile is (channels_at_once, LANES) from out_at on. x and y are flat with `channels` and
        `stride` columns; y is read from column y_at on.
        """

        def generate(context, builder, signature, arguments):
            out, out_at, x, rows_of_x, channel, channels, y, rows_of_y, y_at, stride, count = (
                arguments
            )
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0], registers)
            numbers = Lanes(context, builder, kinds[3])
            out = lanes.pointer(out, out_at)
            one, other = [numbers.pointer(a, count.type(0)) for a in (rows_of_x, rows_of_y)]
            tile = [lanes.row(out, count.type(n)) for n in range(channels_at_once)]
            sums = lanes.variables([lanes.load(row) for row in tile])

            def place(row_numbers, n, columns, column):
                number = builder.sext(builder.load(builder.gep(row_numbers, [n])), count.type)
                return builder.add(builder.mul(number, columns), column)

            with cgutils.for_range(builder, count) as loop:
                left = lanes.pointer(x, place(one, loop.index, channels, channel))
                right = lanes.load(lanes.pointer(y, place(other, loop.index, stride, y_at)))
                for n, total in enumerate(sums):
                    factor = lanes.broadcast(builder.gep(left, [count.type(n)]))
                    lanes.multiply_add(factor, right, total)
            for total, row in zip(sums, tile, strict=True):
                lanes.store(builder.load(total), row)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, x, rows_of_x, n, n, y, rows_of_y, n, n, n), generate

    return multiply_pairs
