"""The log of a run, a CSV file, and its curve, a PNG file."""

from __future__ import annotations

import csv
from pathlib import Path

from zoo.errors import ReadError, one_line
from zoo.volumes import atomic_path

PROGRESS = ("step", "loss", "learning_rate", "seconds")  # the columns before those of the scores


def append_log(path: Path, line: dict[str, float]) -> None:
    """Append a line to the log, dropping what an interrupted run wrote after its checkpoint.

    Args:
        path: the log, CSV.
        line: the columns of PROGRESS (the loss is the mean since the last line), then the scores of
            a validation.
    """
    rows = [row for row in read_log(path) if int(row["step"]) < line["step"]]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(line), extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows, line])


def read_log(path: Path) -> list[dict[str, str]]:
    """Read the lines of a log, each by column; empty if there is no log.

    Raises:
        ReadError: it is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
            for row in rows:
                int(row["step"])
    except (csv.Error, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ReadError(
            f"{path}: wanted a table with a number in the column step, got: {one_line(error)};"
            " move it away, and a new one is begun"
        ) from error
    return rows


def draw_curve(log: Path, picture: Path) -> None:
    """Plot the loss, and the score that decides, in [0, 1], against the step."""
    from matplotlib.figure import Figure

    rows = read_log(log)
    name = next(column for column in rows[0] if column not in PROGRESS)
    steps, losses, scores = (
        [float(row[column] or "nan") for row in rows] for column in ("step", "loss", name)
    )
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    left.plot(steps, losses, color="tab:blue", marker=".")
    left.set(xlabel="step", yscale="log")
    left.set_ylabel("loss", color="tab:blue")
    right = left.twinx()
    right.plot(steps, scores, color="tab:orange", marker=".")
    right.set_ylim(0, 1)
    right.set_ylabel(name.replace("_", " "), color="tab:orange")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=120)
