"""Weights as safetensors: the same bytes for the same weights, and only read if they fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo.errors import WeightsError, one_line

LONGEST_HEADER = 2**20  # bytes; about 10,000 in the zoo's own models
TYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}

Tensors = Mapping[str, Tensor]


def to_bytes(tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """Tensors and metadata as a safetensors file, the same bytes for the same content."""
    rows = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    content = safetensors.torch.save(rows)
    header, body = _header(content)
    # The library orders metadata differently in every process, so hashes would differ.
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **header}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def metadata_of(content: bytes) -> dict[str, str]:
    """The metadata in a safetensors file."""
    found: dict[str, str] = _header(content)[0].get("__metadata__", {})
    return found


def largest_file(tensors: Tensors) -> int:
    """The largest size of a file with these tensors, in bytes."""
    return 8 + LONGEST_HEADER + sum(t.numel() * t.element_size() for t in tensors.values())


def check_header(content: bytes, wanted: Tensors, source: str) -> None:
    """Check that a file announces exactly the tensors that are wanted, before any of them is read.

    Args:
        content: the file, safetensors.
        wanted: the tensors by name; only their shapes and dtypes count, so they may be on the meta
            device.
        source: where the file comes from, for error messages.

    Raises:
        WeightsError: there is no header, it is too long, or it announces other tensors; the message
            says which.
    """
    try:
        header = _header(content)[0]
        got = {
            name: (entry["dtype"], tuple(entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{source}: wanted safetensors with a header of {LONGEST_HEADER} bytes at most, got"
            f" something else ({one_line(error)[:80]}); save the weights again"
        ) from error
    fitting = {name: (TYPES[value.dtype], tuple(value.shape)) for name, value in wanted.items()}
    faults = [
        f"{name}: wanted {_described(fitting.get(name))}, got {_described(got.get(name))}"
        for name in sorted({*fitting, *got})
        if fitting.get(name) != got.get(name)
    ]
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise WeightsError(
            f"{source}: its tensors are not those of the card's config: {'; '.join(faults[:3])}"
            f"{more}; correct the config, or use the weights that belong to it"
        )


def fill(network: nn.Module, content: bytes, source: str) -> None:
    """Load the tensors of a file whose header was checked into a network.

    Raises:
        WeightsError: the file is not what its header says.
    """
    try:
        network.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{source}: not readable as safetensors: {one_line(error)}") from error


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes after it."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(LONGEST_HEADER, len(content) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("a header that is not an object")
    return header, content[8 + length :]


def _described(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return "none" if kind is None else f"{kind[0]} {list(kind[1])}"
