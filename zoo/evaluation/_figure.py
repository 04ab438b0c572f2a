"""One figure of an evaluation: every case's scores as points, and their summary as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.evaluation.scores import Measures
from zoo.volumes import atomic_path

FIGURE = "scores.png"
COLUMNS = ("mean", "median", "worst")


def draw_scores(path: Path, facts: Mapping[str, Any], measures: Measures) -> None:
    """Draw the scores of an evaluation with matplotlib: a panel for each measure, the table below.

    Args:
        path: the picture.
        facts: the result's facts, with `model`, `cases` and `summary`.
        measures: what the columns mean; minor ones are left out.

    Raises:
        WriteError: the picture cannot be written.
    """
    from matplotlib.figure import Figure

    shown = {name: measure for name, measure in measures.items() if not measure.minor}
    figure = Figure(figsize=(2.3 * len(shown), 4.8), layout="constrained")
    grid = figure.add_gridspec(2, len(shown), height_ratios=(3, 1))
    for column, (name, measure) in enumerate(shown.items()):
        axis = figure.add_subplot(grid[0, column])
        values = sorted(case[name] for case in facts["cases"] if case[name] is not None)
        axis.plot(range(1, len(values) + 1), values, ".", color="tab:blue")
        if (mean := facts["summary"][name]["mean"]) is not None:
            axis.axhline(mean, color="tab:orange", linewidth=1)
        axis.set_title(measure.heading, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("cases, sorted", fontsize=7)
        axis.grid(alpha=0.3)
    axis = figure.add_subplot(grid[1, :])
    axis.set_axis_off()
    cells = [
        [measure.cell(facts["summary"][name][column]) for name, measure in shown.items()]
        for column in COLUMNS
    ]
    headings = [measure.heading for measure in shown.values()]
    table = axis.table(cells, rowLabels=COLUMNS, colLabels=headings, loc="center")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    figure.suptitle(f"{facts['model']}, {facts['scored']} cases (line: mean)", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
