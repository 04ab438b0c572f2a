"""From a checkpoint of PyTorch to a model's folder, by renaming its tensors.

Those of the public scripts of Li et al. (Scientific Reports 13:20229, 2023), which are written for
MinkowskiEngine, and those that have a network's own names. Nothing that a pickle calls is run.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from os import PathLike
from pathlib import Path
from statistics import mode
from typing import Any

import torch
from torch import Tensor

from zoo import registries
from zoo.architectures.generative import GenerativeNetwork
from zoo.cards import Card, InputContract, name_from
from zoo.checkpoints import bare_names, find_state_dict, read_checkpoint, some
from zoo.errors import ConfigError, WeightsError, WriteError
from zoo.files import atomic_path, make_folder
from zoo.hub import CONFIG, README, WEIGHTS, sha256_of
from zoo.loading import create
from zoo.model import Model
from zoo.validation import validate

# Modules of the public scripts, and of a GenerativeNetwork. s is the tensor stride of level i, and
# t that of the next coarser level j.
MODULES = (
    ("enc_block_s1.0", "encoder.0.convolution"),
    ("enc_block_s1.1.bn", "encoder.0.norm"),
    ("enc_block_s{s}s{t}.0", "encoder.{j}.0.convolution"),
    ("enc_block_s{s}s{t}.1.bn", "encoder.{j}.0.norm"),
    ("enc_block_s{s}s{t}.3", "encoder.{j}.1.convolution"),
    ("enc_block_s{s}s{t}.4.bn", "encoder.{j}.1.norm"),
    ("dec_block_s{t}s{s}.0", "decoder.{i}.0.convolution"),
    ("dec_block_s{t}s{s}.1.bn", "decoder.{i}.0.norm"),
    ("dec_block_s{t}s{s}.3", "decoder.{i}.1.convolution"),
    ("dec_block_s{t}s{s}.4.bn", "decoder.{i}.1.norm"),
    ("dec_s{s}_cls", "heads.{i}.classifier"),
    ("final_out.0", "output"),
)
CANONICAL_NAMES = {
    old.format(**level): new.format(**level)
    for level in ({"i": i, "j": i + 1, "s": 2**i, "t": 2 ** (i + 1)} for i in range(11))
    for old, new in MODULES
}
PUBLIC_NAMES = {new: old for old, new in CANONICAL_NAMES.items()}
DEFAULTED = ".num_batches_tracked"  # counts training steps; BatchNorm infers without it


@dataclass(frozen=True)
class Used:
    """One tensor: its name in the checkpoint, in the network, and its shape there.

    `was` is its dtype and shape in the checkpoint where they are others.
    """

    old: str
    new: str
    shape: tuple[int, ...]
    was: str | None


@dataclass(frozen=True)
class Report:
    """What became of a checkpoint.

    Attributes:
        name: of the model, on its card.
        folder: that was written.
        architecture: name in the architectures registry.
        config: inferred, given, or default.
        nested: the file's key that the state_dict is under; "" if it is all that the file holds.
        used: every tensor of the state_dict.
        missing: tensors of the network that the checkpoint has not and that have a default.
        left_over: what the file holds beside the state_dict: an optimizer's state, a step, ...
    """

    name: str
    folder: str
    architecture: str
    config: dict[str, Any]
    nested: str
    used: tuple[Used, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]

    def lines(self) -> list[str]:
        """The same for people to read."""
        used = [
            f"{one.old} -> {one.new} {one.shape}" + (f", was {one.was}" if one.was else "")
            for one in self.used
        ]
        missing = [f"missing, has its default: {name}" for name in self.missing]
        beside = [f"left over, beside {self.nested}: {name}" for name in self.left_over]
        return [
            *(used + missing + beside),
            f"{self.architecture} with config {json.dumps(self.config)}",
            f"{len(used)} tensors -> {self.folder}; use it as local-dir:{self.folder}",
        ]


def convert(
    checkpoint: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    architecture: str,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    spacing: float | None = None,
) -> Report:
    """Write the folder of a model, which `local-dir:` loads, from a PyTorch checkpoint.

    The state_dict may be all that the file holds or lie under a key such as `state_dict` or
    `model`; wrappers' prefixes (`module.`) are taken off. Floats become float32. Every tensor of it
    is used, and none of the network's is left out but the counters of BatchNorm.

    Args:
        checkpoint: a file of torch.save's, with tensors and plain values only.
        folder: to write into; made if it is not there.
        architecture: name in the architectures registry.
        config: keys of the architecture's config. For one that is built on a GenerativeNetwork the
            channels and residual blocks are inferred unless given; the rest has defaults.
        name: of the model on its card; the file's name without its suffix if left out.
        spacing: size in mm of the voxels that the network was trained on; any grid is used as it is
            if left out.

    Raises:
        NotRegistered: no such architecture.
        ReadError: a file that is missing or damaged, or that is no file of plain tensors.
        WeightsError: it holds no state_dict, or one that does not fit the network: tensors are
            missing or left over, or have another shape or dtype, or NaN or infinity.
        ConfigError: a config, name or spacing that does not fit.
        WriteError: the folder holds a model already, or cannot be written.
    """
    path, folder = Path(checkpoint), Path(folder)
    design = registries.architectures.get(architecture)
    _check_free(folder)
    nested, tensors, left_over = find_state_dict(read_checkpoint(path), path)
    names = bare_names(tensors)
    settings: dict[str, Any] = {}
    if isinstance(design, type) and issubclass(design, GenerativeNetwork):
        names = {key: _renamed(bare, CANONICAL_NAMES) for key, bare in names.items()}
        settings = _inferred({name: tensors[key].shape for key, name in names.items()})
    model = create(architecture, {**settings, **(config or {})}, backend="torch", device="cpu")
    wanted = model.network.state_dict()
    try:
        fitted = _fit(tensors, names, wanted)
    except ValueError as error:
        raise WeightsError(
            f"{path}: {error}; wanted the tensors of {architecture} with config"
            f" {json.dumps(model.card.config)}: check both, or mend the state_dict"
        ) from error
    model.network.load_state_dict(wanted | fitted)
    card = _card(model.card, path, name, spacing)
    _save(Model(model.network, card, model.backend, model.device), folder)
    return Report(
        name=card.name,
        folder=str(folder),
        architecture=architecture,
        config=card.config,
        nested=nested,
        used=tuple(_used(key, name, tensors[key], wanted[name]) for key, name in names.items()),
        missing=tuple(name for name in wanted if name not in fitted),
        left_over=left_over,
    )


def read_settings(text: str) -> dict[str, Any]:
    """A config from JSON, or from the path of a file of it.

    Raises:
        ConfigError: no such file, or no JSON object.
    """
    try:
        settings = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'config: wanted JSON such as {{"channels": [8, 16]}}, or the path of a file of it,'
            f" got {text}: {error}"
        ) from error
    if not isinstance(settings, dict):
        raise ConfigError(f"config: wanted a JSON object in {text}, got {settings!r}")
    return settings


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    module, _, parameter = name.rpartition(".")
    return f"{modules[module]}.{parameter}" if module in modules else name


def _inferred(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Config of a GenerativeNetwork from its tensors' shapes; nothing if a level has none.

    A level's channels are what most of its tensors have, so that an odd one does not pass.
    """
    channels: dict[int, list[int]] = defaultdict(list)
    blocks: dict[int, int] = defaultdict(int)
    for name, shape in shapes.items():
        if found := re.match(r"(?:en|de)coder\.(\d{1,2})\.", name):
            channels[int(found[1])] += shape[-1:]
        elif found := re.match(r"residuals\.(\d{1,2})\.(\d{1,2})\.", name):
            blocks[int(found[1])] = max(blocks[int(found[1])], int(found[2]) + 1)
    levels = range(len(channels))
    if not levels or not all(channels.get(level) for level in levels):
        return {}
    settings = {"channels": [mode(channels[level]) for level in levels]}
    return settings | ({"residuals": [blocks[n] for n in levels[:-1]]} if blocks else {})


