"""What this machine can do, and how fast."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from zoo.commands.options import AsJson
from zoo.console import err, print_json, print_table, say


def doctor(as_json: AsJson = False) -> None:
    """Show which backends work here, how to get the others, and what plugins bring or break."""
    from zoo.doctor import check_backends, plugin_parts, plugin_problems
    from zoo.report import versions

    checks, problems = [asdict(check) for check in check_backends()], plugin_problems()
    parts, known = plugin_parts(), versions()
    if as_json:
        facts = {"versions": known, "backends": checks, "plugins": parts, "problems": problems}
        return print_json(facts)
    say("  ".join(f"{key} {value}" for key, value in known.items()))
    print_table(checks)
    if parts:
        print()
        print_table(parts)
    for problem in problems:
        say(f"broken plugin: {problem}")


def bench(
    resolutions: Annotated[
        str, typer.Option(help="Voxels along an edge; 64,128,256 if empty, 128,256,512 on a GPU.")
    ] = "",
    channels: Annotated[
        list[str] | None, typer.Option(help="Of the network, one a level; repeat for more.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="completion: a skull; segmentation: a chest.")
    ] = "completion",
    backends: Annotated[str, typer.Option(help="Which; all that are installed if empty.")] = "",
    device: Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, ... or auto.")] = "cpu",
    volume: Annotated[Path | None, typer.Option(help="A binary volume, not a phantom.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Measure training steps too.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for one measurement at most.")] = 900,
    plot: Annotated[Path | None, typer.Option(help="Write the figure here, PNG.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure speed and memory against peers, each in a process of its own.

    zoo bench --device cuda --json

    On a GPU, of half precision and with training: by the GPU's own clock, against the time that the
    bytes and operations alone would take.
    """
    from zoo.benchmark.command import bench as run
    from zoo.benchmark.command import table

    result = run(
        resolutions,
        channels or [],
        backends,
        task=task,
        device=device,
        volume=volume,
        train=train,
        timeout=timeout,
        picture=plot,
        output=output,
        console=err,
    )
    if as_json:
        return print_json(result)
    print_table(table(result))
