"""The report page: self-contained, without scripts, and with what untrusted names hold escaped."""

import re
from dataclasses import replace

import numpy as np
import pytest

import zoo
from zoo.datasets.phantoms import skull_case
from zoo.pictures import write_page
from zoo.pictures._thickness import thickness_map


@pytest.fixture(scope="module")
def predicted():
    model = zoo.load("skull-completion-64.phantom", backend="cpu", device="cpu")
    found = skull_case(1_000_003, 64)
    volume = zoo.Volume(found.defective.astype(np.uint8), np.diag([3.2, 3.2, 3.2, 1.0]))
    prediction = model.predict(volume)
    facts, warnings = model.task.assess(prediction)
    prediction.report.update(facts)
    return model, replace(prediction, report=prediction.report | {"assessment": warnings})


def test_everything_is_in_the_page(predicted, tmp_path):
    model, prediction = predicted
    page = tmp_path / "page.html"
    write_page(page, prediction, "case.nii.gz", model.card)
    text = page.read_text()
    assert "Research use only" in text and "volume, ml" in text and "Apache" in text.title()
    assert prediction.report["sha256"]["weights"] in text
    assert 'src="data:image/png;base64,' in text
    assert not re.search(r"<script|https?://|src=\"(?!data:)", text)


def test_models_that_answer_together_are_all_named(predicted, tmp_path):
    model, prediction = predicted
    others = [{"name": "coarse", "sha256": "0123abcd"}, {"name": "made here", "sha256": None}]
    page = tmp_path / "page.html"
    joined = replace(prediction, report=prediction.report | {"ensemble": others})
    write_page(page, joined, "case.nii.gz", model.card)
    text = page.read_text()
    assert "coarse" in text and "0123abcd" in text
    assert "made here" in text and "none: random weights" in text


def test_names_and_warnings_are_escaped(predicted, tmp_path):
    model, prediction = predicted
    evil = "<script>alert(1)</script>"
    hostile = replace(prediction, report=prediction.report | {"warnings": [evil]})
    page = tmp_path / "page.html"
    write_page(page, hostile, evil, model.card)
    assert "<script" not in page.read_text() and "&lt;script&gt;" in page.read_text()


def test_a_thickness_map_is_dark_where_the_implant_is_thin():
    plate = np.zeros((40, 60, 20), bool)
    plate[5:35, 5:30, 8:10] = True
    plate[5:35, 30:55, 6:14] = True
    picture = np.asarray(thickness_map(plate, (1.0, 1.0, 1.0)).convert("RGB")).astype(int)
    front, back = picture[60:200, 120:220], picture[300:440, 120:220]  # anterior is above
    assert front[..., 2].mean() > 100 > back[..., 2].mean()  # blue is thick
    assert thickness_map(np.ones((3, 3, 1), bool), (1.0, 1.0, 1.0)) is not None
