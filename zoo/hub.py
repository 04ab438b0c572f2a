"""Where a model's files lie: in a folder, or in one commit of a Hugging Face Hub repository.

Nothing that is read here is trusted: sizes are bounded before a file is fetched and read, weights
count only if their sha256 is the card's, and what is damaged in the cache is fetched again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

from zoo import registries
from zoo.cards import Card, read_card
from zoo.errors import ConfigError, WeightsError, one_line

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
README = "README.md"
SUFFIX = "safetensors"
LARGEST_TEXT = 2**20  # bytes of a README.md or config.json
LARGEST_WEIGHTS = 2**32


class Place(Protocol):
    """Where files lie.

    Attributes:
        renews: whether a damaged file can be fetched again.
    """

    renews: bool

    def file(self, name: str, limit: int, *, again: bool = False) -> Path:
        """A file of `limit` bytes at most; `again` fetches it although it is there.

        Raises:
            WeightsError: it is not there, cannot be fetched, or is larger.
        """
        ...

    def find(self, name: str, limit: int) -> Path | None:
        """A file that need not be there; the same errors otherwise."""
        ...


class Folder:
    """A folder on disk, as `Model.save` writes it."""

    renews = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, name: str, limit: int, *, again: bool = False) -> Path:
        path = self.path_of(name)
        if not path.is_file():
            raise WeightsError(f"no {path.name} in {self.path}: save the model there again")
        return _bounded(path, limit)

    def find(self, name: str, limit: int) -> Path | None:
        path = self.path_of(name)
        return _bounded(path, limit) if path.is_file() else None

    def path_of(self, name: str) -> Path:
        """Where a file lies, or would."""
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)


class Beside(Folder):
    """The files of one card in a folder of several: NAME.md, NAME.safetensors, NAME.golden-..."""

    def __init__(self, card: Path) -> None:
        super().__init__(card.parent)
        self.stem = card.stem

    def path_of(self, name: str) -> Path:
        return self.path / f"{self.stem}.{SUFFIX if name.endswith(SUFFIX) else name}"


class Repository:
    """A repository on the Hub, through the Hugging Face cache.

    The first file decides the commit, and all others come from the same: a branch that moves in
    between mixes nothing.
    """

    def __init__(self, repo: str, revision: str | None, *, local_files_only: bool = False) -> None:
        self.repo, self.revision = repo, revision
        self.local_files_only = local_files_only
        self.renews = not (local_files_only or constants.HF_HUB_OFFLINE)

    def file(self, name: str, limit: int, *, again: bool = False) -> Path:
        try:
            return self._fetch(name, limit, again)
        except LocalEntryNotFoundError as error:
            reason = f" ({one_line(error.__cause__)})" if error.__cause__ else ""
            advice = "load it as local-dir:FOLDER" if name in (README, CONFIG) else "pass weights="
            raise WeightsError(
                f"{name} of {self.repo} is not in the Hugging Face cache and the Hub was not"
                f" reached{reason}; connect once, or copy the model here and {advice}"
            ) from error
        except WeightsError:
            raise
        except Exception as error:  # the client raises its own, and its HTTP library's errors
            raise WeightsError(
                f"{name} of {self.repo} cannot be fetched from the Hub: {one_line(error)}"
            ) from error

    def find(self, name: str, limit: int) -> Path | None:
        try:
            return self.file(name, limit)
        except WeightsError as error:
            cause = error.__cause__
            if isinstance(cause, EntryNotFoundError) and not isinstance(
                cause,
                LocalEntryNotFoundError,  # one that may be there: the Hub was not reached
            ):
                return None
            raise

    def _fetch(self, name: str, limit: int, again: bool) -> Path:
        if again or not self._is_cached(name):
            self._check_size(name, limit)
        path = hf_hub_download(
            self.repo,
            name,
            revision=self.revision,
            force_download=again,
            local_files_only=self.local_files_only,
        )
        self.revision = Path(path).parent.name  # the folder is named for the commit
        return _bounded(Path(path), limit)

    def _is_cached(self, name: str) -> bool:
        """Whether nothing will be fetched: a branch may have moved since, a commit has not."""
        commit = self.revision
        if not commit or not re.fullmatch("[0-9a-f]{40}", commit):
            return False
        return isinstance(try_to_load_from_cache(self.repo, name, revision=commit), str)

    def _check_size(self, name: str, limit: int) -> None:
        """Before a byte of it is fetched."""
        if not self.renews:
            return
        try:
            size = get_hf_file_metadata(hf_hub_url(self.repo, name, revision=self.revision)).size
        except Exception:  # the download meets it again, and knows when to retry
            return
        if size and size > limit:
            raise _too_large(f"{name} of {self.repo}", size, limit)

    def __str__(self) -> str:
        return self.repo


@dataclass(frozen=True)
class Origin:
    """Where a model came from.

    Attributes:
        place: where its files lie; None if it was made here.
        facts: what the file of its weights says of them.
    """

    place: Place | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place_of(name: str, *, local_files_only: bool = False) -> Place:
    """The place of `hf-hub:ORG/REPO[@REVISION]` or `local-dir:PATH`.

    Raises:
        ConfigError: no such folder, or not a repository's name.
    """
    kind, _, place = name.partition(":")
    if kind == "hf-hub":
        repo, revision = split_repository(place)
        return Repository(repo, revision, local_files_only=local_files_only)
    if not Path(place).is_dir():
        raise ConfigError(f"no folder {place}: local-dir: takes one that Model.save wrote")
    return Folder(place)


def split_repository(place: str) -> tuple[str, str | None]:
    """ORG/REPO[@REVISION] in two; ConfigError if it is something else."""
    part = r"\w[\w.-]*"
    if ".." in place or not re.fullmatch(rf"{part}/{part}(@\w[\w./-]*)?", place, re.ASCII):
        raise ConfigError(f"wanted hf-hub:ORG/REPO or hf-hub:ORG/REPO@REVISION, got {place!r}")
    repo, _, revision = place.partition("@")
    return repo, revision or None


def card_at(place: Place) -> Card:
    """The card of the model whose files lie there.

    Raises:
        ConfigError: a card that does not fit, or contradicts its config.json.
        WeightsError: the Hub or the repository cannot be reached.
    """

    try:
        return _described(place)
    except ConfigError:
        if not place.renews:
            raise
        return _described(place, again=True)


def find_weights(
    card: Card,
    weights: str | Path | None = None,
    *,
    place: Place | None = None,
    limit: int = LARGEST_WEIGHTS,
    local_files_only: bool = False,
) -> tuple[bytes, Place]:
    """A card's weights, and where they lie: `weights`, `place`, shipped, the cache, the Hub.

    They are read once, so what is used is what was verified.

    Args:
        card: whose weights.
        weights: a file; nothing else is looked for.
        place: of a model that is not in the registry; nothing else is looked for.
        limit: bytes that they have at most.
        local_files_only: never touch the network.

    Raises:
        WeightsError: there are none, they are larger, or their sha256 is not the card's.
    """
    pinned = card.weights
    if pinned is None:
        raise WeightsError(
            f"{card.name} has no weights pinned on its card; use zoo.create for random ones"
        )
    if weights is not None:
        given = Path(weights)
        if not given.is_file():
            raise WeightsError(
                f"no weights at {given}: give the path of {card.name}'s safetensors file"
            )
        return _verified(card, Folder(given.parent), given.name, limit)
    if place is not None:
        return _verified(card, place, pinned.file, limit)
    others = []
    if shipped := registries.cards.path(card.name):
        beside = Beside(shipped)
        if path := beside.find(WEIGHTS, limit):
            try:
                return _verified(card, beside, WEIGHTS, limit)
            except WeightsError:
                others.append(str(path))
    commit = _cached_commit(card)
    hub = Repository(pinned.repo, commit or pinned.revision, local_files_only=local_files_only)
    try:
        return _verified(card, hub, pinned.file, limit)
    except WeightsError as error:
        if not others:
            raise
        raise WeightsError(f"{others[0]} has not the sha256 of its card; {error}") from error


def _cached_commit(card: Card) -> str | None:
    """A commit of which the cache has the weights that a card pins, whatever the Hub has by now."""
    assert card.weights
    folder = repo_folder_name(repo_id=card.weights.repo, repo_type="model")
    snapshots = Path(constants.HF_HUB_CACHE, folder, "snapshots")
    paths = sorted(snapshots.glob(f"*/{card.weights.file}"))
    fitting = (path for path in paths if sha256_of(path) == card.weights.sha256)
    return next((path.parent.name for path in fitting), None)


def model_config(card: Card) -> dict[str, object]:
    """What config.json says: the architecture and its config."""
    return {"architecture": card.architecture, "config": card.config}


def _described(place: Place, *, again: bool = False) -> Card:
    card = read_card(place.file(README, LARGEST_TEXT, again=again))
    path = place.file(CONFIG, LARGEST_TEXT, again=again)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not readable as JSON: {one_line(error)}") from error
    if config != model_config(card):
        raise ConfigError(
            f"{place}: {CONFIG} and the card in {README} describe different networks; save the"
            " model again"
        )
    return card


def _verified(card: Card, place: Place, file: str, limit: int) -> tuple[bytes, Place]:
    """The bytes of a file whose sha256 is the card's; it is fetched again if it is not."""
    assert card.weights is not None
    wanted = card.weights.sha256
    advice = "delete the file and fetch it again"
    path = place.file(file, limit)
    content = path.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != wanted and place.renews:
        try:
            content = place.file(file, limit, again=True).read_bytes()
            got = hashlib.sha256(content).hexdigest()
        except WeightsError as error:
            advice = f"it could not be fetched again: {error}"
    if got != wanted:
        raise WeightsError(
            f"{path}: not the weights of {card.name}: wanted sha256 {wanted}, got {got}; {advice}"
        )
    return content, place


def _bounded(path: Path, limit: int) -> Path:
    size = path.stat().st_size
    if size > limit:
        raise _too_large(str(path), size, limit)
    return path


def _too_large(what: str, size: int, limit: int) -> WeightsError:
    return WeightsError(
        f"{what}: wanted {limit:,} bytes at most, got {size:,}; it is not what its name says"
    )
