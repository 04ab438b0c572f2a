"""From plain data to a pydantic model, with errors in one line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from zoo.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], content: Any, *, source: str) -> M:
    """Check `content` against a model.

    Raises:
        ConfigError: one line naming the source, every key's path and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
            f" (got {_short(fault['input'])})"
            for fault in error.errors()
        )
        raise ConfigError(f"{source}: {faults}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
