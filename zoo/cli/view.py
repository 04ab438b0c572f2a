"""The command `zoo view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._console import say
from zoo.errors import ConfigError


def view(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="The files of a case in any order, a folder that `zoo predict` wrote, or OUT/CASE"
            " in it.",
        ),
    ],
    save: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Write a page that needs no server, and end."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 is any that is free.")
    ] = 0,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Send every voxel and triangle, not what a laptop shows at once."
        ),
    ] = False,
) -> None:
    """Look at a prediction in the browser.

    zoo view defective.nii.gz complete.nii.gz implant.nii.gz

    What each file is follows from its content: a scan, or the shape that others
    contain, is the input, and a small shape the implant; then come prediction
    and ground truth. A .json file is the report. The page is served on this
    machine alone, to one browser, until Ctrl-C.
    """
    from zoo.viewer import Exhibit, Server, cases_of, save_page

    cases, start = cases_of(paths)
    if save is None:
        server = Server(cases, start, port=port, full=full)
        say(server.url)
        if not no_browser:
            typer.launch(server.url)
        return server.run()
    if len(cases) > 1 and len(paths) == 1 and paths[0].is_dir():
        raise ConfigError(
            f"--save: wanted one case, got {len(cases)}; name one, such as {cases[0].path}"
        )
    save_page(save, Exhibit(cases[start], full=full))
    say(f"{save}: {save.stat().st_size / 1e6:.1f} MB")
