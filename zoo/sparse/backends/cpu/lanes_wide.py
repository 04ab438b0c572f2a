"""Inner loops of `wide`: pairs of rows with matrices of weights."""

# mypy: ignore-errors
# (neither Numba's nor LLVM's builders are typed)

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from zoo.sparse.backends.cpu.lanes import Lanes


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
