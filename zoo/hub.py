"""From a card to verified weights: given, shipped, cached, or from the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from zoo.cards import Card, read_card, shipped_cards
from zoo.errors import ConfigError, WeightsError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
README = "README.md"


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(
    card: Card, weights: str | Path | None = None, *, local_files_only: bool = False
) -> bytes:
    """The safetensors of a card: `weights` if given, else shipped, cached or downloaded ones.

    They are read once, so what is used is what was verified.

    Raises:
        WeightsError: there are none, or their sha256 is not the card's.
    """
    if card.weights is None:
        raise WeightsError(
            f"{card.name} has no weights pinned on its card; use zoo.create for random ones"
        )
    if weights is not None:
        return _verified(card, Path(weights))
    shipped = shipped_cards() / f"{card.name}.safetensors"
    if shipped.is_file():
        content = shipped.read_bytes()
        if hashlib.sha256(content).hexdigest() == card.weights.sha256:
            return content
    pinned = card.weights
    return _verified(card, fetch(pinned.repo, pinned.file, pinned.revision, local_files_only))


def fetch(repo: str, file: str, revision: str | None, local_files_only: bool) -> Path:
    """One file of a Hub repository, through the Hugging Face cache."""
    try:
        return Path(
            hf_hub_download(repo, file, revision=revision, local_files_only=local_files_only)
        )
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{file} of {repo} is not in the Hugging Face cache and the Hub was not reached;"
            " connect once, or copy the file here and pass it as weights="
        ) from error
    except Exception as error:  # the client raises its own, requests' and httpx's errors
        reason = " ".join(str(error).split())
        raise WeightsError(f"{file} of {repo} cannot be fetched from the Hub: {reason}") from error


def remote_card(name: str, *, local_files_only: bool = False) -> Card:
    """The card behind `hf-hub:ORG/REPO[@REVISION]` or `local-dir:PATH`.

    Raises:
        ConfigError: no such folder, not a repository's name, or a card and a config.json that
            contradict each other.
        WeightsError: the Hub or the repository cannot be reached.
    """
    folder = _remote_folder(name, local_files_only)
    card = read_card(folder / README)
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / CONFIG} is not readable as JSON: {error}") from error
    if config != model_config(card):
        raise ConfigError(
            f"{folder}: {CONFIG} and the card in {README} describe different networks"
        )
    return card


def remote_weights(name: str, card: Card, *, local_files_only: bool = False) -> Path:
    """The weights that lie beside the card of a remote model; they are not verified yet."""
    file = card.weights.file if card.weights else WEIGHTS
    kind, _, place = name.partition(":")
    if kind == "local-dir":
        return Path(place) / file
    repo, revision = _repository(place)
    return fetch(repo, file, revision, local_files_only)


def _remote_folder(name: str, local_files_only: bool) -> Path:
    """Where README.md and config.json lie, both of one commit."""
    kind, _, place = name.partition(":")
    if kind == "local-dir":
        if not Path(place).is_dir():
            raise ConfigError(f"no folder {place}: local-dir: takes one that Model.save wrote")
        return Path(place)
    repo, revision = _repository(place)
    folder = fetch(repo, README, revision, local_files_only).parent
    if not (folder / CONFIG).is_file():
        fetch(repo, CONFIG, folder.name, local_files_only)  # the folder is named for the commit
    return folder


def _repository(place: str) -> tuple[str, str | None]:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", place):
        raise ConfigError(f"wanted hf-hub:ORG/REPO or hf-hub:ORG/REPO@REVISION, got {place!r}")
    repo, _, revision = place.partition("@")
    return repo, revision or None


def model_config(card: Card) -> dict[str, object]:
    """What config.json says: the architecture and its config."""
    return {"architecture": card.architecture, "config": card.config}


def _verified(card: Card, path: Path) -> bytes:
    assert card.weights is not None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"no weights at {path}: give the path of {card.name}'s safetensors file"
        ) from error
    got = hashlib.sha256(content).hexdigest()
    if got != card.weights.sha256:
        raise WeightsError(
            f"{path}: not the weights of {card.name}: wanted sha256 {card.weights.sha256},"
            f" got {got}; delete the file and fetch it again"
        )
    return content
