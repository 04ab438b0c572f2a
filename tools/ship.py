"""Ship a model with the zoo: python tools/ship.py runs/NAME/model NAME

Copies the weights and the reference case of a folder that Model.save wrote to cards/, and pins the
weights on the card, whose prose stays; a model that has no card yet gets the folder's. The
reference cases of ensembles that it is in are predicted again.
"""

import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from zoo import load
from zoo.cards import README, WEIGHTS, BesideCard, read_card, sha256_of
from zoo.models import INPUT, PREDICTION

CARDS = Path(__file__).parent.parent / "cards"


def ship(folder: Path, name: str) -> None:
    card = CARDS / f"{name}.md"
    if not card.exists():
        shutil.copy(folder / README, card)
    pinned, count = re.subn(
        r"(?m)^(    sha256: )[0-9a-f]{64}$",
        rf"\g<1>{sha256_of(folder / WEIGHTS)}",
        card.read_text(),
    )
    if count != 1:
        sys.exit(f"{card}: wanted one line with the sha256 of the weights, got {count}")
    for file in (WEIGHTS, INPUT, PREDICTION):
        shutil.copy(folder / file, BesideCard(card).path_of(file))
    card.write_text(pinned)
    for each in map(read_card, CARDS.glob("*.md")):
        if each.ensemble and name in (each.name, *each.ensemble):
            with TemporaryDirectory() as saved:
                load(each.name, backend="torch", device="cpu").save(saved)
                answer = BesideCard(CARDS / f"{each.name}.md").path_of(PREDICTION)
                shutil.copy(Path(saved, PREDICTION), answer)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ship(Path(sys.argv[1]), sys.argv[2])
