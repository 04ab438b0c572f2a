"""Write the scores of evaluations into a card: python tools/card_scores.py NAME KIND=FOLDER...

Each folder is what `zoo evaluate -o FOLDER` wrote. KIND is `official`, the defects of a data set,
`cut`, others cut into the same skulls, `none`, these skulls complete, `coarse`, these skulls made
coarse for super-resolution, or `phantom`, generated ones.
The part of the card between the two lines `<!-- scores -->` becomes the tables of all of them, and
`model-index` in its front matter holds the same means.
"""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from zoo.cards import result

CARDS = Path(__file__).parent.parent / "cards"
MARK = "<!-- scores -->"
DATA = {
    "official": ("SkullFix, the 20 validation cases, official defects", "SkullFix"),
    "cut": ("the same skulls, defects cut anywhere into the vault", "SkullFix, cut defects"),
    "none": ("the same skulls without any defect", "SkullFix, complete skulls"),
    "coarse": ("SkullFix, the 20 validation skulls, downsampled by 2", "SkullFix"),
    "phantom": ("generated skulls, seeds 1,000,000 and on", "phantoms"),
}
ROWS = {
    "implant_dice": ("implant Dice", 3),
    "border_dice": ("border Dice, 10 mm", 3),
    "hd95": ("implant HD95, mm", 2),
    "pooled_hd95": ("HD95 as the challenge pools it, mm", 2),
    "roughness": ("roughness of the implant, mm", 3),
    "true_roughness": ("roughness of the true implant, mm", 3),
    "dice": ("Dice", 3),
    "reconstruction_error": ("voxels wrong, %", 3),
    "nearest_error": ("voxels wrong, nearest, %", 3),
    "linear_error": ("voxels wrong, trilinear, %", 3),
    "error_ratio": ("ratio to the better of these", 3),
}
CASES = {  # kinds whose cases are listed, and the columns
    "official": ("implant_dice", "border_dice", "hd95", "implant_ml", "roughness"),
    "coarse": ("dice", "reconstruction_error", "error_ratio"),
}
COMPLETION = "skull shape completion", ("implant_dice", "border_dice", "hd95")
SUPER_RESOLUTION = "skull super-resolution", ("dice", "reconstruction_error", "error_ratio")


def tables(scored: dict[str, tuple[dict[str, Any], list[dict[str, str]]]]) -> str:
    """The tables of all evaluations, markdown."""
    parts = []
    for kind, (summary, cases) in scored.items():
        title = f"{DATA[kind][0][0].upper()}{DATA[kind][0][1:]} ({len(cases)} cases):"
        if kind == "none":
            added = summary["implant_ml"]
            line = f"{added['mean']:.2f} ml are added on average, {added['worst']:.2f} ml at worst."
            parts.append(f"{title} {line}")
            continue
        rows = ["| | mean | median | worst |", "|---|---|---|---|"]
        for name, (heading, digits) in ROWS.items():
            if name not in summary:
                continue
            found = summary[name]
            cells = (f"{found[column]:.{digits}f}" for column in ("mean", "median", "worst"))
            rows.append(f"| {heading} | {' | '.join(cells)} |")
        parts.append("\n".join([title, "", *rows]))
    for kind in (kind for kind in scored if kind in CASES):
        columns = CASES[kind]
        head = " | ".join(["case", *(name.replace("_", " ") for name in columns)])
        rows = [f"| {head} |", "|---" * (len(columns) + 1) + "|"]
        for case in scored[kind][1]:
            values = " | ".join(f"{float(case[name]):.3f}" for name in columns)
            rows.append(f"| {case['case']} | {values} |")
        title = "Case by case, official defects:" if kind == "official" else "Case by case:"
        parts.append("\n".join([title, "", *rows]))
    return "\n\n".join(parts)


def model_index(name: str, scored: dict[str, tuple[dict[str, Any], Any]]) -> str:
    """The same means, as the Hub reads them in front matter."""
    results = []
    for kind, (summary, _) in scored.items():
        task, names = SUPER_RESOLUTION if "error_ratio" in summary else COMPLETION
        chosen = ("implant_ml",) if kind == "none" else names
        means = {each: summary[each]["mean"] for each in chosen}
        results.append(result("image-to-image", task, DATA[kind][1], kind, means))
    return yaml.safe_dump({"model-index": [{"name": name, "results": results}]}, sort_keys=False)


def write(name: str, folders: dict[str, Path]) -> None:
    scored = {}
    for kind, folder in folders.items():
        summary = json.loads((folder / "summary.json").read_text())["summary"]
        with (folder / "cases.csv").open() as file:
            scored[kind] = summary, list(csv.DictReader(file))
    path = CARDS / f"{name}.md"
    before, _, after = path.read_text().split(MARK)
    front = re.sub(r"(?ms)^model-index:\n.*?(?=^\w)", "", before, count=1)
    front = front.replace("\nzoo:\n", f"\n{model_index(name, scored)}zoo:\n", 1)
    path.write_text(f"{front}{MARK}\n\n{tables(scored)}\n\n{MARK}{after}")


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[2:])
    if len(sys.argv) < 3 or not given.keys() <= DATA.keys():
        sys.exit(__doc__)
    write(sys.argv[1], {kind: Path(folder) for kind, folder in given.items()})
