"""Validates plain data against a pydantic model, with errors on one line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from zoo.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], content: Any, *, source: str) -> M:
    """Make an instance of a pydantic model from plain data.

    Args:
        model: the class.
        content: plain data, such as a dict.
        source: where the data comes from, for error messages.

    Raises:
        ConfigError: the data does not fit; the message, on one line, names the source, the path of
            every key that does not fit, and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'all of it'}: {fault['msg']}"
            f" (got {_short(fault['input'])})"
            for fault in error.errors()
        )
        raise ConfigError(f"{source}: {faults}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
