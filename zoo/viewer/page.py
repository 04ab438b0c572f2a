"""The page: from the server, or as one file that needs neither server nor network."""

from __future__ import annotations

import base64
import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from zoo.pictures import RESEARCH
from zoo.viewer.exhibit import Exhibit
from zoo.volumes import atomic_path

ASSETS = ("niivue.umd.js", "view.js", "view.css")  # that the page loads


def save_page(path: Path, exhibit: Exhibit) -> None:
    """Write a case as one HTML file with everything in it.

    Raises:
        WriteError: the file cannot be written.
    """
    saved = {name: base64.b64encode(exhibit.content(name)).decode() for name in exhibit.names}
    with atomic_path(path) as temporary:
        temporary.write_text(_rendered(exhibit.title, 1, 0, saved), encoding="utf-8")


def served_page(title: str, count: int, start: int) -> str:
    """The page that loads its cases from the server, and begins with case number `start`."""
    return _rendered(title, count, start, None)


@cache
def asset(name: str) -> str:
    """The text of an asset."""
    return files("zoo.viewer").joinpath("assets", name).read_text(encoding="utf-8")


def _rendered(title: str, count: int, start: int, saved: dict[str, str] | None) -> str:
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True).from_string(asset("page.html"))
    return template.render(
        title=title,
        research=RESEARCH,
        count=count,
        start=start,
        saved=saved and json.dumps(saved),
        assets={name: asset(name) for name in ASSETS} if saved else {},
    )
