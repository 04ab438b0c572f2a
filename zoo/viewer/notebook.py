"""What a notebook shows: a picture and facts, which survive export, and a view to turn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from PIL import Image

from zoo import registries
from zoo.cards import Card
from zoo.errors import MissingDependency, ZooError
from zoo.models import Model, Prediction
from zoo.pictures import measures
from zoo.viewer.cases import IMPLANT, INPUT, PREDICTION, Case
from zoo.viewer.exhibit import SCAN, SHAPES, Exhibit
from zoo.viewer.thumbnails import embedded, of_prediction, of_volume
from zoo.volumes import Volume

if TYPE_CHECKING:
    from ipyniivue import NiiVue

HEIGHT = 420  # pixels, of the view
WIDEST = 720  # pixels, of a card's picture
BLACK = (0.07, 0.08, 0.1, 1.0)
PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.-]+\.png)\)")  # beside the card
Rows = list[tuple[str, str]]
TEMPLATE = """<div style="max-width: 60rem">
<p style="margin: .3em 0"><strong>{{ title }}</strong></p>
{% if picture %}<img alt="{{ title }}" src="{{ picture }}" style="max-width: 100%">{% endif %}

{% for line in warnings %}<p style="margin: .3em 0">&#9888; {{ line }}</p>{% endfor %}

