"""Sources of training pairs: cases of data sets, phantoms, and the cache of both."""

import importlib
import zlib

import numpy as np
import pytest
import torch
from case_folders import segthor
from training_runs import equal, points, same, samples

from zoo.datasets import pairs as datasets
from zoo.datasets.phantoms.files import write_case
from zoo.errors import ConfigError, ReadError, VolumeError
from zoo.tasks import _skulls
from zoo.tasks._skulls import generator_digest
from zoo.training.cache import GridCache, Grids
from zoo.volumes.volume import Volume


def test_cache_keeps_grids_and_makes_damaged_ones_anew(tmp_path, corner):
    cache = GridCache(tmp_path)
    kept = Grids(np.stack([corner, ~corner])[:, :5, :6, :7], (1.0, 2.0, 3.5))
    for _ in range(2):
        got = cache.get("below/corner", lambda: kept)
        assert got.spacing == kept.spacing and (got.grids == kept.grids).all()
    cache.get("below/corner", lambda: pytest.fail("was kept"))
    file = tmp_path / "below" / "corner.npz"
    file.write_bytes(file.read_bytes()[:-40])
    assert (cache.get("below/corner", lambda: kept).grids == kept.grids).all()
    assert [path.name for path in file.parent.iterdir()] == ["corner.npz"]


COARSE = {"resolution": 32, "skulls": 3, "jitter": 0}


@pytest.fixture
def skulls(tmp_path):
    """Three cases of a data set, with voxels half the size of the model's."""
    for number in range(3):
        write_case(tmp_path / "data", number, seed=number, resolution=64)
    return tmp_path / "data"


def test_dataset_is_brought_onto_the_models_grid(tmp_path, skulls):
    (tmp_path / "split.txt").write_text("001\n")
    (tmp_path / "held.txt").write_text("002\n")
    files = {"split": tmp_path / "split.txt", "validation_split": tmp_path / "held.txt"}
    data = samples(tmp_path, phantoms=COARSE, dataset={"folder": skulls, **files})
    case = datasets.load_pair(data.task.cases.cases[0])
    wanted = case.complete.array.reshape(32, 2, 32, 2, 32, 2).max((1, 3, 5))
    source, target = data[0]
    assert len(points(target)) == np.count_nonzero(wanted)
    assert points(source) < points(target)
    assert same(data[0], data[1])  # a case with its own defect, no jitter: always the same
    (held_out,) = data.task.validation()
    assert held_out.implant.any() and held_out.spacing == (6.4, 6.4, 6.4)
    assert len(points(target)) != np.count_nonzero(held_out.complete)


def test_complete_skulls_get_a_new_defect_every_time(tmp_path, skulls):
    data = samples(
        tmp_path,
        phantoms=COARSE,
        dataset={"folder": skulls / "complete_skull", "layout": "complete"},
    )
    data.task.cases.cases = data.task.cases.cases[:1]
    one, other = data[0], data[1]
    lacking = [points(target) - points(source) for source, target in (one, other)]
    assert all(lacking)
    assert equal(one[1], other[1]) and len(lacking[0]) != len(lacking[1])
    assert same(one, data[0])


@pytest.mark.parametrize("thickness", [2, 6])
def test_a_table_is_not_taken_for_a_head(thickness, tmp_path, skulls):
    """However large it is: it is not connected to the skull."""
    path = skulls / "complete_skull" / "000.nii.gz"
    dataset = {"folder": skulls / "complete_skull", "layout": "complete"}
    found = []
    for table in (0, 40):
        volume = Volume.of(path)
        grid = np.array(volume.array)
        grid[1 : 1 + thickness, 10 : 10 + table, 30:] = 1
        volume.with_array(grid).save(path)
        data = samples(tmp_path, phantoms=COARSE, dataset=dataset)
        data.task.cases.cases = data.task.cases.cases[:1]
        source, target = data[1]
        found.append((len(points(target)), len(points(target) - points(source))))
    (_, without), (_, beside) = found
    assert found[1][0] > found[0][0] and without == beside


def test_changed_file_is_read_again(tmp_path, skulls):
    folder = skulls / "complete_skull"
    data = samples(tmp_path, phantoms=COARSE, dataset={"folder": skulls})
    data.task.cases.cases = data.task.cases.cases[:1]
    before = data[0]
    for part in ("complete_skull", "defective_skull", "implant"):
        (skulls / part / "000.nii.gz").write_bytes((skulls / part / "001.nii.gz").read_bytes())
    assert folder.exists() and not same(before, data[0])


def test_share_mixes_dataset_and_phantoms(tmp_path, skulls):
    config = {"phantoms": COARSE, "dataset": {"folder": skulls, "share": 0.5}}
    data = samples(tmp_path, **config)
    kinds = [type(data.task._source(np.random.default_rng(n))).__name__ for n in range(200)]
    assert 70 < kinds.count("Cases") < 130
    phantom = samples(tmp_path, phantoms=COARSE)
    alike = [same(data[n], phantom[n]) for n in range(8)]
    assert any(alike) and not all(alike)


