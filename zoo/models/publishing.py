"""Writes a model to a folder that `local-dir:` loads, and pushes that folder to the Hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.cards import (
    CONFIG,
    README,
    WEIGHTS,
    Card,
    Weights,
    answers_within,
    is_remote,
    model_config,
    split_repository,
)
from zoo.errors import ConfigError, HubError, one_line
from zoo.models import weights
from zoo.models.model import Model
from zoo.models.reference_case import INPUT, LARGEST_CASE, PREDICTION, make_reference_case
from zoo.models.signing import sign
from zoo.version import __version__
from zoo.volumes import atomic_path, make_folder, temporary_folder, write_volume

if TYPE_CHECKING:  # takes a while to import
    from huggingface_hub import CommitOperationAdd

PICTURE = re.compile(r"!\[[^\]]*\]\(((?:\.\./)*\w[\w./-]*\.(?:png|jpe?g|svg|webp))\)")
PATIENCE = 60  # seconds without an answer from the Hub


@dataclass(frozen=True)
class Published:
    """The result of a push.

    Attributes:
        name: the name that loads exactly this commit, `hf-hub:ORG/REPO@COMMIT`.
        url: address of the commit.
        sha256: hex digest of the weights.
    """

    name: str
    url: str
    sha256: str


def save(model: Model, folder: str | os.PathLike[str]) -> None:
    """Write config.json, model.safetensors and README.md, which `local-dir:` loads.

    It also writes a reference case for `zoo verify`: an input, and this model's prediction.

        >>> import tempfile
        >>> import zoo
        >>> model = zoo.create("sparse-segmentation", backend="torch", device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(folder)
        ...     zoo.load(f"local-dir:{folder}", backend="torch", device="cpu")
        Model(sparse-segmentation, segmentation, 1 mm, torch on cpu)

    Args:
        model: the model to write.
        folder: folder for the files; created if it does not exist.

    Raises:
        WriteError: the folder cannot be created, or a file cannot be written.
    """
    write_model(model, Path(folder))


def write_model(model: Model, folder: Path, repo: str | None = None) -> Card:
    """Write a model's folder, and return the card in it, which pins the weights to `repo`.

    The same model gives the same bytes.

    Raises:
        WriteError: the folder cannot be created, or a file cannot be written.
    """
    make_folder(folder)
    content = weights.to_bytes(model.network.state_dict(), _facts(model))
    card = _with_pictures(_card(model, hashlib.sha256(content).hexdigest(), repo), model, folder)
    _write_reference_case(model, card, folder)
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(content)
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(model_config(card), indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / README) as temporary:
        temporary.write_text(card.to_markdown(), encoding="utf-8")
    return card


def rehearse(model: Model, repo: str, *, key: Path | None = None) -> dict[str, int]:
    """What `push` would upload: the names of the files and their bytes. Nothing leaves the machine.

    Raises:
        ConfigError: `repo` is not the name of a repository, or `key` is no private key.
    """
    _check_repository(repo)
    _check_ensemble(model.card)
    with temporary_folder() as folder:
        write_model(model, folder, repo)
        if key:
            sign(folder, key)
        return {name: path.stat().st_size for name, path in _files(folder).items()}


def push(
    model: Model,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    key: Path | None = None,
) -> Published:
    """Publish a model as one commit to a Hub repository, which is created if it does not exist.

        published = model.push_to_hub("ORG/REPO")
        zoo.load(published.name)  # exactly this commit

    Args:
        model: the model to publish.
        repo: ORG/REPO.
        private: create the repository as private.
        revision: branch to commit to, created if it does not exist; the main one if left out.
        key: a private key on an elliptic curve, PEM, to sign all files with; `zoo verify --key`
            checks the signature. None: they are not signed.

    Returns:
        The name that loads the published model, the address of the commit, and the sha256 of the
        weights.

    Raises:
        ConfigError: `repo` is not the name of a repository, or `key` is no private key.
        MissingDependency: for `key`, model-signing is not installed.
        HubError: the Hub cannot be reached or refuses, or the repository is public although
            `private` is set. An existing repository is left untouched, a new one is left empty.
    """
    from huggingface_hub import HfApi

    _check_repository(repo)
    _check_ensemble(model.card)
    api = HfApi(library_name="sparse-volume-zoo", library_version=__version__)
    with temporary_folder() as folder:
        card = write_model(model, folder, repo)
        if key:
            sign(folder, key)
        assert card.weights
        try:
            with answers_within(PATIENCE):
                api.create_repo(repo, private=private, exist_ok=True)
                if private and not api.model_info(repo).private:
                    raise HubError(f"{repo} is public: make it private first, or push elsewhere")
                if revision:
                    api.create_branch(repo, branch=revision, exist_ok=True)
                done = api.create_commit(
                    repo,
                    _additions(folder),
                    revision=revision,
                    commit_message=f"{card.name}, written by sparse-volume-zoo {__version__}",
                    num_threads=1,  # the client mixes up equal files that it uploads at once
                )
        except HubError:
            raise
        except Exception as error:  # the client raises its own errors and those of its HTTP library
            raise HubError(f"{repo} was not pushed: {_advice(error)}") from error
    return Published(f"hf-hub:{repo}@{done.oid}", done.commit_url, card.weights.sha256)


def _check_repository(repo: str) -> None:
    """Raise ConfigError unless it is ORG/REPO, without a revision."""
    if split_repository(repo)[1]:
        raise ConfigError(f"wanted ORG/REPO, got {repo!r}; pass the branch as revision")


def _check_ensemble(card: Card) -> None:
    """Raise ConfigError if a card names models that nobody else has, or that may change."""
    for name in card.ensemble:
        if is_remote(name) and not (name.startswith("hf-hub:") and "@" in name):
            raise ConfigError(
                f"{card.name}: wanted `ensemble` to name models of the zoo or"
                f" hf-hub:ORG/REPO@COMMIT, got {name}; push that first, and name its commit"
            )


def _additions(folder: Path) -> list[CommitOperationAdd]:
    """The files of a folder as streams.

    The client uploads streams over plain LFS, which mirrors of the Hub support as well. For paths
    it insists on Xet, which only pays for gigabytes.
    """
    from huggingface_hub import CommitOperationAdd

    return [
        CommitOperationAdd(name, BytesIO(path.read_bytes()))
        for name, path in _files(folder).items()
    ]


def _files(folder: Path) -> dict[str, Path]:
    """The files below a folder, by their paths in a repository."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _write_reference_case(model: Model, card: Card, folder: Path) -> None:
    """Write the reference case that the model came with, or a new one for new weights.

    What an ensemble predicts depends on other weights as well.
    """
    location = model.origin.location
    same = model.card.weights and card.weights and model.card.weights.sha256 == card.weights.sha256
    if location and same and not card.ensemble:
        for name in (INPUT, PREDICTION):
            if path := location.find(name, LARGEST_CASE):
                _copy(path, folder / name)
    else:
        for name, volume in make_reference_case(model).items():
            write_volume(volume, folder / name)


def _with_pictures(card: Card, model: Model, folder: Path) -> Card:
    """Copy the pictures that a card shows, and link those that were outside of its folder anew."""
    text = card.text
    for link in dict.fromkeys(PICTURE.findall(text)):
        if model.origin.location and (path := model.origin.location.picture(link)):
            name = link.replace("../", "")
            make_folder((folder / name).parent)
            _copy(path, folder / name)
            text = text.replace(f"]({link})", f"]({name})")
    return card.model_copy(update={"text": text})


def _copy(path: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(path.read_bytes())


def _facts(model: Model) -> dict[str, str]:
    """Metadata for the weights, for whoever only has that file; existing entries are kept."""
    facts = {"format": "pt", "architecture": model.card.architecture}
    return {"zoo_version": __version__, **model.origin.facts, **facts}


def _card(model: Model, sha256: str, repo: str | None) -> Card:
    card = model.card
    pinned = repo or (card.weights.repo if card.weights else f"local/{card.name}")
    hub = {
        "library_name": "sparse-volume-zoo",
        "pipeline_tag": model.task.pipeline_tag,
        "tags": ["medical", "sparse-convolution", card.task],
    }
    return card.model_copy(
        update={
            "weights": Weights(repo=pinned, file=WEIGHTS, sha256=sha256),
            "requires": card.requires or f">={__version__.rpartition('.')[0]}",
            "metadata": {**hub, **card.metadata},
        }
    )


def _advice(error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    refused = error if isinstance(error, HfHubHTTPError) else error.__cause__
    status = refused.response.status_code if isinstance(refused, HfHubHTTPError) else 0
    advice = {
        401: "log in with `hf auth login`, or set HF_TOKEN",
        403: "the token needs write access to it",
    }
    return f"{one_line(error)}; {advice.get(status, f'the Hub is {constants.ENDPOINT}')}"
