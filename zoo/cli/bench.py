"""The command `zoo bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import err, print_json, print_table
from zoo.cli._shared_options import AsJson


def bench(
    resolutions: Annotated[
        str,
        typer.Option(help="Voxels along an edge. Default: 64,128,256; on a GPU 128,256,512."),
    ] = "",
    channels: Annotated[
        list[str] | None, typer.Option(help="Channels of the network, one per level; repeatable.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="completion runs on a skull, segmentation on a chest.")
    ] = "completion",
    backends: Annotated[
        str, typer.Option(help="Comma-separated. Default: all for the device.")
    ] = "",
    device: Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, ... or auto.")] = "cpu",
    volume: Annotated[
        Path | None, typer.Option(help="Use this binary volume instead of a phantom.")
    ] = None,
    occupancies: Annotated[
        str,
        typer.Option(
            help="Fill these shares of a cube instead, such as 0.1,0.5,1: which backend is faster?"
        ),
    ] = "",
    train: Annotated[bool, typer.Option("--train", help="Also measure training steps.")] = False,
    timeout: Annotated[float, typer.Option(help="Time limit per measurement, in seconds.")] = 900,
    picture: Annotated[
        Path | None, typer.Option("--plot", help="Write the figure to this PNG file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write JSON to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the speed and memory of backends, each in a process of its own.

    zoo bench --device cuda --json

    On a GPU, features are float16, training steps are always measured, times are
    taken with CUDA events, and each is compared with the least time that moving
    the bytes and doing the arithmetic would take (the roofline).
    """
    from zoo.benchmark import bench as run
    from zoo.benchmark import table

    result = run(
        resolutions,
        channels or [],
        backends,
        task=task,
        device=device,
        volume=volume,
        occupancies=occupancies,
        train=train,
        timeout=timeout,
        picture=picture,
        output=output,
        console=err,
    )
    if as_json:
        return print_json(result)
    print_table(table(result))
