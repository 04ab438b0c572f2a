"""A case made ready for the page: its facts, and the files that are sent, each under a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from zoo.pictures import VIEWS, facing_views, measures, save_preview, save_shapes
from zoo.viewer.cases import IMPLANT, INPUT, PREDICTION, Case
from zoo.viewer.shapes import Shape, Shown
from zoo.viewer.surfaces import MOST_TRIANGLES, mesh
from zoo.volumes import Volume, bounds, brightness, temporary_folder

FACTS, SCAN, SHAPES, PICTURE = "facts.json", "scan.nii.gz", "shapes.nii.gz", "picture.png"
COMPLETION = (INPUT, PREDICTION, IMPLANT)  # the shapes of one, in their order
COMPRESSION = 1  # masks shrink a hundredfold at any level; this one is the fastest


class Exhibit:
    """A case made ready for the page: files with names, each made when it is first asked for.

    Attributes:
        title: the name of the case.
    """

    def __init__(self, case: Case, *, full: bool = False) -> None:
        """Read a case.

        Args:
            case: the case.
            full: send every voxel and triangle, instead of what a laptop shows at once.

        Raises:
            ReadError, VolumeError: a file of it cannot be read.
        """
        self.title, self._report = case.name, case.report
        whole = Shown.of(case.read())
        self._sent = whole if full else whole.fit_for_a_laptop()
        self._whole, self._millilitres = str(whole), whole.millilitres()
        self._most = None if full else MOST_TRIANGLES
        self._made: dict[str, bytes] = {}

    @cached_property
    def _makers(self) -> dict[str, Callable[[], bytes]]:
        """What makes each file, by its name."""
        makers = {FACTS: self._facts, PICTURE: self._picture}
        if self._sent.scan is not None:
            makers[SCAN] = self._scan
        if self._sent.shapes:
            makers[SHAPES] = self._shapes
        for number, shape in enumerate(self._sent.shapes):
            makers[_surface_name(number)] = partial(self._surface, shape)
        return makers

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its files."""
        return tuple(self._makers)

    def content(self, name: str) -> bytes:
        """The file of that name, one of `names`."""
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def label_colours(self) -> dict[str, list[int]]:
        """The colours of the values in SHAPES, red, green, blue and alpha; of shapes, the last."""
        table = [[0, 0, 0, 0]]
        tint = 255 if self._sent.scan is None else 128
        for numbers in self._coded[1][1:]:
            shown = [each for each in map(self._sent.shapes.__getitem__, numbers) if each.shown]
            table.append([*shown[-1].colour.astype(int).tolist(), tint] if shown else [0] * 4)
        red, green, blue, alpha = map(list, zip(*table, strict=True))
        return {"R": red, "G": green, "B": blue, "A": alpha, "I": list(range(len(table)))}

    def surfaces(self) -> Iterator[tuple[str, list[int], bytes]]:
        """The name, colour and file of every surface that is shown at first, and that there is."""
        for number, shape in enumerate(self._sent.shapes):
            name = _surface_name(number)
            if shape.shown and (content := self.content(name)):
                yield name, shape.colour.astype(int).tolist(), content

    def _facts(self) -> bytes:
        sent, report = self._sent, self._report
        shapes = [
            {
                "name": shape.name,
                "colour": shape.colour.tolist(),
                "when": shape.when,
                "shown": shape.shown,
                "ml": round(millilitres, 2),
                "surface": _surface_name(number),
            }
            for number, (shape, millilitres) in enumerate(
                zip(sent.shapes, self._millilitres, strict=True)
            )
        ]
        facts = {
            "title": self.title,
            "shapes": shapes,
            "codes": self._coded[1],
            "volumes": [name for name in (SCAN, SHAPES) if name in self.names],
            **self._looking(),
            "sent": str(sent) if str(sent) == self._whole else f"{sent}, of {self._whole}",
            "model": report.get("model", ""),
            "warnings": [*report.get("warnings", []), *report.get("assessment", [])],
            "notes": report.get("notes", []),
            "sections": list(measures(report)) if "grid" in report else [],
        }
        return json.dumps(facts).encode()

    def _looking(self) -> dict[str, Any]:
        """The point to look at, RAS millimetres, and the direction from there to the viewer."""
        anything, implant = self._sent.anything(), self._sent.implant()
        subject = implant if implant.any() else anything
        if not subject.any():
            subject = np.ones(self._sent.grid, bool)
        middle = np.mean(bounds(subject), axis=0)
        focus = self._sent.affine[:3, :3] @ middle + self._sent.affine[:3, 3]
        oblique, _ = facing_views(anything, implant)
        return {"focus": focus.tolist(), "facing": VIEWS[oblique]}

    @cached_property
    def _coded(self) -> tuple[NDArray[np.integer], list[list[int]]]:
        return self._sent.coded()

    def _scan(self) -> bytes:
        assert self._sent.scan is not None
        return self._nifti((brightness(self._sent.scan) * 255).astype(np.uint8))

    def _shapes(self) -> bytes:
        return self._nifti(self._coded[0])

    def _nifti(self, array: NDArray[Any]) -> bytes:
        content = Volume(array, self._sent.affine).to_nibabel().to_bytes()
        return igzip.compress(content, COMPRESSION)

    def _surface(self, shape: Shape) -> bytes:
        made = mesh(shape.array, self._sent.affine, self._most)
        return igzip.compress(made, COMPRESSION) if made else b""

    def _picture(self) -> bytes:
        """What a browser shows that cannot draw the rest."""
        sent = self._sent
        shapes = [(each.name, each.array, each.colour) for each in sent.shapes if each.shown]
        completion = [each.array for each in sent.shapes if each.name in COMPLETION]
        with temporary_folder() as folder:
            path = folder / PICTURE
            if len(completion) == len(COMPLETION):
                before, after, implant = completion
                save_preview(path, before, after, implant, sent.spacing, self.title)
            else:
                scan = None if sent.scan is None else brightness(sent.scan)
                save_shapes(path, shapes, sent.spacing, self.title, scan)
            return path.read_bytes()


def _surface_name(number: int) -> str:
    return f"surface-{number}.mz3"
