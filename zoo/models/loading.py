"""Loads and creates models by name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from zoo import registries
from zoo.cards import (
    CONFIG,
    LARGEST_TEXT,
    LARGEST_WEIGHTS,
    README,
    Card,
    Origin,
    card_at,
    find_weights,
    info,
    is_remote,
    location_of,
)
from zoo.errors import ConfigError
from zoo.models.model import Model
from zoo.models.reference_case import INPUT, LARGEST_CASE, PREDICTION
from zoo.models.weights import check_header, fill, largest_file, metadata_of
from zoo.sparse import select_backend, torch_device
from zoo.validation import validate

LOG = logging.getLogger(__name__)


def load(
    name: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    weights: str | Path | None = None,
    local_files_only: bool = False,
) -> Model:
    """Load a model with its weights, ready to predict.

        >>> import zoo
        >>> zoo.load("skull-completion-64.phantom", backend="torch", device="cpu")
        Model(skull-completion-64.phantom, completion, 3.2 mm, apache-2.0, torch on cpu)

    Then `model.predict("skull.nii.gz")` gives a `zoo.Prediction`. `zoo.list_models()` lists the
    names, and `zoo.info(name)` is what is stated about one of them: what it was trained on, what it
    is for, and the licence of its weights. A card's weights are taken from the package, the cache
    of the Hugging Face Hub, or the Hub, in this order.

    Args:
        name: a card's name, with its tag or without it for the default one,
            `hf-hub:ORG/REPO[@REVISION]`, or `local-dir:PATH` with a folder that `Model.save` wrote.
        backend: name of a backend; `auto` takes the fastest one that works on the device, and for a
            segmentation may take another for a volume that it is faster on.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` takes a GPU if there is one.
        weights: a safetensors file; if given, no other is tried. Its sha256 must be the card's.
        local_files_only: never use the network.

    Returns:
        The model; its network is in eval mode and on the device.

    Raises:
        NotRegistered: there is no such model or backend; the message lists the nearest names.
        ConfigError: the card does not fit its schema or its architecture.
        WeightsError: there are no weights, or not the ones that the card pins.
        BackendError: the backend does not work on the device.
    """
    location = location_of(name, local_files_only=local_files_only) if is_remote(name) else None
    card = card_at(location) if location else info(name)
    target = torch_device(device)
    chosen = select_backend(backend, target)
    wanted = expected_tensors(card)
    content, found = find_weights(
        card,
        weights,
        location=location,
        limit=largest_file(wanted),
        local_files_only=local_files_only,
    )
    check_header(content, wanted, f"the weights of {card.name}")
    network = build_network(card)
    fill(network, content, f"the weights of {card.name}")
    origin = Origin(found, metadata_of(content))
    LOG.info(
        "%s: loaded on %s, %s; sha256 of weights %s",
        card.name,
        chosen.name,
        target,
        card.sha256 or "",
    )
    return Model(
        network,
        card,
        chosen,
        target,
        origin,
        automatic=backend == "auto",
        local_files_only=local_files_only,
    )


def from_pretrained(repo: str, revision: str | None = None) -> Model:
    """Load a model from the Hub: `zoo.load("hf-hub:ORG/REPO@REVISION")` in the Hub's own words.

        model = zoo.Model.from_pretrained("ORG/REPO", revision="v1")

    Args:
        repo: ORG/REPO.
        revision: branch, tag or commit; None for the default branch.

    Returns:
        The model, as from `load`.

    Raises:
        ConfigError, WeightsError, BackendError: as for `load`.
    """
    return load(f"hf-hub:{repo}@{revision}" if revision else f"hf-hub:{repo}")


def download(name: str, folder: Path | None = None) -> dict[str, Path]:
    """Fetch all files of a model and of those that it predicts with: it needs no network then.

    Files that are shipped with the zoo, or are in a local folder, are not fetched.

        >>> sorted(download("skull-completion-64.phantom"))
        ['golden-answer.nii.gz', 'golden-input.nii.gz', 'model.safetensors']

    Args:
        name: as for `load`.
        folder: where to save the model; None leaves the files where they are, on the Hub's part in
            its client's cache, where those of the other models stay.

    Returns:
        The path of every file of the model, by its name.

    Raises:
        NotRegistered, ConfigError, WeightsError: as for `load`.
    """
    model = load(name, backend="torch", device="cpu")
    card = model.card
    for other in filter(None, (*card.ensemble, card.after, card.scans)):
        _files(load(other, backend="torch", device="cpu"), remote=is_remote(other))
    if folder:
        model.save(folder)
        return {path.name: path for path in sorted(folder.iterdir())}
    return _files(model, remote=is_remote(name))


def _files(model: Model, *, remote: bool) -> dict[str, Path]:
    """The path of every file of a model, by its name; they are fetched where they are missing."""
    assert model.origin.location and model.card.weights
    location, files = model.origin.location, {model.card.weights.file: LARGEST_WEIGHTS}
    if remote:
        files |= {README: LARGEST_TEXT, CONFIG: LARGEST_TEXT}
    found = {file: location.file(file, limit) for file, limit in files.items()}
    case = {file: location.find(file, LARGEST_CASE) for file in (INPUT, PREDICTION)}
    return found | {file: path for file, path in case.items() if path}


def create(
    architecture: str, config: Any = None, *, backend: str = "auto", device: str = "auto"
) -> Model:
    """Create a model with random weights.

        >>> import zoo
        >>> model = zoo.create("sparse-segmentation", {"classes": 3}, backend="torch")
        >>> model.card.task
        'segmentation'
        >>> model.card.labels
        ('class 1', 'class 2')

    Args:
        architecture: name in the architectures registry.
        config: the architecture's config, or a dict with some of its keys; None for its defaults.
        backend: name of a backend; `auto` takes the fastest one that works on the device.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` takes a GPU if there is one.

    Returns:
        The model, whose card accepts any grid as it is. Its weights are drawn by PyTorch's global
        generator: call `torch.manual_seed` first for the same ones every time.

    Raises:
        NotRegistered: there is no such architecture or backend; the message lists the nearest
            names.
        ConfigError: the config does not fit.
        BackendError: the backend does not work on the device.
    """
    design = registries.architectures.get(architecture)
    settings = config.model_dump() if hasattr(config, "model_dump") else config or {}
    checked = validate(design.config_class, settings, source=f"config of {architecture}")
    card = new_card(architecture, design.task, checked)
    target = torch_device(device)
    chosen = select_backend(backend, target)
    return Model(design(checked), card, chosen, target, automatic=backend == "auto")


def new_card(architecture: str, task: str, config: BaseModel) -> Card:
    """The card of a newly created network, which accepts any grid as it is."""
    return Card(
        name=architecture,
        task=task,
        architecture=architecture,
        config=config.model_dump(mode="json"),
        **registries.tasks.get(task).untrained_facts(config),
    )


def build_network(card: Card) -> nn.Module:
    """Make the network of a card, with random weights.

    Raises:
        NotRegistered: there is no such architecture.
        ConfigError: the config does not fit the architecture, or it is for another task.
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
    """The tensors of a card's network by name, on the meta device; errors as for `build_network`.

    They take no memory, as a config from an untrusted source could ask for more than there is.
    """
    with torch.device("meta"):
        return build_network(card).state_dict()
