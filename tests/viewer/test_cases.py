"""Which files make up a case, and which of them is what."""

import json
from itertools import permutations

import numpy as np
import pytest
from view_cases import skull, volume, write_case

import zoo
from zoo.cli import main
from zoo.errors import ReadError, VolumeError
from zoo.executors import Entry
from zoo.viewer.cases import cases_of, in_roles
from zoo.volumes import About


def test_files_of_a_completion_are_told_apart_in_any_order():
    complete, implant = skull()
    wanted = {
        "input": volume(complete & ~implant),
        "prediction": volume(complete),
        "implant": volume(implant),
    }
    for order in permutations(wanted.values()):
        assert in_roles(order) == wanted


def test_ground_truth_comes_after_the_prediction():
    complete, implant = skull()
    given = [volume(complete & ~implant), volume(complete), volume(complete)]
    assert in_roles(given) == dict(zip(("input", "prediction", "ground truth"), given, strict=True))


def test_scan_and_labels():
    scan = zoo.Volume(np.random.default_rng(0).normal(0, 400, (12, 12, 12)))
    labels = zoo.Volume(np.arange(12**3).reshape(12, 12, 12) % 5)
    assert in_roles([labels, scan]) == {"input": scan, "prediction": labels}


def test_labels_that_have_names_are_labels_however_many_there_are():
    scan = zoo.Volume(np.random.default_rng(0).normal(0, 400, (12, 12, 12)))
    array = np.arange(12**3, dtype=np.uint16).reshape(12, 12, 12) % 118
    names = tuple(f"structure {number}" for number in range(1, 118))
    labels = zoo.Volume(array, about=About(labels=names))
    assert in_roles([labels, scan]) == {"input": scan, "prediction": labels}


def test_the_coarser_shape_is_the_input_of_super_resolution():
    complete, _ = skull()
    coarse, fine = volume(complete[::2, ::2, ::2], 6), volume(complete)
    assert in_roles([fine, coarse]) == {"input": coarse, "prediction": fine}


def test_too_many_volumes_are_refused():
    with pytest.raises(VolumeError, match="got 4 of which 3 could be prediction or ground truth"):
        in_roles([volume(skull()[0]) for _ in range(4)])


def test_a_case_of_files_with_its_report(tmp_path):
    paths = write_case(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps({"model": "some-model"}))
    cases, start = cases_of([paths["implant"], tmp_path / "report.json", paths["complete"]])
    assert (len(cases), start) == (1, 0)
    assert cases[0].report == {"model": "some-model"}
    assert set(cases[0].read()) == {"prediction", "implant"}


def test_a_folder_of_volumes_is_a_case_each(tmp_path):
    write_case(tmp_path)
    cases, start = cases_of([tmp_path])
    assert [case.name for case in cases] == ["complete", "defective", "implant"]
    assert start == 0
    assert set(cases[2].read()) == {"prediction"}


def test_of_a_folder_a_page_is_saved_of_what_the_complaint_suggests(tmp_path, capsys):
    write_case(tmp_path)
    page = tmp_path / "page.html"
    assert main(["view", str(tmp_path), "--save", str(page)]) == 2
    complaint = capsys.readouterr().err
    suggested = complaint.rpartition("such as ")[2].strip()
    assert "got 3" in complaint and suggested == str(tmp_path / "complete.nii.gz")
    assert main(["view", suggested, "--save", str(page)]) == 0 and page.is_file()


@pytest.fixture
def predicted(tmp_path):
    """A folder with a journal of two cases."""
    paths = write_case(tmp_path)
    out = tmp_path / "out"
    (out / ".zoo").mkdir(parents=True)
    for name in ("a", "b"):
        (out / f"{name}.nii.gz").write_bytes(paths["complete"].read_bytes())
        entry = Entry(
            case=name,
            status="done",
            input=str(paths["defective"]),
            stamp=(0, 0),
            sha256={},
            model="some-model",
            options={},
            outputs={"volume": str(out / f"{name}.nii.gz"), "implant": str(tmp_path / "a.stl")},
            warnings=["look here"],
        )
        (out / ".zoo" / f"{name}.json").write_text(entry.model_dump_json())
    return out


@pytest.mark.parametrize(("path", "start"), [("", 0), ("b", 1), ("b.nii.gz", 1)])
def test_cases_of_a_journal(predicted, path, start):
    cases, found = cases_of([predicted / path])
    assert [case.name for case in cases] == ["a", "b"]
    assert found == start
    assert set(cases[1].read()) == {"input", "prediction"}  # a mesh is not read again
    assert cases[1].report["warnings"] == ["look here"]
    assert cases[1].path == predicted / "b"


def test_a_report_that_is_gone_hides_no_case(predicted):
    for path in (predicted / ".zoo").iterdir():
        entry = json.loads(path.read_text())
        entry["outputs"]["report"] = "../reports/gone.json"
        path.write_text(json.dumps(entry))
    cases, _ = cases_of([predicted])
    assert [case.report["model"] for case in cases] == ["some-model"] * 2


def test_a_broken_journal_is_said(predicted):
    (predicted / ".zoo" / "a.json").write_text("{")
    with pytest.raises(ReadError, match=r"a\.json: wanted an entry of a journal"):
        cases_of([predicted])


@pytest.mark.parametrize("name", ["missing.nii.gz", "missing/case"])
def test_a_path_that_is_not_there_is_said(tmp_path, name):
    with pytest.raises(ReadError, match="no such file, nor a case of a folder"):
        cases_of([tmp_path / name])


def test_a_report_alone_or_damaged_is_refused(tmp_path):
    report = tmp_path / "report.json"
    report.write_text("[1]")
    with pytest.raises(ReadError, match="wanted a volume to look at"):
        cases_of([report])
    with pytest.raises(ReadError, match="got other JSON"):
        cases_of([write_case(tmp_path)["complete"], report])
