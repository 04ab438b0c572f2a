"""Finds cards by name: those that are installed, those on the Hub and in folders."""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatch

from zoo import registries
from zoo.cards.card import Card
from zoo.cards.hub import card_at, location_of
from zoo.errors import NotRegistered, ZooError


def list_models(pattern: str = "*", *, task: str | None = None) -> list[str]:
    """List the names of models.

        >>> import zoo
        >>> for name in zoo.list_models("skull-*.phantom", task="completion"):
        ...     print(name)
        skull-completion-64.phantom
        skull-completion-128.phantom
        skull-completion-256.phantom
        skull-completion-512.phantom

    Args:
        pattern: shell-style pattern that names must match.
        task: name of a task; only models for it are listed if given. Models whose card cannot be
            read are then left out; `zoo doctor` reports what is wrong with them.

    Returns:
        The names, sorted, 64 before 512: those of all cards, and NAME for the default of the cards
        NAME.TAG.
    """
    names = sorted(registries.cards.names(), key=_natural)
    names = [name for name in names if fnmatch(name, pattern)]
    return [name for name in names if task is None or _task(name) == task]


def _natural(name: str) -> list[str | int]:
    """A key by which names are sorted as people do: numbers in them by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _task(name: str) -> str | None:
    try:
        return info(name).task
    except ZooError:
        return None


def info(name: str, *, local_files_only: bool = False) -> Card:
    """Get the card of a model, without its weights.

        >>> import zoo
        >>> card = zoo.info("skull-completion-64")
        >>> card.task, card.architecture
        ('completion', 'sparse-completion')

    Args:
        name: as for `zoo.load`.
        local_files_only: never use the network, which only names that begin with `hf-hub:` do.

    Returns:
        The card: what the model is for, what it was trained on, its licence, its input contract.

    Raises:
        NotRegistered, ConfigError: as for `zoo.load`.
        WeightsError: the Hub or the repository cannot be reached.
    """
    if is_remote(name):
        return card_at(location_of(name, local_files_only=local_files_only))
    try:
        card: Card = registries.cards.get(name)
    except NotRegistered as error:
        if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", name):
            raise NotRegistered(f"{error}; for a repository on the Hub, hf-hub:{name}") from error
        raise
    return card


def weights_of(card: Card) -> str | None:
    """What identifies the weights that a model predicts with.

        >>> import zoo
        >>> card = zoo.info("skull-completion-64.phantom")
        >>> weights_of(card) == card.weights.sha256
        True

    Returns:
        Their sha256; of an ensemble, that of the digests of all its models. None if the model's own
        weights are random.

    Raises:
        NotRegistered, ConfigError, WeightsError: as for `info`, of a model of the ensemble.
    """
    if not card.ensemble or not card.weights:
        return card.sha256
    digests = [each.sha256 or "random" for each in (card, *map(info, card.ensemble))]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def is_remote(name: str) -> bool:
    """Whether a name is that of a location, `hf-hub:` or `local-dir:`, and not a card's."""
    return name.startswith(("hf-hub:", "local-dir:"))
