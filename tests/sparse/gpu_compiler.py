"""Compiles the kernels of backend `gpu` for GPUs that need not be there, as Triton would for them.

    python tests/sparse/gpu_compiler.py

prints a line of JSON: of every kernel the registers and the bytes of stack that a thread takes, and
how many instructions of some kinds it has. Triton must not run as an interpreter.
"""

import json
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from zoo.sparse.backends.bitmap.gpu import convolution, narrow, rows, words
from zoo.sparse.convolution_relation import SAME, down, up

TYPES = {
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp64",
}
RELATIONS = {"same": SAME, "down": down(2), "up": up(2), "wide up": up(4), "wide down": down(4)}
POINTERS = {"words": "i64", "others": "i64"}
POINTERS |= {"positions": "i32", "rank": "i32", "counts": "i32", "mask": "u8", "keep": "u8"}
LAYERS = [  # relation, channels in and out, type, whether its gradient
    *(("same", c_in, c_out, torch.float16) for c_in, c_out in ((1, 2), (2, 2), (8, 8), (32, 32))),
    ("same", 64, 128, torch.bfloat16),
    ("same", 22, 32, torch.float32),
    ("same", 5, 9, torch.float64),
    *((name, 16, 32, torch.float16) for name in ("down", "up", "wide up", "wide down")),
    *((name, 2, 4, torch.float16) for name in ("down", "up", "wide up", "wide down")),
]
KINDS = {"popc": "popcounts", "wgmma.mma_async": "matrix units", "mma.sync": "matrix units"}
KINDS |= {"fma.rn": "multiply-adds", "atom": "atomics", "red.": "atomics"}


def main():
    found = {}
    for name in ("pack", "unpack", "count", "number", "select", "coarsen", "refine", "unite"):
        out = {"out": "*i8" if name == "unpack" else "*i64"}
        sizes = {"BLOCK": 16 if name in ("pack", "number", "select") else 1024} | (
            {"WIDTH": 2} if name == "refine" else {}
        )
        found[name] = compile_kernel(getattr(words, name), sizes, out)
    half = dict.fromkeys(("features", "out", "scale", "shift"), "*fp16")
    found["contains"] = compile_kernel(rows.find_rows, {"BLOCK": 128}, {"found": "*i8"})
    for channels in (1, 8, 22, 64):
        sizes = {"CHANNELS": channels, "TILE": min(32, 1 << (channels - 1).bit_length())}
        moved = sizes | {"ADD": True, "BLOCK": 128}
        found[f"transfer {channels}"] = compile_kernel(rows.move_rows, moved, half)
        rectified = sizes | {"BLOCK": 2048 // sizes["TILE"]}
        found[f"rectify {channels}"] = compile_kernel(rows.rectify_rows, rectified, half)
    for layer in LAYERS:
        found |= compile_shapes(*layer)
    print(json.dumps(found))


def compile_shapes(relation, c_in, c_out, dtype):
    """What computes a layer and its weights' gradient, in each of the shapes they may have."""
    method = convolution.Method.choose(c_in, c_out, dtype, RELATIONS[relation].width)
    value, total = f"*{TYPES[dtype]}", "*fp64" if dtype == torch.float64 else "*fp32"
    types = dict.fromkeys(("features", "weights", "gradient", "out"), value)
    weights = {"weights": total} if method.kernels is narrow else {}
    for name, changed in (("convolve", weights), ("correlate", {"out": total})):
        kernel = getattr(method.kernels, name)
        for number, shape in enumerate(kernel.configs):
            values = (*RELATIONS[relation], *method.constants, shape.kwargs["BLOCK"])
            options = {"num_warps": shape.num_warps, "num_stages": shape.num_stages}
            compiled = compile_kernel(kernel, values, types | changed, options)
            yield f"{name} {relation} {c_in} {c_out} {dtype} {number}", compiled


def compile_kernel(kernel, constants, types, options=None):
    """`constants` are by name, or the values in their order."""
    function = kernel.function
    if not isinstance(constants, dict):
        names = [p.name for p in function.params if p.is_constexpr]
        constants = dict(zip(names, constants, strict=True))
    signature = {}
    for parameter in function.params:
        name = parameter.name
        pointer = {name: f"*{POINTERS[name]}"} if name in POINTERS else {}
        default = {name: "constexpr"} if name in constants else {name: "i32"}
        signature[name] = (default | pointer | types).get(name)
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, type_ in enumerate(signature.values())
        if type_.startswith("*")
    }
    source = ASTSource(function, signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": 4, "enable_fp_fusion": True} | (options or {})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    facts = usage(compiled.asm["cubin"]) | instructions(compiled.asm["ptx"])
    return facts | {"compiled for": [p.name for p in function.params if is_compiled_for(p)]}


def is_compiled_for(parameter):
    """Whether a kernel is compiled anew for some values of what is no constant."""
    return not (parameter.is_constexpr or parameter.do_not_specialize)


def usage(cubin):
    """Registers and stack, as the disassembler that comes with Triton reads them."""
    program = Path(triton.__path__[0], "backends", "nvidia", "bin", "cuobjdump")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        listing = subprocess.run(
            [program, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", listing).groups()
    return {"registers": int(registers), "stack": int(stack)}


def instructions(ptx):
    counted = Counter()
    for line in ptx.splitlines():
        words_ = re.sub(r"^\s*(@\S+\s+)?", "", line)
        counted.update(kind for start, kind in KINDS.items() if words_.startswith(start))
    return counted


if __name__ == "__main__":
    main()
