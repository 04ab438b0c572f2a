"""Converts a PyTorch checkpoint into a model's folder, by renaming its tensors.

It takes checkpoints of the public scripts of Li et al. (Scientific Reports 13:20229, 2023), which
are written for MinkowskiEngine, and those with a network's own names. No code in a pickle is run.
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
from zoo.cards import CONFIG, README, WEIGHTS, Card, name_from, sha256_of
from zoo.errors import ConfigError, WeightsError, WriteError, one_line
from zoo.models._checkpoints import bare_names, find_state_dict, read_checkpoint, some
from zoo.models.loading import create
from zoo.models.model import Model
from zoo.networks import GenerativeNetwork
from zoo.validation import validate
from zoo.volumes import InputContract, atomic_path, make_folder

# Modules of the public scripts, and those of a GenerativeNetwork. Here s is the tensor stride of
# level i, and t that of the next coarser level j.
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
    """A tensor that was used.

    Attributes:
        old: its name in the checkpoint.
        new: its name in the network.
        shape: its shape in the network.
        was: its dtype and shape in the checkpoint if they differ from the network's, else None.
    """

    old: str
    new: str
    shape: tuple[int, ...]
    was: str | None


@dataclass(frozen=True)
class Report:
    """The result of converting a checkpoint.

    Attributes:
        name: the model's name on its card.
        folder: the folder that was written.
        architecture: name in the architectures registry.
        config: the config, inferred, given or default.
        nested: the key that the state_dict is stored under; "" if it is the whole content.
        used: every tensor of the state_dict.
        missing: tensors of the network that the checkpoint lacks and that have a default.
        left_over: whatever else the file contains, such as an optimizer's state or a step.
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
        """The report as lines of text."""
        used = [
            f"{one.old} -> {one.new} {one.shape}" + (f", was {one.was}" if one.was else "")
            for one in self.used
        ]
        missing = [f"missing, left at its default: {name}" for name in self.missing]
        beside = [f"left over, next to {self.nested}: {name}" for name in self.left_over]
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
    """Convert a PyTorch checkpoint into a model's folder, which `local-dir:` loads.

    The state_dict may be the whole content of the file, or stored under a key such as `state_dict`
    or `model`; prefixes of wrappers (`module.`) are removed. Floats become float32. Every tensor of
    the state_dict must be used, and every one of the network must be found, except the counters of
    BatchNorm.

    Args:
        checkpoint: a file that torch.save wrote, with nothing but tensors and plain values.
        folder: folder for the model; created if it does not exist.
        architecture: name in the architectures registry.
        config: keys of the architecture's config. For architectures that are built on a
            GenerativeNetwork, channels and residual blocks are inferred unless given; the others
            have defaults.
        name: the model's name on its card; the file's name without its suffix if left out.
        spacing: voxel size of the training data, in mm; if left out, any grid is used as it is.

    Returns:
        What was used, what was missing and what was left over.

    Raises:
        NotRegistered: there is no such architecture.
        ReadError: the file is missing or damaged, or is not a file of plain tensors.
        WeightsError: there is no state_dict, or it does not fit the network: tensors are missing or
            left over, have another shape or dtype, or contain NaN or infinity.
        ConfigError: the config, name or spacing does not fit.
        WriteError: the folder already contains a model, or cannot be written.
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
            f" {json.dumps(model.card.config)}: check both, or correct the state_dict"
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
    """Read a config from JSON, or from a JSON file.

    Args:
        text: a JSON object, or the path of a file that contains one.

    Raises:
        ConfigError: there is no such file, or it is not a JSON object.
    """
    try:
        settings = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f'config: wanted JSON such as {{"channels": [8, 16]}}, or the path of a JSON file,'
            f" got {text}: {one_line(error)}"
        ) from error
    if not isinstance(settings, dict):
        raise ConfigError(f"config: wanted a JSON object in {text}, got {type(settings).__name__}")
    return settings


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    module, _, parameter = name.rpartition(".")
    return f"{modules[module]}.{parameter}" if module in modules else name


def _inferred(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Infer the config of a GenerativeNetwork from the shapes of its tensors; empty if that fails.

    The channels of a level are those of most of its tensors, so that an odd one is found out later.
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
    """The network's tensors by their names; `names` maps keys of the checkpoint to these.

    Raises:
        ValueError: tensors are missing, unfit or left over; the message lists them.
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
    if not all(
        key.endswith(name) for key, name in names.items()
    ):  # the checkpoint has the public names
        missing = [_renamed(name, PUBLIC_NAMES) for name in missing]
    left_over = [key for key, name in names.items() if name not in wanted or keys[name] != key]
    faults = {"missing": missing, "unfit": unfit, "left over": left_over}
    if any(faults.values()):
        raise ValueError("; ".join(f"{kind}: {some(of)}" for kind, of in faults.items() if of))
    return fitted


def _fitted(given: Tensor, wanted: Tensor) -> Tensor:
    """Bring a tensor to the shape and dtype of the one wanted.

    In MinkowskiEngine, kernels of size 1 have one axis of length 1 less, and biases one more.
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


def _card(created: Card, path: Path, name: str | None, spacing: float | None) -> Card:
    """The card of a new network, with the model's name, provenance and input contract."""
    block = created.model_dump()
    block["name"] = name or name_from(path.stem)
    grids = "Any grid is used as it is, as the spacing of the training data is not known."
    if spacing is not None:
        if not 0 < spacing < inf:
            raise ConfigError(f"spacing: wanted the size of a voxel in mm, got {spacing}")
        fields = {"kind", "windows", "exterior", "bright_exterior"}
        same = created.input.model_dump(include=fields)
        block["input"] = InputContract.around(spacing, **same)
        grids = f"Trained on voxels of {spacing:g} mm."
    block["text"] = (
        f"# {block['name']}\n\nConverted from `{path.name}`, sha256 {sha256_of(path)}. {grids}"
        " Its axes are taken to point right, anterior and superior.\n\nResearch use only.\n"
    )
    return validate(Card, block, source="the model's card")


def _check_free(folder: Path) -> None:
    if taken := [file for file in (CONFIG, WEIGHTS, README) if (folder / file).exists()]:
        raise WriteError(
            f"{folder}: wanted a folder without a model, got one with {', '.join(taken)}; choose"
            " another"
        )


def _save(model: Model, folder: Path) -> None:
    """Write all files of the model, or none."""
    if folder.exists():
        with atomic_path(folder / WEIGHTS) as temporary:
            model.save(temporary.parent)  # files beside the weights are moved along
        return
    make_folder(folder.parent)
    with atomic_path(folder) as temporary:
        model.save(temporary)
