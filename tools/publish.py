"""Publish the zoo's own models on the Hub: python tools/publish.py [--all | NAME...]

Every card, its weights, pictures and reference case go to the repository that the card pins. What
is there already is not uploaded again, and what is there in the end is compared with what was sent,
so that a run that was cut off is simply repeated. The token comes from `hf auth login` or HF_TOKEN,
the server from HF_ENDPOINT.
"""

import hashlib
import re
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, HfApi

import zoo
from zoo.cards import Card
from zoo.models import save

SOURCE = "https://github.com/sparse-volume-zoo/sparse-volume-zoo/tree/main"
Files = dict[str, bytes]


def files_of(name: str) -> Files:
    """What the repository of a model is to hold, by path."""
    with TemporaryDirectory() as folder:
        save(zoo.load(name, backend="torch", device="cpu"), folder)
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    files["README.md"] = linked(files["README.md"].decode(), zoo.info(name)).encode()
    return files


def linked(text: str, card: Card) -> str:
    """The text of a card, with links to other cards and to pages as links to where these are."""
    assert card.weights
    organisation = card.weights.repo.partition("/")[0]
    text = text.replace("](../", f"]({SOURCE}/")
    return re.sub(r"\]\(([a-z0-9.-]+)\.md\)", rf"](/{organisation}/\1)", text)


def missing(api: HfApi, repo: str, files: Files) -> Files:
    """The files that a repository does not have, or has with other content."""
    there = {
        file.path: file.lfs.sha256 if file.lfs else file.blob_id
        for file in api.get_paths_info(repo, sorted(files))
        if hasattr(file, "blob_id")
    }
    return {
        path: content
        for path, content in files.items()
        if there.get(path) not in (sha256(content), git_blob(content))
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    """The sha1 by which git knows a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def publish(api: HfApi, name: str) -> str:
    """Publish a model, unless it is there; returns what was done, in a line."""
    card = zoo.info(name)
    assert card.weights
    repo, files = card.weights.repo, files_of(name)
    api.create_repo(repo, exist_ok=True)
    new = missing(api, repo, files)
    if not new:
        return f"{repo}: complete, {len(files)} files"
    api.create_commit(
        repo,
        [CommitOperationAdd(path, BytesIO(content)) for path, content in new.items()],
        commit_message=f"{name}, written by sparse-volume-zoo {zoo.__version__}",
        num_threads=1,  # the client mixes up equal files that it uploads at once
    )
    if lost := missing(api, repo, files):
        raise SystemExit(f"{repo}: {', '.join(lost)} differ from what was sent; run this again")
    return f"{repo}: {len(new)} of {len(files)} files uploaded, all of them as they should be"


if __name__ == "__main__":
    names = [name for name in zoo.list_models() if zoo.info(name).name == name]
    wanted = names if sys.argv[1:] == ["--all"] else sys.argv[1:]
    if not wanted or not {*wanted} <= {*names}:
        sys.exit(__doc__)
    for name in wanted:
        print(publish(HfApi(), name), flush=True)