def _fit(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The network's tensors by its own names; `names` has those of the checkpoint's keys.

    Raises:
        ValueError: what is missing, unfit and left over, all of it.
    """
    keys = {name: key for key, name in names.items()}
    fitted: dict[str, Tensor] = {}
    missing, unfit = [], []
    for name, tensor in wanted.items():
        if name not in keys:
            missing += [] if name.endswith(DEFAULTED) else [name]
            continue
        try:
            fitted[name] = _fitted(tensors[keys[name]], tensor)
        except ValueError as error:
            unfit.append(f"{keys[name]} ({error})")
    if not all(key.endswith(name) for key, name in names.items()):  # it has the public names
        missing = [_renamed(name, PUBLIC_NAMES) for name in missing]
    left_over = [key for key, name in names.items() if name not in wanted or keys[name] != key]
    faults = {"missing": missing, "unfit": unfit, "left over": left_over}
    if any(faults.values()):
        raise ValueError("; ".join(f"{kind}: {some(of)}" for kind, of in faults.items() if of))
    return fitted


def _fitted(given: Tensor, wanted: Tensor) -> Tensor:
    """A tensor in the shape and dtype of the one wanted.

    MinkowskiEngine has one axis of length 1 less in kernels of size 1, and one more in biases.
    """
    if given.layout is not torch.strided or given.is_meta or given.is_quantized:
        raise ValueError(f"wanted a dense tensor with its values, got {_described(given)}")
    shape, got = tuple(wanted.shape), tuple(given.shape)
    floats = given.is_floating_point() and wanted.is_floating_point()
    if shape not in (got, (1, *got)) and (1, *shape) != got:
        raise ValueError(f"wanted shape {shape}, got {got}")
    if given.dtype != wanted.dtype and not floats:
        raise ValueError(f"wanted {_described(wanted)}, got {_described(given)}")
    tensor = given.detach().to(wanted.dtype).reshape(shape)
    if not torch.isfinite(tensor).all():
        raise ValueError(f"wanted finite {_described(wanted)}, got NaN or infinity")
    return tensor


def _used(old: str, new: str, given: Tensor, tensor: Tensor) -> Used:
    same = (given.dtype, given.shape) == (tensor.dtype, tensor.shape)
    return Used(old, new, tuple(tensor.shape), None if same else _described(given))


def _described(tensor: Tensor) -> str:
    kind = "" if tensor.layout is torch.strided else f"{tensor.layout} "
    return f"{kind}{tensor.dtype} {tuple(tensor.shape)}".replace("torch.", "")


def _card(drawn: Card, path: Path, name: str | None, spacing: float | None) -> Card:
    """The card of a network just made, with its name, provenance and input contract."""
    block = drawn.model_dump()
    block["name"] = name or name_from(path.stem)
    grids = "Any grid is used as it is, as it is not stated on which the network was trained."
    if spacing is not None:
        if not 0 < spacing < inf:
            raise ConfigError(f"spacing: wanted the size of a voxel, in mm, got {spacing}")
        same = drawn.input.model_dump(include={"kind", "windows", "exterior"})
        block["input"] = InputContract.around(spacing, **same)
        grids = f"Trained on voxels of {spacing:g} mm."
    block["text"] = (
        f"# {block['name']}\n\nConverted from `{path.name}`, sha256 {sha256_of(path)}. {grids}"
        " Its axes are taken to point to right, anterior and superior.\n\nResearch use only.\n"
    )
    return validate(Card, block, source="the model's card")


def _check_free(folder: Path) -> None:
    if taken := [file for file in (CONFIG, WEIGHTS, README) if (folder / file).exists()]:
        raise WriteError(
            f"{folder}: wanted a folder without a model, got one with {', '.join(taken)}; choose"
            " another"
        )


def _save(model: Model, folder: Path) -> None:
    """All files or none."""
    make_folder(folder)
    with atomic_path(folder / WEIGHTS) as temporary:
        model.save(temporary.parent)  # what lies beside the weights moves along
