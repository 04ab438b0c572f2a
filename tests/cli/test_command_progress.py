"""How a command goes on, in a terminal and in a log file."""

import io
from contextlib import suppress

import pytest
from rich.console import Console

from zoo.cli import _progress


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 60 columns instead of stderr."""
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    monkeypatch.setattr(_progress, "err", console)
    return console.file


def test_a_terminal_shows_how_many_are_done_and_nothing_in_the_end(terminal):
    assert list(_progress.counted("ab", "scoring", 2)) == ["a", "b"]
    shown = terminal.getvalue()
    assert "scoring 2 of 2" in shown and shown.endswith("\x1b[2K")  # the line is erased


def test_a_log_gets_a_line_in_ten_seconds(monkeypatch, capfd):
    seconds = iter([0, 1, 9, 11, 12, 20])
    monkeypatch.setattr(_progress, "perf_counter", lambda: next(seconds))
    assert list(_progress.counted("abc", "scoring", 3)) == ["a", "b", "c"]
    assert capfd.readouterr().err == "scoring 2 of 3\n"


def test_a_bar_is_gone_after_an_error(terminal):
    with suppress(KeyboardInterrupt), _progress.Bars() as bars:
        bars.part("step", 1, 4, ", loss 0.500")
        raise KeyboardInterrupt
    shown = terminal.getvalue()
    assert "step 1 of 4, loss 0.500" in shown
    assert shown.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is back
