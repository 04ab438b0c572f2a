"""The report page: self-contained, without scripts, and with what untrusted names hold escaped."""

import re
from dataclasses import replace

import numpy as np
import pytest

import zoo
from zoo.datasets.phantoms import skull_case
from zoo.pictures import write_page


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


def test_names_and_warnings_are_escaped(predicted, tmp_path):
    model, prediction = predicted
    evil = "<script>alert(1)</script>"
    hostile = replace(prediction, report=prediction.report | {"warnings": [evil]})
    page = tmp_path / "page.html"
    write_page(page, hostile, evil, model.card)
    assert "<script" not in page.read_text() and "&lt;script&gt;" in page.read_text()