@pytest.mark.parametrize("error", [zlib.error("invalid"), NotImplementedError("compression type")])
def test_whatever_fails_in_reading_the_cache_it_is_made_anew(tmp_path, monkeypatch, corner, error):
    def fail(*_, **__):
        raise error

    kept = Grids(corner[None], (1.0, 1.0, 1.0))
    GridCache(tmp_path).get("corner", lambda: kept)
    monkeypatch.setattr(np, "load", fail)
    assert GridCache(tmp_path).get("corner", lambda: kept) is kept


def table(folder, *rows):
    """A data set of a table; data in `folder` is as `skulls` makes it."""
    (folder / "cases.csv").write_text("\n".join(["name,source,target,implant", *rows]) + "\n")
    return folder


def part(name, number):
    return f"{name}/{number:03}.nii.gz"


def pair(name, number):
    return f"{name},{part('defective_skull', number)},{part('complete_skull', number)},"


def test_no_skull_of_the_validation_is_trained_on(tmp_path, skulls):
    """Not even with another defect, and by whatever path."""
    (skulls / "same.nii.gz").symlink_to(skulls / part("complete_skull", 0))
    table(skulls, pair("a", 0), "b,,same.nii.gz,", pair("c", 1))
    held = tmp_path / "held.txt"
    dataset = {"folder": skulls, "validation_split": held}
    held.write_text("a\n")
    data = samples(tmp_path, phantoms=COARSE, dataset=dataset)
    assert [case.name for case in data.task.cases.cases] == ["c"]
    held.write_text("a\nc\n")
    with pytest.raises(
        ConfigError, match=r"wanted some cases to be left .*held.txt.* all 3 of them"
    ):
        samples(tmp_path, phantoms=COARSE, dataset=dataset)


def test_a_skull_without_a_vault_is_passed_over(tmp_path, skulls):
    volume = Volume.of(skulls / part("complete_skull", 0))
    speck = np.zeros_like(volume.array)
    speck[20, 20, 20] = 1
    volume.with_array(speck).save(skulls / part("complete_skull", 0))
    dataset = {"folder": skulls / "complete_skull", "layout": "complete"}
    data = samples(tmp_path, phantoms=COARSE, dataset=dataset)
    speck, whole, _ = data.task.cases.cases
    data.task.cases.cases = [speck, whole]
    assert all(len(data[number][0].coordinates) > 1 for number in range(4))
    data.task.cases.cases = [speck]
    with pytest.raises(
        VolumeError, match="no defect could be cut into 8 cases in a row; the last was 000: "
    ):
        data[0]


def test_of_a_complete_skull_no_defect_is_cut_to_be_dropped(tmp_path, skulls, monkeypatch):
    monkeypatch.setattr(datasets, "cut_defect", lambda *_, **__: pytest.fail("was cut"))
    dataset = {"folder": skulls / "complete_skull", "layout": "complete"}
    assert samples(tmp_path, phantoms=COARSE, dataset=dataset)[0]


def test_an_implant_alone_is_the_defect(tmp_path, skulls):
    found = []
    for implant in (part("implant", 0), ""):
        source = "" if implant else part("defective_skull", 0)
        table(skulls, f"a,{source},{part('complete_skull', 0)},{implant}")
        found.append(samples(tmp_path, phantoms=COARSE, dataset={"folder": skulls})[0])
    assert same(*found)


def test_data_for_segmentation_is_refused(tmp_path):
    segthor(tmp_path, "nii.gz")
    with pytest.raises(ReadError, match=r"wanted cases that are a complete shape.* got segthor"):
        samples(tmp_path, phantoms=COARSE, dataset={"folder": tmp_path})


def test_a_file_that_vanished_is_named(tmp_path, skulls):
    data = samples(tmp_path, phantoms=COARSE, dataset={"folder": skulls})
    data.task.cases.cases = data.task.cases.cases[:1]
    assert data[0]
    (skulls / part("implant", 0)).unlink()
    with pytest.raises(ReadError, match=r"implant/000\.nii\.gz: cannot be read: No such file"):
        data[0]


def test_the_digest_of_a_package_covers_its_modules(tmp_path, monkeypatch):
    (tmp_path / "generator").mkdir()
    (tmp_path / "generator" / "__init__.py").touch()
    part = tmp_path / "generator" / "part.py"
    part.write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("generator")
    before = generator_digest(package)
    part.write_text("A = 2\n")
    assert generator_digest(package) != before


def drawn(data, count=30):
    """For each sample whether it has a defect, and whether that is the case's own."""
    case = datasets.load_pair(data.task.cases.cases[0])
    own = int(np.count_nonzero(case.implant.array))
    shapes = [data.task.cases.sample(np.random.default_rng(n)) for n in range(count)]
    sizes = [int(np.count_nonzero(shape.implant)) for shape in shapes]
    return [(size > 0, size == own) for size in sizes]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {(True, True)}),
        ({"defects": "cut"}, {(True, False)}),
        ({"defects": "both"}, {(True, True), (True, False)}),
        ({"defects": "both", "cut": 0.0}, {(True, True)}),
        ({"intact": 0.5}, {(True, True), (False, False)}),
    ],
)
def test_defects_are_those_of_the_data_set_new_ones_both_or_none(tmp_path, options, wanted):
    write_case(tmp_path / "data", 0, seed=0, resolution=32)
    data = samples(tmp_path, phantoms=COARSE, dataset={"folder": tmp_path / "data", **options})
    assert set(drawn(data)) == wanted


