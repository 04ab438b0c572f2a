"""Golden cases: what a model must answer on every backend."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from command_line import save_model

import zoo
from zoo import cli
from zoo.cli.verify import chosen
from zoo.models.reference_case import INPUT, PREDICTION, differing, reference_input
from zoo.models.verifying import verify
from zoo.registries import shipped_cards
from zoo.sparse import select_backend, torch_device
from zoo.tasks._reference_inputs import EDGE, SKULL_EDGE
from zoo.volumes.files import read_volume, write_volume

# On these, MinkowskiEngine takes four minutes; it computes the networks with one level less.
MODELS = [path.stem for path in sorted(shipped_cards().glob("*.md"))]
LONG, LONGER = "skull-completion-256.skullfix", "skull-completion-512.skullfix"


def test_a_golden_input_is_tiny_and_has_something_to_do():
    for name in MODELS:
        card = zoo.info(name)
        volume = reference_input(card)
        if card.input.kind == "coverage" and card.task == "completion":
            assert volume.shape == (SKULL_EDGE,) * 3
            assert volume.spacing == pytest.approx((3.2,) * 3)
            continue
        assert volume.shape == (EDGE,) * 3
        finer = 2 if card.task == "super-resolution" else 1
        assert np.allclose(volume.spacing, finer * np.array(card.input.spacing))


@pytest.mark.slow
def test_an_ensemble_that_is_saved_has_a_reference_case_of_its_own(tmp_path):
    """That of the same weights in another ensemble, or in none, does not fit."""
    model = zoo.load("skull-completion-128.skullfix", backend="cpu", device="cpu")
    model.card = model.card.model_copy(
        update={"ensemble": ("skull-completion-64.skullfix", "skull-completion-256.skullfix")}
    )
    model.save(tmp_path / "saved")
    (verdict,) = verify(f"local-dir:{tmp_path / 'saved'}", ["cpu"])
    assert verdict.detail == "agrees"
    given = zoo.Volume.of(tmp_path / "saved" / PREDICTION).array
    shipped = zoo.Volume.of(shipped_cards() / f"skull-completion-128.skullfix.{PREDICTION}").array
    assert (given != shipped).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_zoo_answers_as_it_should(name):
    (verdict,) = verify(name, ["cpu"])
    assert verdict.works and verdict.agrees and verdict.voxels > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name == LONG else ())
        for name in MODELS
        if name != LONGER  # it would take minutes
    ],
)
def test_every_model_answers_alike_on_minkowski_engine(name):
    """Which shares no code with the zoo's own engine."""
    if not find_spec("MinkowskiEngine"):  # whose import the backend has to help with
        pytest.skip("MinkowskiEngine is not installed")
    (verdict,) = verify(name, ["minkowski"])
    assert verdict.works and verdict.agrees and verdict.voxels > 100


@pytest.mark.parametrize("name", MODELS)
def test_the_golden_answer_is_more_than_the_input(name):
    paths = [shipped_cards() / f"{name}.{file}" for file in (INPUT, PREDICTION)]
    given, answer = map(read_volume, paths)
    assert sum(path.stat().st_size for path in paths) < 40_000
    if zoo.info(name).labels:
        assert len(np.unique(answer.array)) > 3
    else:
        assert np.count_nonzero(answer.array) > 1.01 * np.count_nonzero(given.array)


def test_another_answer_is_found_out(tmp_path, capsys):
    name = save_model(tmp_path / "made")
    words = ["verify", name, "--backends", "torch,cpu"]
    assert cli.main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["backend"] for row in rows] == ["torch", "cpu"]
    assert all(row["agrees"] and not row["differing"] for row in rows)
    path = tmp_path / "made" / PREDICTION
    answer = read_volume(path)
    changed = answer.array.copy()
    changed[:4] ^= 1
    write_volume(answer.with_array(changed), path)
    assert cli.main(words) == 2
    streams = capsys.readouterr()
    assert f"{4 * EDGE**2:,} of" in streams.err and "2 checks failed" in streams.err
    assert f"{4 * EDGE**2:,} of" in streams.out


def test_one_backend_unless_more_are_asked_for():
    assert chosen("") == (select_backend("auto", torch_device("auto")).name,)
    assert chosen("torch,cpu") == ("torch", "cpu")
    assert chosen("all") is None


@pytest.mark.slow
def test_workers_verify_as_one_process_does(tmp_path, capsys):
    name = save_model(tmp_path / "made")
    words = ["verify", name, "--json", "--backends", "torch"]
    assert cli.main(words) == cli.main([*words, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]
    (tmp_path / "made" / INPUT).unlink()
    assert cli.main([*words, "--workers", "1"]) == 2
    assert "has no reference case" in capsys.readouterr().err


def test_what_does_not_work_here_is_no_disagreement(tmp_path, capsys, monkeypatch):
    from zoo.sparse.backends.reference import TorchBackend

    def refuse(*_):
        raise zoo.errors.BackendError("not on this machine")

    name = save_model(tmp_path / "made")
    monkeypatch.setattr(TorchBackend, "index_from_grids", refuse, raising=False)
    monkeypatch.setattr(TorchBackend, "index", refuse)
    assert cli.main(["verify", name, "--backends", "torch"]) == 0
    assert "not on this machine" in capsys.readouterr().out


def test_a_backend_that_crashes_fails(tmp_path, capsys, monkeypatch):
    from zoo.sparse.backends.reference import TorchBackend

    def crash(*_):
        raise RuntimeError("out of bounds")

    name = save_model(tmp_path / "made")
    monkeypatch.setattr(TorchBackend, "index_from_grids", crash, raising=False)
    monkeypatch.setattr(TorchBackend, "index", crash)
    assert cli.main(["verify", name, "--backends", "torch"]) == 2
    streams = capsys.readouterr()
    assert "RuntimeError: out of bounds, from" in streams.out
    assert "1 checks failed" in streams.err


def test_a_backend_that_there_is_not_is_an_error(tmp_path, capsys):
    name = save_model(tmp_path / "made")
    assert cli.main(["verify", name, "--backends", "torhc"]) == 2
    assert "unknown backend 'torhc'; the nearest are: torch" in capsys.readouterr().err


def test_a_model_without_a_golden_case_says_so(tmp_path, capsys):
    name = save_model(tmp_path / "made")
    (tmp_path / "made" / INPUT).unlink()
    assert cli.main(["verify", name]) == 2
    assert "has no reference case" in capsys.readouterr().err


def test_volumes_of_other_shapes_differ_everywhere():
    one = zoo.Volume(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    other = zoo.Volume(np.zeros((2, 2, 3), np.uint8), np.eye(4))
    assert differing(one, one) == 0 and differing(one, other) == 12
