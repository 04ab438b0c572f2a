"""From a name to a model."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from zoo import registries
from zoo.cards import Card, InputContract, Task
from zoo.errors import BackendError, ConfigError, ZooError
from zoo.golden import ANSWER, INPUT, LARGEST_CASE
from zoo.hub import (
    CONFIG,
    LARGEST_TEXT,
    LARGEST_WEIGHTS,
    README,
    Origin,
    card_at,
    find_weights,
    place_of,
)
from zoo.model import Model
from zoo.sparse import Backend
from zoo.validation import validate
from zoo.weights import check_header, fill, largest_file, metadata_of

ANY_SPACING = InputContract(spacing=(1, 1, 1), finest=(1e-6,) * 3, coarsest=(1e6,) * 3)
ANY_SCAN = ANY_SPACING.model_copy(
    update={"kind": "intensity", "windows": ((-200.0, 3000.0),)}  # Hounsfield units: no air
)


def load(
    name: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    weights: str | Path | None = None,
    local_files_only: bool = False,
) -> Model:
    """The model of that name, with its weights, ready to predict.

    Args:
        name: a card's name, `hf-hub:ORG/REPO[@REVISION]` or `local-dir:PATH`.
        backend: name of a backend; `auto` takes the fastest one that works on the device.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` takes a GPU if there is one.
        weights: a safetensors file to use, none other is looked for; its sha256 must be the card's.
        local_files_only: never touch the network.

    Raises:
        NotRegistered: no such model or backend; the nearest names are listed.
        ConfigError: a card that does not fit.
        WeightsError: no weights, or not the ones that the card pins.
        BackendError: the backend does not work on the device.
    """
    place = place_of(name, local_files_only=local_files_only) if is_remote(name) else None
    card = card_at(place) if place else info(name)
    target = torch_device(device)
    engine = select_backend(backend, target)
    wanted = expected_tensors(card)
    content, found = find_weights(
        card,
        weights,
        place=place,
        limit=largest_file(wanted),
        local_files_only=local_files_only,
    )
    check_header(content, wanted, f"the weights of {card.name}")
    network = build_network(card)
    fill(network, content, f"the weights of {card.name}")
    return Model(network, card, engine, target, Origin(found, metadata_of(content)))


def download(name: str) -> dict[str, Path]:
    """Fetch all files of a model, so that it loads without a network; returns where they are.

    Those that come with the zoo, or lie in a folder, are there already. Errors as of `load`.
    """
    model = load(name, backend="torch", device="cpu")
    assert model.origin.place and model.card.weights
    place, files = model.origin.place, {model.card.weights.file: LARGEST_WEIGHTS}
    if is_remote(name):
        files |= {README: LARGEST_TEXT, CONFIG: LARGEST_TEXT}
    found = {file: place.file(file, limit) for file, limit in files.items()}
    golden = {file: place.find(file, LARGEST_CASE) for file in (INPUT, ANSWER)}
    return found | {file: path for file, path in golden.items() if path}


def create(
    architecture: str, config: Any = None, *, backend: str = "auto", device: str = "auto"
) -> Model:
    """A model of an architecture with random weights, from a config or a dict of its keys.

    Raises:
        NotRegistered: no such architecture or backend.
        ConfigError: a config that does not fit.
    """
    design = registries.architectures.get(architecture)
    settings = config.model_dump() if hasattr(config, "model_dump") else config or {}
    checked = validate(design.config_class, settings, source=f"config of {architecture}")
    card = new_card(architecture, design.task, checked)
    place = torch_device(device)
    return Model(design(checked), card, select_backend(backend, place), place)


def new_card(architecture: str, task: Task, config: BaseModel) -> Card:
    """The card of a network that was just made: it takes any grid as it is."""
    classes = getattr(config, "classes", 0)
    return Card(
        name=architecture,
        task=task,
        architecture=architecture,
        config=config.model_dump(mode="json"),
        input=ANY_SCAN if classes else ANY_SPACING,
        labels=tuple(f"class {number}" for number in range(1, classes)),
    )


def list_models(pattern: str = "*", *, task: str | None = None) -> list[str]:
    """Names of the models that match a shell-style pattern and, if given, do a task.

    A model whose card cannot be read does no task; `zoo doctor` says what is wrong with it.
    """
    names = [name for name in registries.cards.names() if fnmatch(name, pattern)]
    return [name for name in names if task is None or _task(name) == task]


def _task(name: str) -> str | None:
    try:
        return info(name).task
    except ZooError:
        return None


def info(name: str, *, local_files_only: bool = False) -> Card:
    """The card of a model; see `load` for names and errors."""
    if is_remote(name):
        return card_at(place_of(name, local_files_only=local_files_only))
    return registries.cards.get(name)


def is_remote(name: str) -> bool:
    """Whether a name says where a model lies, and is not one of the registry."""
    return name.startswith(("hf-hub:", "local-dir:"))


def build_network(card: Card) -> nn.Module:
    """The network of a card, with random weights.

    Raises:
        NotRegistered: no such architecture.
        ConfigError: a config that does not fit it, or it does another task.
    """
    design = registries.architectures.get(card.architecture)
    if design.task != card.task:
        raise ConfigError(
            f"{card.name}: wanted an architecture for {card.task}, got {card.architecture}, which"
            f" is for {design.task}; correct the card"
        )
    network: nn.Module = design(validate(design.config_class, card.config, source=card.name))
    return network


def expected_tensors(card: Card) -> dict[str, Tensor]:
    """The tensors of a card's network by name, without memory of their own; errors as above.

    A config from who knows where could ask for more memory than there is.
    """
    with torch.device("meta"):
        return build_network(card).state_dict()


def torch_device(name: str) -> torch.device:
    """A torch device by name; `auto` is the GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise BackendError(f"device {name!r} does not work here: {reason}; use cpu") from error
    return device


def select_backend(name: str, device: torch.device) -> Backend:
    """A backend by name, or the fastest one for the device."""
    if name == "auto":
        name = _fastest(device)
    backend: Backend = registries.backends.get(name)()
    backend.check_device(device)
    return backend


def _fastest(device: torch.device) -> str:
    for name in ("cpu",) if device.type == "cpu" else ("gpu", "minkowski"):
        try:
            registries.backends.get(name)().check_device(device)
        except ZooError:  # not installed, or not for this device
            continue
        return name
    return "torch"
