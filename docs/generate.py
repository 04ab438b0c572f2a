"""Writes the pages that code and cards state already: commands, configs, models."""

import json
import re
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.util.typing import stringify_annotation
from typer.cli import get_docs_for_click

import zoo
from zoo.cards import Card
from zoo.cli import application
from zoo.training import training_class

SIGNS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}
SIGNS |= {"min_length": "at least {} values", "max_length": "at most {} values"}
ATTRIBUTE = re.compile(r"(?m)^    (\w+): (.+(?:\n        .+)*)")


def write(docs: Path) -> None:
    """Write all generated pages and the JSON schemas into the folder `generated`."""
    architectures = [zoo.registries.architectures.get(n) for n in zoo.registries.architectures.own]
    trainings = [training_class(name).config_class for name in zoo.registries.architectures.own]
    pages = {
        "command-line.md": commands(),
        "training-config.md": tables(*trainings),
        "architectures.md": tables(*(each.config_class for each in architectures)),
        "card.md": tables(Card),
        "card.schema.json": json.dumps(Card.model_json_schema(), indent=2),
    }
    for name, config in zip(zoo.registries.architectures.own, trainings, strict=True):
        pages[f"{name}.schema.json"] = json.dumps(config.model_json_schema(), indent=2)
    for name in zoo.list_models():
        if zoo.info(name).name == name:  # not the short name of a default
            pages[f"models/{name}.md"] = model_page(name)
    for name, text in pages.items():
        path = docs / "generated" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:  # Sphinx reads again what is newer
            path.write_text(text)


def commands() -> str:
    """The help of every command, as typer writes it."""
    command = typer.main.get_command(application())
    context = typer.Context(command, info_name="zoo")
    text = get_docs_for_click(obj=command, ctx=context, name="zoo", title="Commands")
    return re.sub(r"(?m)^zoo .+$", r"```console\n$ \g<0>\n```", text)


def tables(*models: type[BaseModel]) -> str:
    """A table of the fields of each model, and of those that it is made from, once each."""
    found: dict[type[BaseModel], None] = {}
    for model in models:
        found |= dict.fromkeys(parts(model))
    return "\n\n".join(table(model) for model in found)


def parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model, after its bases and before the models of its fields."""
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__annotations__.keys() & base.model_fields.keys():
            yield base
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from parts(part)


def table(model: type[BaseModel]) -> str:
    """The fields that a model adds to those of its bases, with what its docstring says of them."""
    text = getdoc(model)
    said = {name: " ".join(words.split()) for name, words in ATTRIBUTE.findall(text)}
    rows = [
        f"| `{name}` | {kind(field)} | {default(field)} | {said[name]} |"
        for name, field in model.model_fields.items()
        if name in model.__annotations__
    ]
    intro = text.split("\n\n")[0].replace("\n", " ")
    head = ["| key | value | default | |", "|---|---|---|---|"]
    return "\n".join([f"## {model.__name__}", "", intro, "", *head, *rows])


def kind(field: FieldInfo) -> str:
    """The type of a field and its bounds, in a cell of a table."""
    bounds = [
        sign.format(getattr(limit, name))
        for name, sign in SIGNS.items()
        for limit in field.metadata
        if getattr(limit, name, None) is not None
    ]
    typed = stringify_annotation(plain(field.annotation), mode="smart").replace("~", "")
    typed = re.sub(r"(?:\w+\.)+(?=\w)", "", typed)
    return "<br>".join([f"`{typed}`".replace("|", "\\|"), *bounds])


def plain(annotation: Any) -> Any:
    """A type without what pydantic checks beyond it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return plain(arguments[0])
    if not arguments or origin is Literal:
        return annotation
    arguments = tuple(map(plain, arguments))
    return Union[arguments] if origin in (Union, UnionType) else origin[arguments]  # noqa: UP007


def default(field: FieldInfo) -> str:
    """The default of a field, in a cell of a table."""
    if field.is_required():
        return "required"
    if isinstance(field.default, BaseModel):
        return f"`{type(field.default).__name__}()`"
    return f"`{field.default!r}`".replace("|", "\\|")


def model_page(name: str) -> str:
    """A card as a page, with links from where it lies then."""
    text = zoo.info(name).text.replace("](../docs/", "](../../")
    return re.sub(r"\]\((?=\w[^):]*\.png\))", "](../../../cards/", text)
