"""How a command goes on: bars in a terminal, lines where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Self, TypeVar

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from zoo.cli._console import err, remark

PACE = 10.0  # seconds from one line to the next

T = TypeVar("T")


def counted(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Iterate over what takes a while to come, and show how many of `total` are there."""
    with Bars() if err.is_terminal else Lines() as shown:
        shown.part(what, 0, total)
        for done, item in enumerate(items, 1):
            shown.part(what, done, total)
            yield item


class Counts(ProgressColumn):
    """What goes on, and how much of it is done: `scoring 3 of 40`."""

    def render(self, task: Task) -> Text:
        count = f" {task.completed:.0f} of {task.total:.0f}" if task.total else ""
        return Text(f"{task.description}{count}{task.fields['said']}")


class Bars:
    """Bars, for a terminal: one for whatever goes on, gone when something else begins."""

    def __init__(self) -> None:
        columns = Counts(table_column=Column(no_wrap=True)), BarColumn(20), TimeRemainingColumn()
        self._shown = Progress(*columns, console=err, transient=True)
        self._what = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def part(self, what: str, done: int, total: int, said: str = "") -> None:
        """Say that so much of something is done; `total` is 0 where nobody knows."""
        if what != self._what:
            self._shown.start()
            for old in self._shown.task_ids:
                self._shown.remove_task(old)
            self._task = self._shown.add_task(what, total=total or None, said=said)
            self._what = what
        self._shown.update(self._task, completed=done, total=total or None, said=said)


class Lines:
    """Lines, for a log file: not more than one in ten seconds."""

    def __init__(self) -> None:
        self.last = perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def part(self, what: str, done: int, total: int) -> None:
        """Say that so much of something is done."""
        if perf_counter() - self.last >= PACE:
            self.line(f"{what} {done} of {total}")

    def line(self, line: str) -> None:
        """Print one line."""
        remark(line)
        self.last = perf_counter()
