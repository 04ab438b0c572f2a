"""The command `zoo list`."""

from __future__ import annotations

from typing import Annotated

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
    from zoo.models import info
    from zoo.models import list_models as names_of

    if task is not None and task not in registries.tasks:
        known = ", ".join(registries.tasks.names())
        raise ConfigError(f"unknown task {task!r}; the tasks are: {known}")
    rows = []
    for name in names_of(pattern, task=task):
        row = {"name": name, "task": "-", "architecture": "-"}
        try:
            card = info(name)
            row |= {"task": card.task, "architecture": card.architecture}
        except ZooError as error:
            complain(str(error))
        rows.append({**row, "origin": registries.cards.origin(name)})
    if as_json:
        return print_json(rows)
    if not rows:
        return say(f"no model matches {pattern!r}" + (f" and is for {task}" if task else ""))
    print_table(rows)
