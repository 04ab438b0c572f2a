"""What commands say in passing, word by word."""

import pytest

from zoo import registries
from zoo.cli import main
from zoo.cli.predict import _in_words
from zoo.datasets import phantoms
from zoo.sparse.selection import BackendCheck


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("mm", "3 x 4 x 5, RAS, 1 x 1 x 2 mm"),
        ("unknown", "3 x 4 x 5, RAS, 1 x 1 x 2 mm (no unit in the header)"),
        ("meter", "3 x 4 x 5, RAS, 1 x 1 x 2 mm (metres in the header)"),
        ("micron", "3 x 4 x 5, RAS, 1 x 1 x 2 mm (micrometres in the header)"),
    ],
)
def test_a_header_that_does_not_give_millimetres_is_mentioned(unit, said):
    given = {"shape": [3, 4, 5], "orientation": "RAS", "spacing": [1.0, 1.0, 2.0], "unit": unit}
    assert _in_words(given | {"threshold": None}) == said


@pytest.mark.parametrize(("count", "said"), [(1, "1 skull phantom"), (2, "2 skull phantoms")])
def test_one_phantom_is_not_several(count, said, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(phantoms.KINDS, "skull", lambda *_: None)
    assert main(["phantom", "skull", "-o", f"{tmp_path}", "--count", f"{count}"]) == 0
    assert capfd.readouterr().out == f"{said} of 64^3 -> {tmp_path}\n"


def test_info_leaves_out_what_a_card_does_not_state_and_says_what_default_means(capfd):
    assert main(["info", "skull-completion-64"]) == 0
    rows = capfd.readouterr().out.partition("\n\n")[0].splitlines()
    assert "default       yes, the name without its tag loads it" in rows
    assert {"labels", "merged"}.isdisjoint(rows)
    assert main(["info", "thorax-segmentation-128"]) == 0
    rows = capfd.readouterr().out.partition("\n\n")[0].splitlines()
    assert "labels        oesophagus, heart, trachea, aorta" in rows
    assert not any(row.startswith("default") for row in rows)


def test_doctor_says_how_to_get_a_backend_of_a_plugin(monkeypatch, capfd):
    there = BackendCheck("torch", "zoo", True, "works")
    monkeypatch.setattr("zoo.sparse.check_backends", lambda: [there])
    monkeypatch.setitem(registries.PLUGINS, "backend", {"spconv": "zoo-spconv[cpu]", "torch": "x"})
    assert main(["doctor"]) == 0
    command = registries.installing("zoo-spconv[cpu]")
    lines = capfd.readouterr().out.splitlines()
    assert lines[3:4] == [f"backend spconv is not installed; {command} adds it"]
    assert not any("torch is not installed" in line for line in lines)
