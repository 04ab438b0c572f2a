"""Runs the command line in the process of a test."""

from __future__ import annotations

from zoo.cli import main


def command(*words: object) -> int:
    """Run `zoo WORDS...` in this process.

        >>> from zoo.testing import command
        >>> command("list", "--task", "super-resolution", "*superres-64*")
        1

    Args:
        words: the words after `zoo`; anything but text is converted by `str`.

    Returns:
        The exit status.
    """
    return main([*map(str, words)])
