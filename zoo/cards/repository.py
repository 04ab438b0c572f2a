"""Repositories on the Hugging Face Hub, whose client takes a while to import."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.hf_api import RepoFile

from zoo.cards.client import answers_within
from zoo.cards.locations import (
    CONFIG,
    LARGEST_PICTURE,
    README,
    WEIGHTS,
    bounded,
    sha256_of,
    too_large,
)
from zoo.errors import WeightsError, one_line


class Repository:
    """A repository on the Hub, through the Hugging Face cache.

    The first file decides the commit, and all others come from the same commit, even if the branch
    moves in between.
    """

    def __init__(self, repo: str, revision: str | None, *, local_files_only: bool = False) -> None:
        self.repo, self.revision = repo, revision
        self.local_files_only = local_files_only
        self.renews = not (local_files_only or constants.HF_HUB_OFFLINE)
        self._sizes: dict[str | None, dict[str, int]] = {}  # of files by revision

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

    def picture(self, link: str) -> Path | None:
        return None if ".." in link else self.find(link, LARGEST_PICTURE)

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
        self.revision = Path(path).parents[name.count("/")].name  # a folder named for the commit
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
            size = self._size(name)
        except Exception:  # the download runs into it too, and knows when to retry
            return
        if size and size > limit:
            raise too_large(f"{name} of {self.repo}", size, limit)

    def _size(self, name: str) -> int | None:
        """The size of a file, by one request for all that every model has.

        That does not count as a download, as a request for config.json would; but a mirror may
        know requests for files alone.
        """
        known = self._sizes.setdefault(self.revision, {})
        if name not in known:
            wanted = sorted({name, README, CONFIG, WEIGHTS})
            try:
                with answers_within(constants.HF_HUB_ETAG_TIMEOUT):
                    found = HfApi().get_paths_info(self.repo, wanted, revision=self.revision)
            except HfHubHTTPError:
                url = hf_hub_url(self.repo, name, revision=self.revision)
                return get_hf_file_metadata(url).size
            known |= {file.path: file.size for file in found if isinstance(file, RepoFile)}
        return known.get(name)

    def __str__(self) -> str:
        return self.repo


def cached_commit(repo: str, file: str, sha256: str) -> str | None:
    """A commit for which the cache has a file with that sha256, whatever is on the Hub now."""
    folder = repo_folder_name(repo_id=repo, repo_type="model")
    snapshots = Path(constants.HF_HUB_CACHE, folder, "snapshots")
    fitting = (path for path in sorted(snapshots.glob(f"*/{file}")) if sha256_of(path) == sha256)
    return next((path.parent.name for path in fitting), None)
