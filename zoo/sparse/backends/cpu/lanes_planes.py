"""Inner loops of `planes`: rows to planes and back, and vectors of neighbouring voxels."""

# mypy: ignore-errors
# (neither Numba's nor LLVM's builders are typed)

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from zoo.sparse.backends.cpu.lanes import Lanes


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
