"""Finding cases: every layout is recognised; what is missing, double or unknown is named."""

import pytest
from case_folders import MAKE, mug500, save, skullbreak, skullfix

from zoo.datasets.cases import Case
from zoo.datasets.layouts import DEFECTS, KINDS, LAYOUTS, find_cases, recognised
from zoo.errors import ReadError


@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognised(layout, suffix, tmp_path):
    names = MAKE[layout](tmp_path, suffix)
    cases = find_cases(tmp_path)
    assert [case.name for case in cases] == names
    assert cases == find_cases(tmp_path, layout)
    for case in cases:
        assert all(path.exists() for path in (case.source, case.target, case.implant) if path)


def test_files_of_a_case_belong_together(tmp_path):
    skullbreak(tmp_path, "nrrd")
    (case, *_) = find_cases(tmp_path)
    assert case.source == tmp_path / "defective_skull" / "bilateral" / "000.nrrd"
    assert case.target == tmp_path / "complete_skull" / "000.nrrd"
    assert case.implant == tmp_path / "implant" / "bilateral" / "000.nrrd"


def test_the_cleaned_one_of_two_complete_skulls_is_taken(tmp_path):
    mug500(tmp_path, "nrrd")
    left = tmp_path / ".zoo-host-1-left" / "A0001_clear.nrrd"  # by a process that was killed
    left.parent.mkdir()
    left.write_bytes((tmp_path / "A0001" / "A0001_clear.nrrd").read_bytes())
    case = find_cases(tmp_path)[0]
    assert case == Case("A0001", None, tmp_path / "A0001" / "A0001_clear.nrrd", None)


@pytest.mark.parametrize(
    ("layout", "missing"),
    [
        ("skullfix", "complete_skull/001.nrrd"),
        ("skullfix", "implant/001.nrrd"),
        ("skullbreak", "complete_skull/000.nrrd"),
        ("skullbreak", "implant/random_2/001.nrrd"),
        ("csv", "files/implant/000.nrrd"),
        ("segthor", "Patient_40/GT.nrrd"),
        ("nnunet", "imagesTr/b_0000.nrrd"),
        ("decathlon", "labelsTr/skull_010.nrrd"),
    ],
)
def test_a_missing_file_is_named(layout, missing, tmp_path):
    MAKE[layout](tmp_path, "nrrd")
    (tmp_path / missing).unlink()
    with pytest.raises(ReadError, match=f"{missing.removesuffix('nrrd')}.*: no such file"):
        find_cases(tmp_path)


def test_no_known_layout_lists_what_each_wants(tmp_path):
    with pytest.raises(ReadError, match="none of these") as caught:
        find_cases(tmp_path)
    assert all(f"({layout})" in str(caught.value) for layout in LAYOUTS)
    with pytest.raises(ReadError, match=r"absent: wanted a folder.*no such folder"):
        find_cases(tmp_path / "absent")
    with pytest.raises(ReadError, match=r"wanted a layout out of skullfix, .*got 'skulfix'"):
        find_cases(tmp_path, "skulfix")
    with pytest.raises(ReadError, match="complete_skull: wanted a folder"):
        find_cases(tmp_path, "skullfix")


@pytest.mark.parametrize("layout", ["mug500", "complete", "segthor"])
def test_a_layout_without_a_case_is_refused(layout, tmp_path):
    with pytest.raises(ReadError, match="no volume in this folder"):
        find_cases(tmp_path, layout)


@pytest.mark.parametrize(
    ("layout", "second"), [("skullfix", "defective_skull/001.nii"), ("mug500", "A0002/other.nii")]
)
def test_two_files_of_one_case_are_refused(layout, second, tmp_path):
    MAKE[layout](tmp_path, "nrrd")
    save(tmp_path / second)
    with pytest.raises(ReadError, match=r"wanted one volume for a case, got .* too"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "wanted the columns name,source,target"),
        ("name;source;target\n", "got 'name;source;target'; add name, source, target"),
        ("name,source,target\n1,,\n", "line 2: wanted a name and a target"),
        ("name,source,target\n1,,a.nii\n1,,a.nii\n", "line 3: wanted one line for each name"),
        ("name,source,target\n1,b.nii,a.nii\n", "b.nii: no such file; it is the source"),
    ],
)
def test_a_broken_table_is_refused(text, said, tmp_path):
    save(tmp_path / "a.nii")
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match=said):
        find_cases(path)


def test_a_split_keeps_the_cases_that_it_names(tmp_path):
    skullbreak(tmp_path, "nii.gz")
    split = tmp_path / "split.txt"
    split.write_text("# held out\n000  # all five\n\nrandom_1/001\n")
    names = [case.name for case in find_cases(tmp_path, split=split)]
    assert names == [f"{kind}/000" for kind in DEFECTS[:4]] + ["random_1/001", "random_2/000"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("000\n7\n", "got 7, which no case has"), ("#\n", "got none"), (None, "split")],
)
def test_a_wrong_split_is_refused(text, said, tmp_path):
    skullfix(tmp_path, "nii.gz")
    split = tmp_path / "split.txt"
    if text is not None:
        split.write_text(text)
    with pytest.raises(ReadError, match=said):
        find_cases(tmp_path, split=split)


def test_a_table_has_cases_of_any_kind(tmp_path):
    MAKE["csv"](tmp_path, "nii.gz")
    assert find_cases(tmp_path, kind="shape") == find_cases(tmp_path, kind="labels")


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "csv"])
def test_the_cases_of_a_layout_are_of_one_kind(layout, tmp_path):
    MAKE[layout](tmp_path, "nii.gz")
    (right,) = LAYOUTS[layout].kinds
    (wrong,) = set(KINDS) - {right}
    assert find_cases(tmp_path, kind=right) == find_cases(tmp_path)
    said = rf"cases that are {KINDS[wrong]}, .*csv.* got {layout}, .*are {KINDS[right]};"
    with pytest.raises(ReadError, match=said):
        find_cases(tmp_path, kind=wrong)


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="out of shape, labels, got 'completion'"):
        find_cases(tmp_path, kind="completion")


def test_pictures_make_no_layout(tmp_path):
    (tmp_path / "worst-1-A0001.png").touch()
    assert recognised(tmp_path) is None
    (tmp_path / "A0001").mkdir()
    assert recognised(tmp_path) == "mug500"
