"""The command `zoo push`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import print_json, remark, say
from zoo.cli._shared_options import AsJson, Name


def push(
    name: Name,
    repo: Annotated[str, typer.Argument(help="ORG/REPO on the Hub; created if it does not exist.")],
    private: Annotated[bool, typer.Option("--private", help="Create it as private.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch; created if it does not exist.")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET=FOLDER", help="Scores of zoo evaluate, for the card."),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY.pem", help="Sign all files with this private elliptic-curve key."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be uploaded, and check it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a model on the Hugging Face Hub, or on the server at HF_ENDPOINT.

    zoo push local-dir:runs/mine/model ORG/REPO

    The token comes from `hf auth login` or HF_TOKEN.
    """
    from zoo.cards import with_scores
    from zoo.models import load, rehearse

    model = load(name)
    if scores:
        model.card = with_scores(model.card, model.task.pipeline_tag, _folders(scores))
    if dry_run:
        files = rehearse(model, repo, key=sign)
        if as_json:
            return print_json(files)
        for file, size in files.items():
            say(f"{file}: {size:,} bytes")
        return say(f"would be one commit to {repo}; nothing was uploaded")
    published = model.push_to_hub(repo, private=private, revision=revision, key=sign)
    if as_json:
        return print_json(asdict(published))
    say(published.url)
    say(f"load it as {published.name}")
    if not model.card.license:
        remark("the card names no licence of the weights: add `license:` to its front matter")


def _folders(scores: list[str]) -> dict[str, Path]:
    """DATASET=FOLDER, one by one, as a mapping."""
    pairs = [text.partition("=") for text in scores]
    for dataset, _, folder in pairs:
        if not (dataset and folder):
            raise typer.BadParameter(f"--scores: wanted DATASET=FOLDER, got {dataset!r}")
    return {dataset: Path(folder) for dataset, _, folder in pairs}
