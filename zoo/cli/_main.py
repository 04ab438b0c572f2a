"""Parses the command line, runs the command and returns its exit status."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from zoo.cli import (
    bench,
    convert,
    doctor,
    download,
    evaluate,
    info,
    list_models,
    phantom,
    plugin,
    predict,
    push,
    train,
    verify,
    view,
)
from zoo.cli._console import Stopped, complain, report_error, spoken
from zoo.errors import ZooError, one_line
from zoo.version import __version__

INTERRUPTED = 130  # the exit status that typer and shells use for Ctrl-C
COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": list_models.list_models,
    "info": info.info,
    "predict": predict.predict,
    "view": view.view,
    "evaluate": evaluate.evaluate,
    "train": train.train,
    "phantom": phantom.phantom,
    "download": download.download,
    "push": push.push,
    "convert": convert.convert,
    "verify": verify.verify,
    "doctor": doctor.doctor,
    "bench": bench.bench,
}
# What PyTorch reads as it starts. Its OpenMP threads would spin for a while after every operation,
# on cores that the CPU backend's own threads want next; and the system would hand out the memory of
# large tensors in pages of 4 KiB, which takes 8 % of a prediction at 512.
PYTORCH = {"OMP_WAIT_POLICY": "PASSIVE", "THP_MEM_ALLOC_ENABLE": "1"}
COMPLETED = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # where a shell puts what it wants completed
EXTENDED = {"predict": predict.extended, "evaluate": evaluate.extended}  # with tasks' options


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: the words after `zoo`; those of this process if left out.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    logging.disable(logging.NOTSET if debug else logging.CRITICAL)  # what libraries log
    report_error.tracebacks = debug
    try:
        with warnings.catch_warnings(action="default" if debug else "ignore"):  # and what they warn
            status = _run(_with_repeated_inputs([word for word in words if word != "--debug"]))
        _flush()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:
        return 1
    except Stopped as stopped:
        complain(str(stopped))
        return INTERRUPTED
    except Exception as error:
        report_error(_reason(error), error)
        return 2
    finally:
        logging.disable(logging.NOTSET)
        report_error.tracebacks = False
        spoken.clear()
    if status == INTERRUPTED:
        complain("interrupted; unfinished outputs were not written")
    return status or 0


def run() -> NoReturn:
    """Run the command line as this process, and end it.

    What was registered to happen at the end does; but modules are not taken apart one by one, for
    which PyTorch and Numba take a second.
    """
    for name, value in PYTORCH.items():
        os.environ.setdefault(name, value)
    status = main()
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


def _with_repeated_inputs(words: list[str]) -> list[str]:
    """`predict NAME -i a b c` as `predict NAME -i a -i b -i c`."""
    if words[:1] != ["predict"]:
        return words
    found: list[str] = []
    named = inputs = False
    for position, word in enumerate(words):
        if word in ("-i", "--input"):
            inputs = True
            found.append(word)
            continue
        if word.startswith("-") and word != "-":
            inputs = False
        elif inputs and named and found[-1] not in ("-i", "--input"):
            found.append("-i")
        named = named or (position == 1 and not word.startswith("-"))
        found.append(word)
    return found


def _run(words: list[str]) -> Any:
    """Run the command; plugins' tasks are only loaded for --help, or an option that is unknown."""
    completed = [os.environ.get(name, "") for name in COMPLETED]
    if not EXTENDED.keys() & {*words, *" ".join(completed).split()}:
        return _called(_app({}), words)
    from zoo import registries

    own = sorted(registries.tasks.own)
    if {"--help", "-h"} & set(words):
        return _called(application(), words)
    try:
        return _called(_app(EXTENDED, own), words)
    except Exception as error:
        every = registries.tasks.names()
        if "No such option" not in getattr(error, "message", "") or every == own:
            raise
        return _called(_app(EXTENDED, every), words)


def application() -> typer.Typer:
    """The whole command line, with the options of all tasks, those of plugins as well."""
    from zoo import registries

    return _app(EXTENDED, registries.tasks.names())


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:  # the reader has gone, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, ZooError):
        return str(error)
    if hasattr(error, "format_message"):  # a usage error from typer
        return f"{error.format_message() or 'wanted a command'} (see --help)"
    return f"unexpected {type(error).__name__}: {one_line(error)}; --debug shows where"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"zoo {__version__}")
        raise typer.Exit


def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options that every command has besides --help."""


def _called(app: typer.Typer, words: list[str]) -> Any:
    return app(words, "zoo", standalone_mode=False)


def _app(extended: dict[str, Any], tasks: list[str] | None = None) -> typer.Typer:
    """Build the application; `extended` are the commands that also take the options of tasks."""
    app = typer.Typer(
        help="A plug-in model zoo of sparse CNNs for medical volumes.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for name, command in COMMANDS.items():
        function: Callable[..., None] = extended[name](tasks) if name in extended else command
        app.command(name)(function)
    plugins = typer.Typer(no_args_is_help=True, help="Create a plugin.")
    plugins.command("new")(plugin.new)
    app.add_typer(plugins, name="plugin")
    return app
