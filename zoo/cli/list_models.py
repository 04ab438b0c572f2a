"""The command `zoo list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zoo.cli._console import complain, print_json, print_table, say
from zoo.cli._shared_options import AsJson
from zoo.errors import ConfigError, ZooError


def list_models(
    pattern: Annotated[str, typer.Argument(help="Shell-style pattern, such as 'skull-*'.")] = "*",
    task: Annotated[str | None, typer.Option(help="Only list models for this task.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the models that are installed."""
    from zoo import registries
    from zoo.cards import list_models as names_of

    if task is not None and task not in registries.tasks:
        known = ", ".join(registries.tasks.names())
        raise ConfigError(f"unknown task {task!r}; the tasks are: {known}")
    rows = [_row(name) for name in names_of(pattern, task=task)]
    if as_json:
        print_json(rows)
    if not rows:
        complain(f"no model matches {pattern!r}" + (f" and is for {task}" if task else ""))
        raise typer.Exit(1)
    if as_json:
        return
    # In JSON NAME alone is a row too, like every name that loads; here a star says so.
    cards = [row for row in rows if row["name"] == row["card"]]
    print_table([_shown(row) for row in cards], whole=("name", "origin"))
    if any(row["default"] for row in cards):
        say("* is loaded by its name without the tag, the part after the last dot")
    if any(row["status"] == "demonstration" for row in cards):
        say("+ is a demonstration, not good at its task on real scans: see zoo info NAME")


def _row(name: str) -> dict[str, Any]:
    from zoo import registries
    from zoo.cards import info

    row: dict[str, Any] = {"name": name, "card": name, "default": False}
    row |= dict.fromkeys(("task", "architecture", "status", "tag", "license", "datasets"), "-")
    try:
        card = info(name)
    except ZooError as error:
        complain(str(error))
    else:
        row |= {"card": card.name, "default": card.default, "task": card.task}
        row |= {"architecture": card.architecture, "status": card.status or "-"}
        row |= {"tag": card.tag or "-"}
        row |= {"license": card.license or "-", "datasets": ", ".join(card.datasets) or "-"}
    return row | {"origin": registries.cards.origin(name)}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What fits into a terminal of 80 columns."""
    shown = {key: row[key] for key in ("name", "task", "license", "datasets", "origin")}
    marks = "*" * row["default"] + "+" * (row["status"] == "demonstration")
    return shown | {"name": row["name"] + marks}
