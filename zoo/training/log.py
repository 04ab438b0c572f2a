"""The log of a run, CSV, and its curve, PNG."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from zoo.files import atomic_path
from zoo.training.scoring import Scores


@dataclass(frozen=True)
class Progress(Scores):
    """One line of the log: the mean loss since the last one, and the validation's scores."""

    step: int
    loss: float
    learning_rate: float
    seconds: float


SCORES = [field.name for field in fields(Scores)]
COLUMNS = ["step", "loss", "learning_rate", "seconds", *SCORES]


def append_log(path: Path, line: Progress) -> None:
    """Append to the CSV log, dropping what an interrupted run wrote after its checkpoint."""
    rows = [row for row in read_log(path) if int(row["step"]) < line.step]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows, asdict(line)])


def read_log(path: Path) -> list[dict[str, str]]:
    """The lines of a log by column; none if there is no log."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw_curve(log: Path, picture: Path) -> None:
    """Draw loss and implant Dice against the step."""
    from matplotlib.figure import Figure

    rows = read_log(log)
    steps, losses, scores = (
        [float(row[column] or "nan") for row in rows] for column in ("step", "loss", "implant_dice")
    )
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    left.plot(steps, losses, color="tab:blue", marker=".")
    left.set(xlabel="step", yscale="log")
    left.set_ylabel("loss", color="tab:blue")
    right = left.twinx()
    right.plot(steps, scores, color="tab:orange", marker=".")
    right.set_ylim(0, 1)
    right.set_ylabel("implant Dice", color="tab:orange")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=120)
