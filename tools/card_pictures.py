"""Draw a card's pictures: python tools/card_pictures.py NAME DATA FOLDER

DATA is the data set and FOLDER what `zoo evaluate NAME --data DATA -o FOLDER` wrote: the cases with
the best, the median and the worst implant Dice, or error ratio of a super-resolution, are predicted
again and drawn beside the card; a super-resolution's beside the ground truth.
"""

import csv
import sys
from pathlib import Path

from PIL import Image

from zoo import load
from zoo.datasets import find_cases
from zoo.pictures import draw_comparison, draw_prediction

CARDS = Path(__file__).parent.parent / "cards"


def draw(name: str, data: Path, folder: Path) -> None:
    model = load(name)
    refined = model.card.task == "super-resolution"
    key, heading = ("error_ratio", "error ratio") if refined else ("implant_dice", "implant Dice")
    with (folder / "cases.csv").open() as file:
        scores = {row["case"]: float(row[key]) for row in csv.DictReader(file)}
    ordered = sorted(scores, key=scores.__getitem__, reverse=refined)
    chosen = {"worst": ordered[0], "median": ordered[len(ordered) // 2], "best": ordered[-1]}
    cases = {case.name: case for case in find_cases(data, kind="shape")}
    settings = model.task.settings_class(model=name, weights=None)
    scoring = model.task.scoring(model.card, settings)
    for which, case in chosen.items():
        path = CARDS / f"{name}-{which}.png"
        title = f"{which} case, {case}: {heading} {scores[case]:.3f}"
        if refined:
            draw_comparison(path, *scoring.compared(model, cases[case]), title)
        else:
            draw_prediction(path, model.predict(cases[case].source), title)
        with Image.open(path) as image:  # 256 colours, a quarter of the size
            few = image.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)
        few.save(path, optimize=True)
        print(f"{path}: case {case}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
