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
    """Vectors of a number of registers over the number type of an array."""

    def __init__(self, context: Any, builder: Any, array_type: Any, registers: int = 1) -> None:
        self.context, self.builder = context, builder
        self.align = array_type.dtype.bitwidth // 8
        self.width = registers * REGISTER_BYTES // self.align
        self.vector = ir.VectorType(context.get_data_type(array_type.dtype), self.width)
        self.zero = ir.Constant(self.vector, None)

    def pointer(self, kind: Any, array: Any, at: Any) -> Any:
        """Pointer to an element, counted flat, of an array of that Numba type."""
        data = arrayobj.make_array(kind)(self.context, self.builder, array).data
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

    def take(self, vector: Any, places: Sequence[int]) -> Any:
        """The vector of those elements of another."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
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
        kind = ir.VectorType(count.type, self.width)
        first = ir.Constant(ir.IntType(32), 0)
        places = ir.Constant(ir.VectorType(ir.IntType(32), self.width), None)
        nothing = ir.Constant(kind, ir.Undefined)
        single = self.builder.insert_element(nothing, count, first)
        counts = self.builder.shuffle_vector(single, nothing, places)
        numbers = ir.Constant(kind, list(range(self.width)))
        return self.builder.icmp_signed("<", numbers, counts)

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
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[0])
        out, x = lanes.pointer(kinds[0], out, out_at), lanes.pointer(kinds[2], x, x_at)
        weights = lanes.pointer(kinds[4], weights, weights_at)
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
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[0])
        out, x = lanes.pointer(kinds[0], out, out_at), lanes.pointer(kinds[2], x, x_at)
        gradient = lanes.load(lanes.pointer(kinds[4], gradient, gradient_at))
        with cgutils.for_range(builder, count) as loop:
            row = lanes.row(out, loop.index)
            (total,) = lanes.variables([lanes.zero])
            builder.store(lanes.load(row), total)
            lanes.multiply_add(lanes.broadcast(builder.gep(x, [loop.index])), gradient, total)
            lanes.store(builder.load(total), row)
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, x, n, gradient, n, n), generate


@intrinsic
def rectify(context, values, at, scale, shift, period, count):
    """values = max(values * scale + shift, 0), in place, for `count` times as long as shift is.

    scale and shift are `period` vectors; values are taken from place `at` on.
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


def rows_kernel(rows: int, registers: int) -> Any:
    """A product that uses every weight it loads for several rows."""

    @intrinsic
    def multiply_rows(
        context, out, out_at, to, x, rows_of_x, at, weights, weights_at, channels, stride
    ):
        """out[to[n]] += x[rows_of_x[n]] @ weights (channels, LANES) for `rows` numbers n from `at`.

        to and rows_of_x hold numbers of rows of `stride` and `channels` columns; out is written
        from column out_at on.
        """

        def generate(context, builder, signature, arguments):
            out, out_at, to, x, rows_of_x, at, weights, weights_at, channels, stride = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0], registers)

            def starts(kind, array, kind_of_numbers, row_numbers, columns, column):
                first = lanes.pointer(kind_of_numbers, row_numbers, at)
                for n in range(rows):
                    number = builder.load(builder.gep(first, [at.type(n)]))
                    place = builder.mul(builder.sext(number, at.type), columns)
                    place = builder.add(place, column)
                    yield lanes.pointer(kind, array, place)

            sources = list(starts(kinds[3], x, kinds[4], rows_of_x, channels, at.type(0)))
            targets = list(starts(kinds[0], out, kinds[2], to, stride, out_at))
            weights = lanes.pointer(kinds[6], weights, weights_at)
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
        return types.void(out, n, to, x, rows_of_x, n, weights, n, n, n), generate

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
            out = lanes.pointer(kinds[0], out, out_at)
            one = lanes.pointer(kinds[3], rows_of_x, count.type(0))
            other = lanes.pointer(kinds[7], rows_of_y, count.type(0))
            tile = [lanes.row(out, count.type(n)) for n in range(channels_at_once)]
            sums = lanes.variables([lanes.load(row) for row in tile])

            def place(row_numbers, n, columns, column):
                number = builder.sext(builder.load(builder.gep(row_numbers, [n])), count.type)
                return builder.add(builder.mul(number, columns), column)

            with cgutils.for_range(builder, count) as loop:
                left = lanes.pointer(kinds[2], x, place(one, loop.index, channels, channel))
                right = lanes.load(
                    lanes.pointer(kinds[6], y, place(other, loop.index, stride, y_at))
                )
                for n, total in enumerate(sums):
                    factor = lanes.broadcast(builder.gep(left, [count.type(n)]))
                    lanes.multiply_add(factor, right, total)
            for total, row in zip(sums, tile, strict=True):
                lanes.store(builder.load(total), row)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, x, rows_of_x, n, n, y, rows_of_y, n, n, n), generate

    return multiply_pairs


