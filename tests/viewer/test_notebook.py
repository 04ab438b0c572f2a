"""What a notebook shows, and the tutorial notebook, which is run."""

import base64
import os
import re
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT
from PIL import Image
from view_cases import skull, volume

import zoo
from zoo.errors import MissingDependency
from zoo.models import Prediction, Probabilities
from zoo.viewer import html_of, notebook
from zoo.volumes import InputContract, resample_intensities
from zoo.volumes.volume import About

HOSTILE = "<script>alert('x')</script>"


def picture_of(html):
    """The picture in a piece of HTML, (rows, columns, 3)."""
    (encoded,) = re.findall(r'src="data:image/png;base64,([\w+/=]+)"', html)
    image = Image.open(BytesIO(base64.b64decode(encoded)))
    return np.asarray(image.convert("RGB")).astype(int)


def reds(picture):
    return int(np.count_nonzero(picture[..., 0] > picture[..., 2] + 30))


def completed(**report):
    complete, implant = skull()
    given = volume(complete & ~implant)
    return Prediction(volume(complete), volume(implant), given, {"model": "mine", **report})


def labelled():
    labels = np.zeros((16, 17, 18), np.uint8)
    labels[4:9, 4:9, 4:9], labels[9:14, 4:9, 4:9] = 1, 2
    scan = zoo.Volume(np.random.default_rng(0).normal(0, 400, labels.shape).astype("f4"))
    contract = InputContract.around(1.0, kind="intensity", windows=((0, 1),))
    none = np.zeros((0, 3))
    shares = Probabilities(resample_intensities(scan, contract), none, none, ("aorta", "heart"))
    known = zoo.Volume(labels, about=About(labels=("aorta", "heart")))
    return Prediction(known, None, known, {}, shares)


@pytest.mark.slow
def test_a_prediction_shows_its_implant_facts_and_warnings():
    html = completed(voxels_in=1234567, warnings=["look here"])._repr_html_()
    assert "1,234,567" in html and "look here" in html and "mine" in html
    assert reds(picture_of(html)) > 300
    assert len(html) < 100_000


def test_labels_are_shown_in_colours():
    picture = picture_of(labelled()._repr_html_())
    assert reds(picture) > 1_000  # the first label
    assert np.count_nonzero(picture[..., 2] > picture[..., 0] + 30) > 1_000  # the second


def test_a_volume_shows_its_grid():
    shown = volume(skull()[0])._repr_html_()
    assert "48 x 48 x 48" in shown and "RAS" in shown
    assert picture_of(shown).min() < 120
    scan = zoo.Volume(np.linspace(-1000, 1000, 6 * 7 * 8).reshape(6, 7, 8))
    assert picture_of(scan._repr_html_()).max() > 200
    assert picture_of(zoo.Volume(np.zeros((5, 5, 5), np.uint8))._repr_html_()).min() > 200


def test_a_card_and_a_model_show_their_facts():
    card = zoo.info("skull-completion-64.skullfix")
    html = card._repr_html_()
    assert "sparse-completion" in html and "cc-by-nc-sa-4.0" in html
    assert picture_of(html).shape[1] <= notebook.WIDEST
    model = zoo.create("sparse-completion", backend="torch", device="cpu")
    html = model._repr_html_()
    assert "torch on cpu" in html and "parameters" in html and "<img" not in html


def test_all_text_is_escaped():
    prediction = completed(warnings=[HOSTILE], model=HOSTILE, backend=HOSTILE, device="cpu")
    card = zoo.info("thorax-segmentation-128").model_copy(
        update={"name": HOSTILE, "labels": (HOSTILE,), "metadata": {"license": HOSTILE}}
    )
    named = replace(volume(skull()[0]), about=About(model=HOSTILE, labels=(HOSTILE,)))
    for shown in (prediction, card, named):
        assert "<script" not in html_of(shown) and "&lt;script&gt;" in html_of(shown)


@pytest.mark.slow
@pytest.mark.parametrize("made", [completed, labelled])
def test_a_view_has_surfaces_and_planes(made):
    pytest.importorskip("ipyniivue", reason="ipyniivue is not installed")
    pytest.importorskip("fast_simplification", reason="fast-simplification is not installed")
    prediction = made()
    widget = prediction.view()
    names = [each.name for each in widget.volumes]
    assert names == (["scan.nii.gz"] if prediction.probabilities else []) + ["shapes.nii.gz"]
    assert all(each.data[:2] == b"\x1f\x8b" for each in (*widget.volumes, *widget.meshes))
    assert [mesh.rgba255[:3] for mesh in widget.meshes][-1] == (
        [70, 130, 200] if prediction.probabilities else [222, 92, 64]
    )


def test_without_its_extra_a_view_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(notebook, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"needs ipyniivue.*sparse-volume-zoo\[notebook\]"):
        completed().view()


@pytest.mark.slow
def test_the_tutorial_runs_and_is_exported(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbconvert = pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    pytest.importorskip("ipyniivue", reason="ipyniivue is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    made = nbformat.read(ROOT / "docs/tutorials/complete-a-skull.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in made.cells)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(made, timeout=300, resources=resources).execute()
    page, _ = nbconvert.HTMLExporter().from_notebook_node(made)
    assert page.count('src="data:image/png;base64,') == 4  # card, skull, prediction, implant
    assert "skull-completion-64" in page
    assert (tmp_path / "demo/implant.nii.gz").is_file()
