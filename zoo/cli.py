"""The `zoo` command. Exit status 2 and one line on stderr for wrong usage or bad input."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Annotated

import typer

from zoo.commands import checking, making, sharing, using
from zoo.console import complain
from zoo.errors import ZooError

INTERRUPTED = 130  # what typer, and a shell, makes of Ctrl-C

app = typer.Typer(
    help="A plug-in model zoo of sparse CNNs for medical volumes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    logging.disable(logging.NOTSET if debug else logging.CRITICAL)  # libraries' own lines
    try:
        status = app([word for word in words if word != "--debug"], "zoo", standalone_mode=False)
        _flush()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        complain(_reason(error))
        return 2
    finally:
        logging.disable(logging.NOTSET)
    if status == INTERRUPTED:
        complain("interrupted; what was not finished was not written")
    return status or 0


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads on, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, ZooError):
        return str(error)
    if hasattr(error, "format_message"):  # a usage error of typer's
        return f"{error.format_message() or 'wanted a command'} (see --help)"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Every command takes --help and --debug."""


app.command("list")(using.list_)
for command in (
    *(using.info, using.predict, using.evaluate, making.train, making.phantom),
    *(sharing.download, sharing.push, sharing.convert),
    *(using.verify, checking.doctor, checking.bench),
):
    app.command()(command)
plugin = typer.Typer(no_args_is_help=True, help="Make a plugin.")
plugin.command("new")(making.new_plugin)
app.add_typer(plugin, name="plugin")
