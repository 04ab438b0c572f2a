"""Plain data: YAML that is no more than that, and its validation, with errors on one line."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from zoo.errors import ConfigError, one_line

M = TypeVar("M", bound=BaseModel)
DEEPEST = 32  # levels of YAML
MOST_FAULTS = 8  # that one error names


def plain_yaml(text: str) -> Any:
    """Read YAML without tags and aliases, nine lines of which can expand to a billion values.

    Raises:
        yaml.YAMLError: it is not YAML, or not plain, or its values nest too deeply.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C where that was built
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("wanted values, got an alias")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"wanted at most {DEEPEST} levels of values in one another")
    try:
        return yaml.load(text, loader)
    except (ValueError, TypeError) as error:  # of values, such as a date with a 13th month
        raise yaml.YAMLError(one_line(error)) from error


def validate(model: type[M], content: Any, *, source: str) -> M:
    """Make an instance of a pydantic model from plain data.

    Args:
        model: the class.
        content: plain data, such as a dict.
        source: where the data comes from, for error messages.

    Raises:
        ConfigError: the data does not fit; the message, on one line, names the source, the path of
            every key that does not fit (of the first few), and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = [
            f"{_short('.'.join(map(str, fault['loc']))) or 'all of it'}: {fault['msg']}"
            f" (got {_short(repr(fault['input']))})"
            for fault in error.errors()
        ]
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise ConfigError(f"{source}: {'; '.join(faults[:MOST_FAULTS])}{more}") from error


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
