"""Inner loops of `narrow`: a run of channels with a matrix of weights."""

# mypy: ignore-errors
# (neither Numba's nor LLVM's builders are typed)

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from zoo.sparse.backends.cpu.lanes import Lanes

CHAINS = 4  # sums in flight in `accumulate`: one alone would wait four cycles for every product


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
