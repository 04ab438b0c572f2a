"""The `zoo` command, one file per command: arguments, progress, printing; no work is done here.

Wrong usage and bad input exit with status 2 and one line on stderr; only --debug shows a traceback.
"""

from zoo.cli._main import application, main, run

__all__ = [
    "application",
    "main",
    "run",
]
