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


def element(context: Any, builder: Any, kind: Any, array: Any, n: Any) -> Any:
    """LLVM's pointer to element n, in C order and counted flat, of an array of a Numba type."""
    return builder.gep(arrayobj.make_array(kind)(context, builder, array).data, [n])


@intrinsic
def peek(context: Any, array: Any, n: Any) -> Any:
    """Element n of an array in C order, counted flat; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(element(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def poke(context: Any, array: Any, n: Any, value: Any) -> Any:
    """Set element n of an array in C order, counted flat; nothing is checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, n, value = arguments
        builder.store(value, element(context, builder, signature.args[0], array, n))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate
