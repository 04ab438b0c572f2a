"""The command `zoo doctor`."""

from __future__ import annotations

from dataclasses import asdict

from zoo.cli._console import print_json, print_table, say
from zoo.cli._shared_options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Show which backends work here, how to get the others, and what plugins add or break."""
    from zoo.models import versions
    from zoo.registries import PLUGINS, installing, plugin_parts, plugin_problems
    from zoo.sparse import check_backends

    backends, problems = [asdict(backend) for backend in check_backends()], plugin_problems()
    parts, known = plugin_parts(), versions()
    if as_json:
        facts = {"versions": known, "backends": backends, "plugins": parts, "problems": problems}
        return print_json(facts)
    say("  ".join(f"{key} {value}" for key, value in known.items()))
    print_table(backends)
    there = {backend["name"] for backend in backends}
    for name, plugin in PLUGINS["backend"].items():
        if name not in there:
            say(f"backend {name} is not installed; {installing(plugin)} adds it")
    if parts:
        print()
        print_table(parts)
    for problem in problems:
        say(f"broken plugin: {problem}")
