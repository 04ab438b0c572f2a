"""Times whole commands, from file to file, of one installation of the zoo or of several in turn.

    python benchmarks/commands.py SKULL [--data SKULLFIX] [--zoo NAME=PATH]... [-o RESULT.json]

SKULL is a defective skull of 512^3. With --data, a folder of SkullFix, what evaluation and the
preparation of training take is measured as well. --zoo compares other installations with this one:
`--zoo before=OLD/.venv/bin/zoo --zoo now=NEW/.venv/bin/zoo`; their commands take turns. Printed are
the medians of wall time, of processor time and of peak memory, over --repeat runs. A work that an
installation does not know is `-`.

Files are in the system's cache after the first run, as are the compiled kernels, except where the
row says otherwise. Nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

ZOO = [sys.executable, "-m", "zoo"]
# In a process of its own, as the memory of this one counts as a part of its children's.
NARROW = """
import sys, zoo
config = {"channels": [2, 2, 4, 4, 4, 4, 16]}
zoo.create("sparse-completion", config, backend="cpu").save(sys.argv[1])
"""
RECIPE = Path(__file__).parents[1] / "cards" / "skull-completion-128.skullfix.yaml"
FIRST_EVER = "the first prediction ever, skull-completion-64 on 64^3"
READY = "the cases of skull-completion-128's recipe, ready to train"
ONE_STEP = {"steps": 1, "validation_cases": 1, "statistics_batches": 1, "validate_every": 1}


class Cost(NamedTuple):
    """What one process and its children took.

    Attributes:
        seconds: wall time.
        processor_seconds: time of all its threads.
        peak_gb: the largest memory of any one process, in GB.
    """

    seconds: float
    processor_seconds: float
    peak_gb: float

    def beyond(self, other: Cost) -> Cost:
        """What this took more than another; its peak is its own."""
        return Cost(
            self.seconds - other.seconds,
            self.processor_seconds - other.processor_seconds,
            self.peak_gb,
        )


Work = Callable[["Installation", Path], Cost | None]


class Installation(NamedTuple):
    """The command `zoo` of one environment."""

    name: str
    command: Sequence[str]

    def run(self, *words: object, compiled: bool = True) -> Cost | None:
        """Run a command to its end; None if it fails."""
        with TemporaryDirectory() as cold:
            environment = dict(os.environ, HF_HUB_OFFLINE="1")
            if not compiled:
                environment["NUMBA_CACHE_DIR"] = cold
            started = time.perf_counter()
            process = subprocess.Popen(
                [*self.command, *map(str, words)],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            assert process.stderr is not None
            said = process.stderr.read().decode()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        if status:
            print(f"{self.name}: zoo {words[0]}: {said.strip()}", file=sys.stderr)
            return None
        return Cost(seconds, usage.ru_utime + usage.ru_stime, 1024e-9 * usage.ru_maxrss)


def works(skull: Path, small: Path, narrow: Path) -> dict[str, Work]:
    """What is timed, by its name."""

    def predicts(model: str, volume: Path = skull, *more: object, **settings: bool) -> Work:
        def work(zoo: Installation, folder: Path) -> Cost | None:
            out = ("-o", folder / "out.nii.gz", "--implant", folder / "implant.nii.gz")
            return zoo.run("predict", model, "-i", volume, *out, *more, **settings)

        return work

    def previews(zoo: Installation, folder: Path) -> Cost | None:
        return _difference(
            predicts("skull-completion-512", skull, "--preview", folder / "preview.png")(
                zoo, folder
            ),
            predicts("skull-completion-512")(zoo, folder),
        )

    return {
        "zoo list": lambda zoo, _: zoo.run("list"),
        "zoo predict skull-completion-512, implant too": predicts("skull-completion-512"),
        "the same, 2 to 16 channels, random weights": predicts(f"local-dir:{narrow}"),
        "zoo predict skull-completion-256": predicts("skull-completion-256"),
        "a preview at 512, beyond the prediction": previews,
        FIRST_EVER: predicts("skull-completion-64", small, compiled=False),
        "the next one": predicts("skull-completion-64", small),
    }


def works_on(data: Path) -> dict[str, Work]:
    """What is timed on a data set, by its name."""

    def evaluates(zoo: Installation, folder: Path) -> Cost | None:
        (name, *_) = (data / "validation.txt").read_text().split()
        (folder / "one.txt").write_text(name)
        model, split = "skull-completion-512", ("--data", data, "--split", folder / "one.txt")
        return zoo.run("evaluate", model, *split)

    def prepares(zoo: Installation, folder: Path) -> Cost | None:
        recipe = yaml.safe_load(RECIPE.read_text()) | ONE_STEP
        recipe["dataset"] |= {"folder": str(data)} | {
            key: str(data / recipe["dataset"][key]) for key in ("split", "validation_split")
        }
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))

        def once() -> Cost | None:
            run = folder / "run"
            shutil.rmtree(run, ignore_errors=True)
            return zoo.run("train", path, "-o", run, "--cache", folder / "cache")

        return _difference(once(), once())

    return {"zoo evaluate skull-completion-512, one case": evaluates, READY: prepares}


def _difference(one: Cost | None, other: Cost | None) -> Cost | None:
    return one.beyond(other) if one and other else None


def median(costs: Sequence[Cost | None]) -> Cost | None:
    """The median of each figure; None if any run failed."""
    there = [cost for cost in costs if cost]
    if len(there) < len(costs):
        return None
    return Cost(*(round(statistics.median(column), 2) for column in zip(*there, strict=True)))


def measure(
    installations: Sequence[Installation], named: dict[str, Work], repeat: int
) -> list[dict[str, Any]]:
    """Run every work on each installation in turn, after a run that compiles and is not counted."""
    rows = []
    for name, work in named.items():
        costs: dict[str, list[Cost | None]] = {each.name: [] for each in installations}
        once = name in (FIRST_EVER, READY)
        for number in range(1 if once else repeat + 1):
            for each in installations:
                with TemporaryDirectory() as folder:
                    cost = work(each, Path(folder))
                if once or number:
                    costs[each.name].append(cost)
        found = {each: median(values) for each, values in costs.items()}
        rows.append({"work": name} | {each: c and c._asdict() for each, c in found.items()})
        shown = ", ".join(
            f"{each} {c.seconds:.2f} s, {c.peak_gb:.2f} GB" if c else f"{each} -"
            for each, c in found.items()
        )
        print(f"{name}: {shown}", file=sys.stderr, flush=True)
    return rows


def table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    """The rows for the terminal: of each installation wall time, processor time and peak memory."""
    shown = Table()
    shown.add_column("work")
    for name in names:
        for figure in ("s", "CPU s", "GB"):
            shown.add_column(f"{name}\n{figure}", justify="right")
    for row in rows:
        cells = [
            f"{row[name][figure]:.2f}" if row[name] else "-"
            for name in names
            for figure in Cost._fields
        ]
        shown.add_row(row["work"], *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("skull", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--zoo", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    installations = [
        Installation(name, [path]) for name, path in (each.split("=", 1) for each in given.zoo)
    ] or [Installation("now", ZOO)]
    with TemporaryDirectory() as folder:
        narrow, small = Path(folder, "narrow"), Path(folder, "defective_skull", "000.nii.gz")
        subprocess.run([sys.executable, "-c", NARROW, str(narrow)], check=True)
        Installation("now", ZOO).run("phantom", "skull", "-o", folder, "--resolution", 64)
        named = works(given.skull, small, narrow) | (works_on(given.data) if given.data else {})
        rows = measure(installations, named, given.repeat)
    Console(width=160).print(table(rows, [each.name for each in installations]))
    if given.output:
        from zoo.benchmark import machine

        facts = {"machine": machine(), "repeat": given.repeat, "rows": rows}
        given.output.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
