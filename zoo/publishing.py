"""A model as a folder that `local-dir:` loads, and that folder as a Hub repository."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError

import zoo
from zoo import golden, weights
from zoo.cards import Card, Weights
from zoo.errors import ConfigError, HubError, VolumeError, one_line
from zoo.files import atomic_path, make_folder, write_volume
from zoo.hub import CONFIG, README, WEIGHTS, model_config, split_repository

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.volume import Volume


@dataclass(frozen=True)
class Published:
    """What a push made.

    Attributes:
        name: to load just this by, `hf-hub:ORG/REPO@COMMIT`.
        url: of the commit.
        sha256: of the weights.
    """

    name: str
    url: str
    sha256: str


def write_model(model: Model, folder: Path, repo: str | None = None) -> Card:
    """Write a model's folder; returns the card in it, which pins the weights to `repo`.

    The same model gives the same bytes. Beside config.json, model.safetensors and README.md lies
    the golden case: an input, and what the model answers to it here. A model whose windows of
    intensity have nothing, or all, of the golden input in them has none.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    make_folder(folder)
    case = _golden_case(model)
    content = weights.to_bytes(model.network.state_dict(), _facts(model))
    card = _card(model.card, hashlib.sha256(content).hexdigest(), repo)
    for name, volume in case.items():
        write_volume(volume, folder / name)
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(content)
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(model_config(card), indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / README) as temporary:
        temporary.write_text(card.to_markdown(), encoding="utf-8")
    return card


def push(
    model: Model, repo: str, *, private: bool = False, revision: str | None = None
) -> Published:
    """Publish a model as one commit of a Hub repository, which is made if it is not there.

    Args:
        model: what to publish.
        repo: ORG/REPO.
        private: make it a private one.
        revision: branch to commit to, made if it is not there; the main one if left out.

    Raises:
        ConfigError: not a repository's name.
        HubError: the Hub cannot be reached or refuses, or a private repository was asked for and a
            public one is there. The repository is as it was before, or newly made and empty.
    """
    if split_repository(repo)[1]:
        raise ConfigError(f"wanted ORG/REPO, got {repo!r}; give the branch as revision")
    api = HfApi(library_name="sparse-volume-zoo", library_version=zoo.__version__)
    with TemporaryDirectory() as folder:
        card = write_model(model, Path(folder), repo)
        assert card.weights
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            if private and not api.model_info(repo).private:
                raise HubError(f"{repo} is public: make it private first, or push elsewhere")
            if revision:
                api.create_branch(repo, branch=revision, exist_ok=True)
            done = api.create_commit(
                repo,
                _additions(Path(folder)),
                revision=revision,
                commit_message=f"{card.name}, written by sparse-volume-zoo {zoo.__version__}",
            )
        except HubError:
            raise
        except Exception as error:  # the client raises its own, and its HTTP library's errors
            raise HubError(f"{repo} was not pushed: {_advice(error)}") from error
    return Published(f"hf-hub:{repo}@{done.oid}", done.commit_url, card.weights.sha256)


def _golden_case(model: Model) -> dict[str, Volume]:
    given = golden.golden_input(model.card)
    try:
        return {golden.INPUT: given, golden.ANSWER: model.predict(given).volume}
    except VolumeError:
        return {}


def _additions(folder: Path) -> list[CommitOperationAdd]:
    """The files of a folder.

    As streams: those the client uploads over plain LFS, which mirrors of the Hub speak, too. Given
    paths it insists on Xet, which gains something for gigabytes.
    """
    return [
        CommitOperationAdd(path.name, BytesIO(path.read_bytes()))
        for path in sorted(folder.iterdir())
    ]


def _facts(model: Model) -> dict[str, str]:
    """On the weights, for whoever has nothing but the file; those of trained ones stay."""
    facts = {"format": "pt", "architecture": model.card.architecture}
    return {"zoo_version": zoo.__version__, **model.origin.facts, **facts}


def _card(card: Card, sha256: str, repo: str | None) -> Card:
    pinned = repo or (card.weights.repo if card.weights else f"local/{card.name}")
    tags = ["medical", "sparse-convolution", card.task]
    return card.model_copy(
        update={
            "weights": Weights(repo=pinned, file=WEIGHTS, sha256=sha256),
            "metadata": {"library_name": "sparse-volume-zoo", "tags": tags, **card.metadata},
        }
    )


def _advice(error: Exception) -> str:
    refused = error if isinstance(error, HfHubHTTPError) else error.__cause__
    status = refused.response.status_code if isinstance(refused, HfHubHTTPError) else 0
    advice = {
        401: "log in with `hf auth login`, or set HF_TOKEN",
        403: "the token needs write access to it",
    }
    return f"{one_line(error)}; {advice.get(status, f'the Hub is {constants.ENDPOINT}')}"