def test_cases_are_prepared_once_for_runs_at_all_resolutions(tmp_path, skulls, monkeypatch):
    read = []
    load = _skulls.load_pair
    monkeypatch.setattr(
        _skulls, "load_pair", lambda case, **how: read.append(case.name) or load(case, **how)
    )
    for resolution in (32, 16, 32):
        grid = COARSE | {"resolution": resolution}
        config = {"phantoms": grid, "coverage": True, "dataset": {"folder": skulls}}
        task = samples(tmp_path, **config).task
        for part in task.preparations():
            part()
    assert read == ["000", "001", "002"]
    kept = task.cases.prepared(task.cases.cases[0])
    assert kept.grids.dtype == np.uint8 and len(kept.grids) == 3  # complete, head, defective


COVERED = {"phantoms": COARSE, "coverage": True}


@pytest.mark.parametrize("coverage", [True, False])
def test_variants_of_a_case_are_stretched_and_moved(tmp_path, skulls, coverage):
    dataset = {"folder": skulls, "variants": 4, "stretch": 0.2}
    task = samples(tmp_path, phantoms=COARSE, coverage=coverage, dataset=dataset).task
    assert len(task.preparations()) == 3 * 4
    first, second = task.cases.cases[:2]
    kept = [task.cases.prepared(first, number).grids for number in range(4)]
    for complete, head, defective in kept:
        assert (head <= complete).all() and (defective <= complete).all()
    extents = np.array([grids.shape[1:] for grids in kept], float)
    shares = extents[1:] / extents[0]
    assert (abs(shares - 1) < 0.2 + 2 / extents[0]).all()
    assert len(np.unique(extents[:, 0])) > 1 and (np.ptp(shares, axis=1) > 0.02).any()
    if coverage:  # as much bone as the stretch says, to the last step of coverage
        sizes = np.array([grids[0].sum(dtype=float) for grids in kept])
        assert (abs(sizes[1:] / sizes[0] / np.prod(shares, axis=1) - 1) < 0.2).all()
    others = [task.cases.prepared(second, number).grids.shape[1:] for number in range(4)]
    assert not np.allclose(np.divide(others, others[0])[1:], shares, atol=0.01)  # of its own


def test_samples_are_drawn_from_all_variants(tmp_path, skulls):
    dataset = {"folder": skulls, "variants": 3}
    data = samples(tmp_path, **COVERED, dataset=dataset)
    asked = []
    prepared = data.task.cases.prepared
    data.task.cases.prepared = lambda case, number: asked.append(number) or prepared(case, number)
    for number in range(20):
        data[number]
    assert set(asked) == {0, 1, 2}


def test_one_variant_is_the_case_itself(tmp_path, skulls):
    """The same draws, and so the same samples, as a config that says nothing of variants."""
    alone, said = (
        samples(tmp_path, **COVERED, dataset={"folder": skulls} | more)
        for more in ({}, {"variants": 1})
    )
    for number in range(4):
        assert torch.equal(alone[number][0].values, said[number][0].values)


@pytest.mark.parametrize("source", ["cases", "phantoms"])
def test_samples_of_coverage_hold_the_defect_and_its_zone(tmp_path, skulls, source):
    dataset = {"folder": skulls, "defects": "cut"} if source == "cases" else None
    data = samples(
        tmp_path,
        **COVERED,
        config={"channels": [2, 2, 4, 4, 4, 4, 8], "focus": 2},
        dataset=dataset,
        augmentation={"flip": 0.5, "degrees": 10, "deformation": 2},
    )
    given, target = data[0]
    complete = target.complete
    assert given.grid.dtype == np.float32 and 0 < given.grid.max() <= 1
    assert ((given.grid > 0) & (given.grid < 1)).any()
    lacking = {tuple(at) for at in np.argwhere(complete.grid) + complete.low} - {
        tuple(at) for at in np.argwhere(given.grid) + given.low
    }
    blocks = {tuple(at) for at in target.zone.tolist()}
    assert lacking and {tuple(n // 4 * 4 for n in at) for at in lacking} <= blocks
    assert all(n % 4 == 0 for at in blocks for n in at)
    again = data[0]
    assert np.array_equal(again[0].grid, given.grid) and again[0].low == given.low


def test_coverage_may_be_rounded_as_of_a_coarse_volume(tmp_path):
    data = samples(tmp_path, **COVERED, augmentation={"binary": 1})
    for number in range(4):
        given, target = data[number]
        assert set(np.unique(given.grid)) == set(np.unique(target.complete.grid)) == {0, 1}
