"""Options that tasks add to commands.

A task's options are the fields of a pydantic model, so a plugin's task brings its own to
`zoo predict` and `zoo evaluate`: a bool is a flag, anything else an option with a value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.errors import ZooError

if TYPE_CHECKING:  # takes a while to import, and most commands have no such options
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

TaskOptions = Mapping[str, Any]  # the options that were given, by the names of their fields


def with_task_options(
    command: Callable[..., None],
    base: type[BaseModel],
    model_of: Callable[[Any], type[BaseModel]],
    tasks: Iterable[str],
) -> Callable[..., None]:
    """Extend a command with the options of some tasks, which it gets as its argument `options`.

    A field that is called like an argument of the command itself is not an option of it.

    Args:
        command: the function, one of whose parameters is `options`.
        base: the pydantic model whose fields are not added: the command has its own options for
            them.
        model_of: returns the pydantic model of a task, whose other fields become options.
        tasks: names of tasks; one that does not load is skipped, because `zoo doctor` reports it.
    """
    signature = inspect.signature(command, eval_str=True)
    own = {name: p for name, p in signature.parameters.items() if name != "options"}
    added = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _kinds(tasks, base, model_of).items()
        if name not in own
    }

    @wraps(command)
    def extended(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in added}
        options = {name: value for name, value in given.items() if value is not None}
        command(**arguments, options=options)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values()]
    parameters += added.values()
    extended.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    extended.__annotations__ = {p.name: p.annotation for p in parameters}
    return extended


def _kinds(
    tasks: Iterable[str], base: type[BaseModel], model_of: Callable[[Any], type[BaseModel]]
) -> dict[str, Any]:
    """The annotation of every option by its name; tasks that share one agree on its type."""
    from zoo import registries

    fields: dict[str, FieldInfo] = {}
    owners: dict[str, list[str]] = {}
    for task in tasks:
        try:
            model = model_of(registries.tasks.get(task))
        except ZooError:
            continue
        for name in model.model_fields.keys() - base.model_fields.keys():
            fields.setdefault(name, model.model_fields[name])
            owners.setdefault(name, []).append(task)
    return {name: _annotation(name, fields[name], owners[name]) for name in sorted(fields)}


def _annotation(name: str, field: FieldInfo, tasks: list[str]) -> Any:
    from annotated_types import Ge

    flag = f"--{name.replace('_', '-')}"
    if field.default is True:  # what is on can only be switched off
        flag = f"{flag}/--no-{flag[2:]}"
    owners = ", ".join(tasks)
    text = f"{owners[:1].upper()}{owners[1:]}: {field.description or name}"
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    option = typer.Option(flag, help=text, min=least)  # type: ignore[arg-type]
    return Annotated[field.annotation if field.default is None else field.annotation | None, option]  # type: ignore[operator]
