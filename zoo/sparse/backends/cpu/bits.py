"""Single instructions that Numba has no name for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.extending import intrinsic
from numba.np import arrayobj


@intrinsic
def popcount(context: Any, word: Any) -> Any:
    """How many bits of a uint64 are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def lowest(context: Any, word: Any) -> Any:
    """Position of the lowest set bit of a uint64; 64 if there is none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def peek(context: Any, array: Any, n: Any) -> Any:
    """Element n of an array in C order, counted flat; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, n = arguments
        data = arrayobj.make_array(signature.args[0])(context, builder, array).data
        return builder.load(builder.gep(data, [n]))

    return array.dtype(array, types.intp), generate


@intrinsic
def poke(context: Any, array: Any, n: Any, value: Any) -> Any:
    """Set element n of an array in C order, counted flat; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, n, value = arguments
        data = arrayobj.make_array(signature.args[0])(context, builder, array).data
        builder.store(value, builder.gep(data, [n]))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate
