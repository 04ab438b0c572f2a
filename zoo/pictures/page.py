"""The report page: one HTML file with pictures, numbers and warnings, which needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.cards import Card
from zoo.models import Prediction
from zoo.pictures._thickness import thickness_map
from zoo.pictures.preview import draw_prediction
from zoo.volumes import temporary_folder

RESEARCH = (
    "Research use only: this is not a medical device, and no implant should be made from it"
    " without the judgement of those who are responsible for the patient."
)
# Names of measures in words, and their units.
WORDS = {
    "volume_ml": "volume, ml",
    "area_cm2": "surface, cm²",
    "thickness_mm": "thickness, mm",
    "gap_mm": "gap between rim and bone, mm",
    "overlap_ml": "overlap with bone, ml",
    "roughness_mm": "roughness of the surface, mm",
    "mirror_mm": "distance from the mirrored other side, mm",
    "skull_ml": "skull, ml",
    "neck_removed_ml": "neck left out, ml",
    "others_removed_ml": "other things left out, ml",
    "voxels_in": "occupied voxels of the input",
    "voxels_out": "occupied voxels of the prediction",
    "threshold": "threshold of bone",
    "dice": "mean Dice with the implant",
    "volume_sd_ml": "standard deviation of its volume, ml",
    "runs": "predictions",
    "share": "share with a counterpart",
    "p95": "95 %",
    "mean_hu": "mean, HU",
}
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #282c34; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
.use { color: #7a3b12; } img { width: 100%; height: auto; }
figure { margin: 1rem 0; } img.map { width: 24rem; max-width: 100%; } figcaption { color: #5b6270; }
.warnings { background: #fff4e5; border-left: 4px solid #d9822b; padding: .5rem 1rem; }
.warnings ul { margin: .2rem 0; padding-left: 1.2rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr));
           gap: 0 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .2rem .4rem; border-bottom: 1px solid #e3e5e8;
         vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
th { color: #5b6270; width: 55%; }
@media print { body { font-size: 11pt; margin: 0; max-width: none; } h2 { break-after: avoid; }
               table, .warnings, img { break-inside: avoid; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="use">{{ research }}</p>
{% for line in notes %}<p>{{ line }}</p>{% endfor %}
{% if warnings %}<div class="warnings" role="note"><strong>To be checked</strong>
<ul>{% for line in warnings %}<li>{{ line }}</li>{% endfor %}</ul></div>{% endif %}
<img alt="Input, prediction and implant from several sides, and slices"
     src="data:image/png;base64,{{ picture }}">
{% if thickness %}<figure><img class="map" alt="The implant's thickness"
     src="data:image/png;base64,{{ thickness }}">
<figcaption>Thickness of the implant, seen along the axis that it is thinnest along</figcaption>
</figure>{% endif %}
<div class="columns">
{% for heading, rows in sections %}<section><h2>{{ heading }}</h2><table>
{% for name, value in rows %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table></section>
{% endfor %}</div>
</body>
</html>
"""

RANDOM = "none: random weights"


def write_page(path: Path, prediction: Prediction, title: str, card: Card) -> None:
    """Write a page about a prediction: self-contained HTML, without scripts.

    Args:
        path: the file to write.
        prediction: whose report may also hold the measures of its task.
        title: the heading.
        card: of the model, for the licence of its weights and its data.
    """
    from jinja2 import Environment

    with temporary_folder() as folder:
        picture = folder / "picture.png"
        draw_prediction(picture, prediction, title)
        encoded = base64.b64encode(picture.read_bytes()).decode()
    thickness = None
    if prediction.implant is not None and prediction.implant.array.any():
        implant = prediction.implant.canonical()
        thickness = thickness_map(np.asarray(implant.array, dtype=bool), implant.spacing)
    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE)
    page = template.render(
        title=title,
        research=RESEARCH,
        notes=prediction.report["notes"],
        warnings=[*prediction.report["warnings"], *prediction.report.get("assessment", [])],
        picture=encoded,
        thickness=thickness and _encoded(thickness),
        sections=list(_sections(prediction.report, card)),
    )
    path.write_text(page, encoding="utf-8")


def _encoded(picture: Image.Image) -> str:
    content = BytesIO()
    picture.save(content, format="PNG")
    return base64.b64encode(content.getvalue()).decode()


Section = tuple[str, list[tuple[str, str]]]  # a heading, and rows of names and values


def measures(report: Mapping[str, Any]) -> Iterator[Section]:
    """What a report says of the prediction itself, in words, as tables with headings."""
    headings = {
        "implant": "Implant",
        "uncertainty": "Uncertainty, by predictions on the input mirrored and moved",
        "bone": "Bone in the scan",
        "structures": "Structures",
    }
    for key, heading in headings.items():
        if report.get(key):
            yield heading, _rows(report[key])


def _sections(report: dict[str, Any], card: Card) -> Iterator[Section]:
    yield from measures(report)
    yield (
        "Prediction",
        [
            ("model", report["model"]),
            *_rows({name: report[name] for name in ("voxels_in", "voxels_out")}),
            ("input, mm", _spacing(report["grid"]["spacing_in"])),
            ("network's grid, mm", _spacing(report["grid"]["spacing"])),
            ("seconds", ", ".join(f"{k} {v:.1f}" for k, v in report["timings"].items())),
            ("peak memory, GB", f"{(report['peak_memory'] or 0) / 1e9:.2f}"),
            ("computed by", f"{report['backend']} on {report['device']}"),
        ],
    )
    yield (
        "Where it comes from",
        [
            ("licence of the weights", card.license or "not stated"),
            ("trained on", ", ".join(card.datasets) or card.tag or "not stated"),
            ("sha256 of the weights", report["sha256"]["weights"] or RANDOM),
            *(
                (f"{each['name']}, of the ensemble", each["sha256"] or RANDOM)
                for each in report.get("ensemble", ())
            ),
            ("sha256 of the input", report["sha256"]["input"]),
            *report["versions"].items(),
        ],
    )


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(WORDS.get(name, name), _value(value)) for name, value in facts.items()]


def _value(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{WORDS.get(name, name)} {_value(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _spacing(lengths: list[float]) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths)