<table style="text-align: left">
{% for name, value in rows %}<tr><th style="text-align: left">{{ name }}</th>
<td style="text-align: left">{{ value }}</td></tr>
{% endfor %}</table>
</div>"""


def html_of(shown: Prediction | Model | Volume | Card) -> str:
    """A picture and a table of facts as HTML that needs nothing else; all text is escaped.

    Little is computed: of a volume of 512^3 a coarse surface and three slices are drawn.

        >>> import numpy as np
        >>> found = html_of(Volume(np.ones((4, 5, 6), np.uint8)))
        >>> found.count("data:image/png;base64,"), "<td style=\\"text-align: left\\">RAS" in found
        (1, True)
    """
    from jinja2 import Environment

    picture, rows, warnings = None, [], []
    if isinstance(shown, Volume):
        title, rows, picture = "Volume", _of_volume(shown), of_volume(shown)
    elif isinstance(shown, Prediction):
        title, rows, picture = _title(shown), list(_of_report(shown)), of_prediction(shown)
        warnings = [*shown.report.get("warnings", []), *shown.report.get("assessment", [])]
    else:
        card = shown if isinstance(shown, Card) else shown.card
        title, rows, picture = card.name, _of_card(card), _picture_of(card)
        if isinstance(shown, Model):
            rows += _of_model(shown)
    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE)
    return template.render(
        title=title, rows=rows, warnings=warnings, picture=picture and embedded(picture)
    )


def view_of(prediction: Prediction) -> NiiVue:
    """A prediction as a widget of ipyniivue: its surfaces, and three planes of what they lie in.

    Raises:
        MissingDependency: ipyniivue or fast-simplification is not installed.
    """
    for package in ("ipyniivue", "fast_simplification"):
        if find_spec(package) is None:
            raise MissingDependency(
                f"a view in a notebook needs {package}; install it:"
                " pip install 'sparse-volume-zoo[notebook]'"
            )
    from ipyniivue import Mesh, MultiplanarType, NiiVue, ShowRender, SliceType
    from ipyniivue import Volume as Shown

    exhibit = Exhibit(Case(_title(prediction), lambda: _roles(prediction), prediction.report))
    widget = NiiVue(
        height=HEIGHT,
        back_color=BLACK,
        slice_type=SliceType.MULTIPLANAR,
        multiplanar_layout=MultiplanarType.GRID,
        multiplanar_show_render=ShowRender.ALWAYS,
        is_nearest_interpolation=True,
        mesh_thickness_on_2d=0.0,  # planes show voxels, not all of a surface
        crosshair_width=0.3,
    )
    volumes = []
    for name in (SCAN, SHAPES):
        if name in exhibit.names:
            volumes.append(Shown(data=exhibit.content(name), name=name))
    if SHAPES in exhibit.names:
        volumes[-1].set_colormap_label(exhibit.label_colours())
    widget.load_volumes(volumes)
    widget.load_meshes(
        [
            Mesh(data=content, name=name, rgba255=[*colour, 255])
            for name, colour, content in exhibit.surfaces()
        ]
    )
    return widget


def _roles(prediction: Prediction) -> dict[str, Volume]:
    """The volumes of a prediction by their roles in a case."""
    if prediction.probabilities:
        return {
            INPUT: prediction.probabilities.resampled.source,
            PREDICTION: prediction.volume,
        }
    found = {INPUT: prediction.occupied, PREDICTION: prediction.volume}
    return found if prediction.implant is None else found | {IMPLANT: prediction.implant}


def _title(prediction: Prediction) -> str:
    source = prediction.volume.about and prediction.volume.about.source
    name = str(prediction.report.get("model", "Prediction"))
    return f"{source.name}, {name}" if source else name


def _of_volume(volume: Volume) -> Rows:
    extent = [n * mm for n, mm in zip(volume.shape, volume.spacing, strict=True)]
    rows = [
        ("voxels", " x ".join(map(str, volume.shape))),
        ("spacing, mm", " x ".join(f"{mm:.4g}" for mm in volume.spacing)),
        ("extent, mm", " x ".join(f"{mm:.4g}" for mm in extent)),
        ("orientation", volume.orientation),
        ("type", str(volume.array.dtype)),
    ]
    about = volume.about
    if about and about.labels:
        rows.append(("labels", ", ".join(f"{n} {name}" for n, name in enumerate(about.labels, 1))))
    if about and about.model:
        rows.append(("predicted by", about.model))
    return rows


def _of_report(prediction: Prediction) -> Iterator[tuple[str, str]]:
    report = prediction.report
    yield "prediction", repr(prediction.volume)
    for key, name in (
        ("voxels_in", "occupied voxels of the input"),
        ("voxels_out", "occupied voxels of the prediction"),
    ):
        if key in report:
            yield name, f"{report[key]:,}"
    if "timings" in report:
        yield "seconds", f"{sum(report['timings'].values()):.2f}"
    if "backend" in report:
        yield "computed by", f"{report['backend']} on {report['device']}"
    for heading, rows in measures(report):
        for name, value in rows:
            yield f"{heading.partition(',')[0].lower()}: {name}", value


def _of_card(card: Card) -> Rows:
    spacing = " x ".join(f"{mm:.4g}" for mm in card.input.spacing)
    rows = [
        ("task", card.task),
        ("architecture", card.architecture),
        ("trained on", ", ".join(card.datasets) or (card.tag or "not stated")),
        ("licence of the weights", card.license or "not stated"),
        ("grid, mm", spacing),
    ]
    if card.labels:
        rows.append(("labels", ", ".join(card.labels)))
    if card.status:
        rows.append(("status", card.status))
    if card.weights:
        rows.append(("sha256 of the weights", card.weights.sha256))
    return rows


def _of_model(model: Model) -> Rows:
    count = sum(parameter.numel() for parameter in model.network.parameters())
    return [
        ("parameters", f"{count:,}"),
        ("computed by", f"{model.backend.name} on {model.device}"),
    ]


def _picture_of(card: Card) -> Image.Image | None:
    """The first picture that a card shows and that lies beside it, made small."""
    try:
        path = registries.cards.path(card.name)
    except ZooError:
        return None
    found = PICTURE.search(card.text)
    beside = path.parent / found[1] if path and found else None
    if beside is None or not beside.is_file():
        return None
    with Image.open(beside) as picture:
        picture.thumbnail((WIDEST, WIDEST))
        return picture.convert("RGB")
