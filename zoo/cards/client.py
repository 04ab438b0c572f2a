"""The client of the Hugging Face Hub, which takes a while to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Let the client wait so long for each answer; of itself it waits for ever."""
    from huggingface_hub import get_session

    session = get_session()
    before, session.timeout = session.timeout, seconds
    try:
        yield
    finally:
        session.timeout = before
