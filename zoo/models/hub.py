"""Fetches files from the Hugging Face Hub, and finds the weights of a card wherever they are.

Nothing that is read here is trusted: sizes are bounded before a file is fetched and read, weights
are only taken if their sha256 is the card's, and a damaged file in the cache is fetched again.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

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
from zoo.errors import ConfigError, WeightsError, one_line
from zoo.models.card import Card, model_config, read_card
from zoo.models.locations import (
    CONFIG,
    LARGEST_TEXT,
    LARGEST_WEIGHTS,
    README,
    WEIGHTS,
    BesideCard,
    Folder,
    Location,
    bounded,
    sha256_of,
    too_large,
)


class Repository:
    """A repository on the Hub, through the Hugging Face cache.

    The first file decides the commit, and all others come from the same commit, even if the branch
    moves in between.
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
        except Exception as error:  # the client raises its own errors and those of its HTTP library
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
                LocalEntryNotFoundError,  # it may exist: the Hub was not reached
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
        return bounded(Path(path), limit)

    def _is_cached(self, name: str) -> bool:
        """Whether nothing will be fetched; only known for commits, as branches move."""
        commit = self.revision
        if not commit or not re.fullmatch("[0-9a-f]{40}", commit):
            return False
        return isinstance(try_to_load_from_cache(self.repo, name, revision=commit), str)

    def _check_size(self, name: str, limit: int) -> None:
        """Raise WeightsError if a file is too large, before any of it is fetched."""
        if not self.renews:
            return
        try:
            size = get_hf_file_metadata(hf_hub_url(self.repo, name, revision=self.revision)).size
        except Exception:  # the download runs into it too, and knows when to retry
            return
        if size and size > limit:
            raise too_large(f"{name} of {self.repo}", size, limit)

    def __str__(self) -> str:
        return self.repo


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
    commit = _cached_commit(card)
    hub = Repository(pinned.repo, commit or pinned.revision, local_files_only=local_files_only)
    try:
        return _verified(card, hub, pinned.file, limit)
    except WeightsError as error:
        if not others:
            raise
        raise WeightsError(f"{others[0]} does not have the sha256 of its card; {error}") from error


def _cached_commit(card: Card) -> str | None:
    """A commit for which the cache has the weights that a card pins, whatever is on the Hub now."""
    assert card.weights
    folder = repo_folder_name(repo_id=card.weights.repo, repo_type="model")
    snapshots = Path(constants.HF_HUB_CACHE, folder, "snapshots")
    paths = sorted(snapshots.glob(f"*/{card.weights.file}"))
    fitting = (path for path in paths if sha256_of(path) == card.weights.sha256)
    return next((path.parent.name for path in fitting), None)


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
