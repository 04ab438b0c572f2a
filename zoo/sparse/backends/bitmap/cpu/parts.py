"""Compiles the parts that compiled functions are made of, as far as those need it.

Numba optimises every function that another one calls, makes machine code of it, and then does both
again for whoever calls it, where all of it is inlined. For the functions here it is enough that
Numba translates them into terms of LLVM, in two thirds of the time or less.
"""

# mypy: ignore-errors
# (Numba has no types)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

TESTED = (0, 61), (0, 68)  # versions of Numba; tried: 0.61.2, 0.63.1, 0.65.1 and 0.68.1


class Part(JITCodeLibrary):
    """The code of a part in LLVM's terms: neither optimised, nor to be called by itself."""

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True


class PartCompiler(Compiler):
    """Numba's compiler, up to LLVM's terms."""

    def __init__(self, typing, target, library, *arguments, **options):
        super().__init__(typing, target, Part(target.codegen(), "part"), *arguments, **options)
        self.state.targetctx.get_executable = _not_executable


def _not_executable(library, function, environment):
    """What Numba knows a compiled function by."""
    module, name = function.lookup_module(), function.qualname
    return _dynfunc.make_function(module, name, "", 0, environment, (library,))


def part(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a part of compiled functions; it cannot be called from anywhere else."""
    options |= {"nogil": True, "error_model": "numpy"}
    if TESTED[0] <= numba.version_info.short <= TESTED[1]:
        options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        options["pipeline_class"] = PartCompiler
    return numba.njit(function, **options)


def bare(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a part without counting references to arrays.

    Numba counts them whenever an array gets a name, atomically, and threads that share an array
    would wait for each other at every line of a bitmap. Such code can neither make nor reshape one.
    """
    return part(function, _nrt=False, **options)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a `bare` part into each place that calls it."""
    return bare(function, forceinline=True)
