"""Compares what `zoo predict --plan` expects with what predictions then take.

    python benchmarks/peaks.py MODEL VOLUME... [--threshold T] [-o RESULT.json]

Every prediction is a process of its own, whose peak memory is in its report. Printed are, for each
volume, the expected and the real peak in GB, their ratio, and the ratio of the seconds; then the
smallest and the largest of these.
"""

import argparse
import csv
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ZOO = [sys.executable, "-m", "zoo"]


def planned(model: str, volumes: list[str], more: list[str]) -> list[dict[str, str]]:
    """The table of `--plan`, without its last line, the total."""
    with TemporaryDirectory() as folder:
        table = Path(folder, "plan.csv")
        words = ["predict", model, "-i", *volumes, "--plan", "-o", str(table), *more]
        subprocess.run([*ZOO, *words], check=True)
        return list(csv.DictReader(StringIO(table.read_text())))[:-1]


def measured(model: str, volume: str, more: list[str]) -> dict[str, Any]:
    """The report of a prediction."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = ["predict", model, "-i", volume, "-o", f"{folder}/out.nii.gz", *more]
        subprocess.run([*ZOO, *words, "--report", str(report)], check=True, capture_output=True)
        facts: dict[str, Any] = json.loads(report.read_text())
        return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("volumes", nargs="+")
    parser.add_argument("--threshold")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    more = ["--threshold", given.threshold] if given.threshold else []
    rows = []
    for volume in given.volumes:
        (plan,) = planned(given.model, [volume], more)
        facts = measured(given.model, volume, more)
        real, expected = facts["peak_memory"] / 1e9, float(plan["memory_gb"])
        row = {"case": plan["case"], "expected_gb": expected, "real_gb": round(real, 3)}
        row["memory_ratio"] = round(expected / real, 3)
        row["time_ratio"] = round(
            float(plan["seconds"]) / (facts["seconds"] - facts["seconds_compiling"]), 3
        )
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    for name in ("memory_ratio", "time_ratio"):
        ratios = [row[name] for row in rows]
        print(f"{name}: {min(ratios):.2f} to {max(ratios):.2f}")
    if given.output:
        given.output.write_text(json.dumps({"model": given.model, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
