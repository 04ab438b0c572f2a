"""Draw a card's pictures: python tools/card_pictures.py NAME DATA FOLDER

DATA is the data set and FOLDER what `zoo evaluate NAME --data DATA -o FOLDER` wrote: the case with
the best, the median and the worst first measure are predicted again and drawn beside the card.
"""

import csv
import sys
from pathlib import Path

from zoo import load
from zoo.datasets import find_cases
from zoo.pictures import draw_prediction

CARDS = Path(__file__).parent.parent / "cards"


def draw(name: str, data: Path, folder: Path) -> None:
    with (folder / "cases.csv").open() as file:
        scores = {row["case"]: float(row["implant_dice"]) for row in csv.DictReader(file)}
    ordered = sorted(scores, key=scores.__getitem__)
    chosen = {"worst": ordered[0], "median": ordered[len(ordered) // 2], "best": ordered[-1]}
    cases = {case.name: case for case in find_cases(data, kind="shape")}
    model = load(name)
    for which, case in chosen.items():
        prediction = model.predict(cases[case].source)
        title = f"{which} case, {case}: implant Dice {scores[case]:.3f}"
        draw_prediction(CARDS / f"{name}-{which}.png", prediction, title)
        print(f"cards/{name}-{which}.png: case {case}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
