"""Finds what is at a location, and the weights of a card wherever they are.

Nothing that is read here is trusted: sizes are bounded before a file is read, weights are only
taken if their sha256 is the card's, and a damaged file in the cache is fetched again.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from zoo import registries
from zoo.cards.card import Card, model_config, read_card
from zoo.cards.locations import (
    CONFIG,
    LARGEST_TEXT,
    LARGEST_WEIGHTS,
    README,
    WEIGHTS,
    BesideCard,
    Folder,
    Location,
)
from zoo.errors import ConfigError, WeightsError, one_line


def location_of(name: str, *, local_files_only: bool = False) -> Location:
    """The location of `hf-hub:ORG/REPO[@REVISION]` or `local-dir:PATH`.

    Args:
        name: the name.
        local_files_only: never use the network.

    Raises:
        ConfigError: there is no such folder, or it is not the name of a repository.
    """
    kind, _, location = name.partition(":")
    if kind == "hf-hub":
        from zoo.cards.repository import Repository

        repo, revision = split_repository(location)
        return Repository(repo, revision, local_files_only=local_files_only)
    if not Path(location).is_dir():
        raise ConfigError(f"no folder {location}: local-dir: needs a folder that Model.save wrote")
    return Folder(location)


def split_repository(location: str) -> tuple[str, str | None]:
    """Split ORG/REPO[@REVISION] in two; raise ConfigError if it is something else."""
    part = r"\w[\w.-]*"
    if ".." in location or not re.fullmatch(rf"{part}/{part}(@\w[\w./-]*)?", location, re.ASCII):
        raise ConfigError(f"wanted hf-hub:ORG/REPO or hf-hub:ORG/REPO@REVISION, got {location!r}")
    repo, _, revision = location.partition("@")
    return repo, revision or None


def card_at(location: Location) -> Card:
    """Read the card of the model at a location.

    Raises:
        ConfigError: the card does not fit, or contradicts its config.json.
        WeightsError: the Hub or the repository cannot be reached.
    """

    try:
        return _described(location)
    except ConfigError:
        if not location.renews:
            raise
        return _described(location, again=True)


def find_weights(
    card: Card,
    weights: str | Path | None = None,
    *,
    location: Location | None = None,
    limit: int = LARGEST_WEIGHTS,
    local_files_only: bool = False,
) -> tuple[bytes, Location]:
    """Find and verify the weights of a card.

    They come from `weights` or `location` if given; otherwise from the files that are shipped with
    the package, the cache or the Hub, in this order. They are read once, so what is used is what
    was verified.

    Args:
        card: the card that pins the weights.
        weights: a safetensors file; if given, no other is tried.
        location: the location of a model that is not in the registry; if given, no other is tried.
        limit: largest allowed size of the file, in bytes.
        local_files_only: never use the network.

    Returns:
        The content of the safetensors file, and its location.

    Raises:
        WeightsError: there are no weights, they are too large, or their sha256 is not the card's.
    """
    pinned = card.weights
    if pinned is None:
        raise WeightsError(
            f"the card of {card.name} pins no weights; use zoo.create for random ones"
        )
    if weights is not None:
        given = Path(weights)
        if not given.is_file():
            raise WeightsError(
                f"no weights at {given}: pass the path of {card.name}'s safetensors file"
            )
        return _verified(card, Folder(given.parent), given.name, limit)
    if location is not None:
        return _verified(card, location, pinned.file, limit)
    others = []
    if shipped := registries.cards.path(card.name):
        beside = BesideCard(shipped)
        if path := beside.find(WEIGHTS, limit):
            try:
                return _verified(card, beside, WEIGHTS, limit)
            except WeightsError:
                others.append(str(path))
    from zoo.cards.repository import Repository, cached_commit

    commit = cached_commit(pinned.repo, pinned.file, pinned.sha256)
    hub = Repository(pinned.repo, commit or pinned.revision, local_files_only=local_files_only)
    try:
        return _verified(card, hub, pinned.file, limit)
    except WeightsError as error:
        if not others:
            raise
        raise WeightsError(f"{others[0]} does not have the sha256 of its card; {error}") from error


def _described(location: Location, *, again: bool = False) -> Card:
    card = read_card(location.file(README, LARGEST_TEXT, again=again))
    path = location.file(CONFIG, LARGEST_TEXT, again=again)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not readable as JSON: {one_line(error)}") from error
    if config != model_config(card):
        raise ConfigError(
            f"{location}: {CONFIG} and the card in {README} describe different networks; save the"
            " model again"
        )
    return card


def _verified(card: Card, location: Location, file: str, limit: int) -> tuple[bytes, Location]:
    """Read a file whose sha256 must be the card's; if it is not, fetch the file again."""
    assert card.weights is not None
    wanted = card.weights.sha256
    advice = "delete the file and fetch it again"
    path = location.file(file, limit)
    content = path.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != wanted and location.renews:
        try:
            content = location.file(file, limit, again=True).read_bytes()
            got = hashlib.sha256(content).hexdigest()
        except WeightsError as error:
            advice = f"it could not be fetched again: {error}"
    if got != wanted:
        raise WeightsError(
            f"{path}: not the weights of {card.name}: wanted sha256 {wanted}, got {got}; {advice}"
        )
    return content, location