def spread_kernel(channels: int, twice: bool) -> Any:
    """Rows to planes: a vector of rows (LANES, channels) becomes a vector in each plane."""

    @intrinsic
    def spread_rows(context, planes, at, length, x, x_at, count):
        """planes[at + c * length + n] = x[x_at + n * channels + c], n < count, and 0 up to LANES.

        With `twice` every voxel is written to two neighbouring places.
        """

        def generate(context, builder, signature, arguments):
            planes, at, length, x, x_at, count = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0])
            rows = Lanes(context, builder, kinds[3], channels)
            inside = lanes.below(count)
            joined = rows.load(rows.pointer(kinds[3], x, x_at))
            for c in range(channels):
                values = lanes.take(joined, range(c, channels * lanes.width, channels))
                values = builder.select(inside, values, lanes.zero)
                start = builder.add(at, builder.mul(length, length.type(c)))
                if not twice:
                    lanes.store(values, lanes.pointer(kinds[0], planes, start))
                    continue
                for half in range(2):
                    first = half * lanes.width
                    part = lanes.take(values, [(first + n) // 2 for n in range(lanes.width)])
                    to = builder.add(start, start.type(first))
                    lanes.store(part, lanes.pointer(kinds[0], planes, to))
            return context.get_dummy_value()

        n = types.intp
        return types.void(planes, n, n, x, n, n), generate

    return spread_rows


def gather_kernel(channels: int) -> Any:
    """Planes to rows, the inverse."""

    @intrinsic
    def gather_rows(context, out, out_at, planes, at, length):
        """out[out_at + n * channels + c] = planes[at + c * length + n], n < LANES."""

        def generate(context, builder, signature, arguments):
            out, out_at, planes, at, length = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[2])
            rows = Lanes(context, builder, kinds[0], channels)
            starts = [builder.add(at, builder.mul(length, length.type(c))) for c in range(channels)]
            planes = [lanes.load(lanes.pointer(kinds[2], planes, start)) for start in starts]
            order = [c * lanes.width + n for n in range(lanes.width) for c in range(channels)]
            rows.store(lanes.take(lanes.join(planes), order), rows.pointer(kinds[0], out, out_at))
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, planes, n, n), generate

    return gather_rows


def planes_kernel(outputs: int, groups: int) -> Any:
    """A product over steps, for `groups` vectors of neighbouring voxels and `outputs` at once."""

    @intrinsic
    def multiply_planes(
        context, out, at, length, planes, steps, count, weights, matrix, places, first
    ):
        """Sum over steps of planes * weights, for the vectors at places[first + group].

        out is `outputs` planes of `length` from `at` on. steps (count, 2) holds places in planes,
        to which the vector's is added, and in weights (outputs, LANES), counted from `matrix` on.
        """

        def generate(context, builder, signature, arguments):
            out, at, length, planes, steps, count, weights, matrix, places, first = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0])
            kernel = lanes.pointer(kinds[6], weights, matrix)
            list_of_places = lanes.pointer(kinds[8], places, first)
            places = [
                builder.load(builder.gep(list_of_places, [count.type(n)])) for n in range(groups)
            ]
            starts = [lanes.pointer(kinds[3], planes, place) for place in places]
            sums = [lanes.variables([lanes.zero] * outputs) for _ in range(groups)]
            with cgutils.for_range(builder, count) as loop:
                step = lanes.pointer(kinds[4], steps, builder.shl(loop.index, count.type(1)))
                source = builder.load(step)
                row = builder.gep(kernel, [builder.load(builder.gep(step, [count.type(1)]))])
                factors = [lanes.load(lanes.row(row, count.type(o))) for o in range(outputs)]
                for start, totals in zip(starts, sums, strict=True):
                    x = lanes.load(builder.gep(start, [source]))
                    for factor, total in zip(factors, totals, strict=True):
                        lanes.multiply_add(x, factor, total)
            for place, totals in zip(places, sums, strict=True):
                for o, total in enumerate(totals):
                    column = builder.add(at, builder.mul(length, length.type(o)))
                    to = lanes.pointer(kinds[0], out, builder.add(column, place))
                    lanes.store(builder.load(total), to)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, n, planes, steps, n, weights, n, places, n), generate

    return multiply_planes


def outer_kernel(outputs: int) -> Any:
    """A sum over vectors of neighbouring voxels that stays in registers, for one step."""

    @intrinsic
    def add_planes(context, out, at, planes, start, gradient, first, length, places, count):
        """out (outputs, LANES) from `at` on += sum over places of planes * gradient.

        planes is read at start + place; gradient is `outputs` planes of `length` from `first` on,
        read at place.
        """

        def generate(context, builder, signature, arguments):
            out, at, planes, start, gradient, first, length, places, count = arguments
            kinds = signature.args
            lanes = Lanes(context, builder, kinds[0])
            to = lanes.pointer(kinds[0], out, at)
            left = lanes.pointer(kinds[2], planes, start)
            right = lanes.pointer(kinds[4], gradient, first)
            offsets = lanes.pointer(kinds[7], places, count.type(0))
            rows = [lanes.row(to, count.type(n)) for n in range(outputs)]
            sums = lanes.variables([lanes.load(row) for row in rows])
            with cgutils.for_range(builder, count) as loop:
                place = builder.load(builder.gep(offsets, [loop.index]))
                x = lanes.load(builder.gep(left, [place]))
                for n, total in enumerate(sums):
                    column = builder.add(place, builder.mul(length, count.type(n)))
                    lanes.multiply_add(x, lanes.load(builder.gep(right, [column])), total)
            for total, row in zip(sums, rows, strict=True):
                lanes.store(builder.load(total), row)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, planes, n, gradient, n, n, places, n), generate

    return add_planes
