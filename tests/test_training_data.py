"""Training pairs: phantoms, data sets, their cache, augmentation."""

import gc
import hashlib

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from training_runs import SMALL

from zoo.cards import shipped_cards
from zoo.data import datasets
from zoo.errors import ReadError
from zoo.phantom_files import write_case
from zoo.training import sources
from zoo.training.augmentation import augment, draw_matrix, roughened, transformed
from zoo.training.cache import GridCache, Grids
from zoo.training.config import AugmentationConfig, TrainingConfig, read_config
from zoo.training.data import Samples, batches
from zoo.volume import Volume


def samples(folder, **changes):
    return Samples(TrainingConfig(**(SMALL | changes)), folder / "cache")


def equal(one, other):
    return torch.equal(one.coordinates, other.coordinates)


def same(one, other):
    return all(equal(a, b) for a, b in zip(one, other, strict=True))


def points(shape):
    return set(map(tuple, shape.coordinates.tolist()))


# The published recipe's samples, which its card's scores rest on.
PUBLISHED = {
    0: ("a1d641de8638b20c", "1a418224626472b9"),
    1: ("ee5b839a89e97229", "8a3e6f5b7ed3f7ea"),
    47999: ("4dfd8700c30ab600", "2b15c0013becbe49"),
}


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_recipe_has_its_samples(tmp_path, number):
    pair = Samples(read_config(shipped_cards() / "skull-completion-64.yaml"), tmp_path)[number]
    coordinates = [part.coordinates.numpy().tobytes() for part in pair]
    digests = (hashlib.sha256(part).hexdigest()[:16] for part in coordinates)
    assert tuple(digests) == PUBLISHED[number]


def test_samples_depend_on_seed_and_number_alone(tmp_path):
    first, second = samples(tmp_path), samples(tmp_path)
    assert same(first[7], second[7])
    assert not equal(first[7][0], first[8][0])
    assert not equal(first[7][0], samples(tmp_path, seed=1)[7][0])


def test_a_sample_lacks_something_of_its_target(tmp_path):
    source, target = map(points, samples(tmp_path)[0])
    assert source < target


def test_worker_processes_make_the_same_batches(tmp_path):
    state = torch.get_rng_state()
    here, there = (list(batches(samples(tmp_path), range(1, 3), n)) for n in (0, 1))
    assert torch.equal(torch.get_rng_state(), state)  # or a resumed run would draw another way
    assert len(here) == 2
    for (a,), (b,) in zip(here, there, strict=True):
        assert same(a[0] + a[1], b[0] + b[1])


def test_processes_and_passes_share_a_batch(tmp_path):
    """Whoever makes them: the same samples in a step, each once."""
    ((whole,),) = batches(samples(tmp_path), range(1, 2), 0)
    split = samples(tmp_path, accumulate=2)
    parts = []
    for process in range(2):
        (passes,) = batches(split, range(1, 2), 0, process=process, processes=2)
        assert [len(s) for s, _ in passes] == [1, 1]
        parts += [s for inputs, _ in passes for s in inputs]
    assert same(parts, whole[0])


def test_an_error_in_a_worker_is_one_line(tmp_path, monkeypatch):
    def fail(self, number):
        raise ReadError("skull.nrrd: the file is empty")

    monkeypatch.setattr(Samples, "__getitem__", fail)
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # or it waits 5 s
    for workers in (0, 1):
        with pytest.raises(ReadError) as caught:
            list(batches(samples(tmp_path), range(1), workers))
        assert str(caught.value) == "skull.nrrd: the file is empty"
        del caught
        gc.collect()  # shuts the worker down


def test_a_skull_is_generated_once_for_all_workers(tmp_path, monkeypatch):
    made = []

    def skull(seed, resolution):
        made.append(seed)
        return complete_skull(seed, resolution)

    complete_skull = sources.complete_skull
    monkeypatch.setattr(sources, "complete_skull", skull)
    first = [samples(tmp_path)[n] for n in range(6)]
    again = [samples(tmp_path)[n] for n in range(6)]
    assert sorted(made) == sorted(set(made))
    assert all(map(same, first, again))


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


@pytest.fixture
def skulls(tmp_path):
    """Three cases of a data set, with voxels half the size of the model's."""
    for number in range(3):
        write_case(tmp_path / "data", number, seed=number, resolution=64)
    return tmp_path / "data"


COARSE = {"resolution": 32, "skulls": 3, "jitter": 0}


def test_dataset_is_brought_onto_the_models_grid(tmp_path, skulls):
    (tmp_path / "split.txt").write_text("001\n")
    (tmp_path / "held.txt").write_text("002\n")
    files = {"split": tmp_path / "split.txt", "validation_split": tmp_path / "held.txt"}
    data = samples(tmp_path, phantoms=COARSE, dataset={"folder": skulls, **files})
    case = datasets.load_pair(data.cases.cases[0])
    wanted = case.complete.array.reshape(32, 2, 32, 2, 32, 2).max((1, 3, 5))
    source, target = data[0]
    assert len(points(target)) == np.count_nonzero(wanted)
    assert points(source) < points(target)
    assert same(data[0], data[1])  # a case with its own defect, no jitter: always the same
    (held_out,) = data.validation()
    assert held_out.implant.any() and held_out.spacing == (6.4, 6.4, 6.4)
    assert len(points(target)) != np.count_nonzero(held_out.complete)


def test_complete_skulls_get_a_new_defect_every_time(tmp_path, skulls):
    data = samples(
        tmp_path,
        phantoms=COARSE,
        dataset={"folder": skulls / "complete_skull", "layout": "complete"},
    )
    data.cases.cases = data.cases.cases[:1]
    one, other = data[0], data[1]
    lacking = [points(target) - points(source) for source, target in (one, other)]
    assert all(lacking)
    assert equal(one[1], other[1]) and len(lacking[0]) != len(lacking[1])
    assert same(one, data[0])


def test_a_table_is_not_taken_for_a_head(tmp_path, skulls):
    path = skulls / "complete_skull" / "000.nii.gz"
    dataset = {"folder": skulls / "complete_skull", "layout": "complete"}
    found = []
    for table in (0, 40):
        volume = Volume.of(path)
        grid = np.array(volume.array)
        grid[1:3, 10 : 10 + table, 62:] = 1
        volume.with_array(grid).save(path)
        data = samples(tmp_path, phantoms=COARSE, dataset=dataset)
        data.cases.cases = data.cases.cases[:1]
        source, target = data[1]
        found.append((len(points(target)), len(points(target) - points(source))))
    (_, without), (_, beside) = found
    assert found[1][0] > found[0][0] and without == beside


def test_changed_file_is_read_again(tmp_path, skulls):
    folder = skulls / "complete_skull"
    data = samples(tmp_path, phantoms=COARSE, dataset={"folder": skulls})
    data.cases.cases = data.cases.cases[:1]
    before = data[0]
    for part in ("complete_skull", "defective_skull", "implant"):
        (skulls / part / "000.nii.gz").write_bytes((skulls / part / "001.nii.gz").read_bytes())
    assert folder.exists() and not same(before, data[0])


def test_share_mixes_dataset_and_phantoms(tmp_path, skulls):
    config = {"phantoms": COARSE, "dataset": {"folder": skulls, "share": 0.5}}
    data = samples(tmp_path, **config)
    kinds = [type(data._source(np.random.default_rng(n))).__name__ for n in range(200)]
    assert 70 < kinds.count("Cases") < 130
    phantom = samples(tmp_path, phantoms=COARSE)
    alike = [same(data[n], phantom[n]) for n in range(8)]
    assert any(alike) and not all(alike)


def shell(edge=40, thickness=2.0):
    x, y, z = np.indices((edge,) * 3) - (edge - 1) / 2
    radius = np.sqrt(x**2 + y**2 + z**2)
    return (radius < 15) & (radius >= 15 - thickness)


def closed(grid):
    """Whether no way leads through faces of empty voxels from the middle to the outside."""
    pieces, _ = label(np.pad(~grid, 1, constant_values=True))
    return pieces[tuple(np.array(pieces.shape) // 2)] != pieces[0, 0, 0]


@pytest.mark.parametrize("scale", [0.7, 0.9, 1.0, 1.1, 1.4])
@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_no_holes_whatever_the_scale_and_rotation(scale, degrees):
    config = AugmentationConfig(degrees=degrees, scale=(scale, scale))
    grid = shell(thickness=1.5)
    assert closed(grid)
    for seed in range(3):
        matrix = draw_matrix(config, np.random.default_rng(seed))
        moved = transformed(grid.astype(np.uint8), matrix) > 0
        assert closed(moved)
        assert np.ptp(np.argwhere(moved), axis=0) + 1 == pytest.approx(30 * scale, abs=2)
        if scale >= 1:
            assert moved.sum() == pytest.approx(scale**3 * grid.sum(), rel=0.06)


def test_rotation_agrees_with_mapping_back_every_voxel(corner):
    matrix = draw_matrix(AugmentationConfig(degrees=20), np.random.default_rng(4))
    assert np.linalg.inv(matrix) == pytest.approx(matrix.T)
    moved = transformed(corner.astype(np.uint8), matrix)
    low, high = np.argwhere(corner).min(0), np.argwhere(corner).max(0)
    wide = np.stack(np.indices((60,) * 3), -1).reshape(-1, 3) - 20
    middle = (low + high) / 2
    origin = np.rint((wide - middle) @ matrix + middle).astype(int)
    inside = ((origin >= 0) & (origin < 24)).all(1)
    wanted = corner[tuple(origin[inside].T)].sum()
    assert np.count_nonzero(moved) == wanted


def test_flip_swaps_left_and_right_exactly(corner):
    flipped, complete = augment(
        corner, corner, AugmentationConfig(flip=1), np.random.default_rng(0)
    )
    assert (np.argwhere(complete) == np.argwhere(flipped)).all()
    got, wanted = (np.argwhere(grid) for grid in (complete, corner[::-1]))
    assert (got - got.min(0) == wanted - wanted.min(0)).all()


def test_both_shapes_move_alike(corner):
    defective = corner.copy()
    defective[14:22, 14:22, 12:18] = False
    config = AugmentationConfig(degrees=10, scale=(0.9, 1.1))
    source, target = augment(defective, corner, config, np.random.default_rng(3))
    assert source.shape == target.shape
    assert not (source & ~target).any()
    lost = np.count_nonzero(target & ~source) / np.count_nonzero(target)
    assert lost == pytest.approx(1 - defective.sum() / corner.sum(), rel=0.1)


def test_noise_is_at_the_surface_of_the_input_alone(corner):
    source, target = augment(
        corner, corner, AugmentationConfig(noise=0.3), np.random.default_rng(0)
    )
    assert (target == np.pad(corner, 1)).all()
    inner = shell(thickness=9)
    rough = roughened(inner, 0.3, np.random.default_rng(0))
    changed = rough != inner
    x, y, z = np.indices(inner.shape) - 19.5
    radius = np.sqrt(x**2 + y**2 + z**2)[changed]
    assert (np.minimum(abs(radius - 15), abs(radius - 6)) < 1.5).all()
    assert (changed & inner).any() and (changed & ~inner).any()
    surface = np.count_nonzero(source != target)
    assert 0 < surface < np.count_nonzero(target)


def test_augmented_samples_are_reproducible_and_off_by_default(tmp_path):
    augmentation = {"flip": 0.5, "degrees": 10, "scale": (0.9, 1.1), "noise": 0.1}
    plain, first, second = (
        samples(tmp_path, **change)[5]
        for change in ({}, {"augmentation": augmentation}, {"augmentation": augmentation})
    )
    assert same(first, second)
    assert not equal(plain[0], first[0])
    assert AugmentationConfig() == TrainingConfig(architecture="x").augmentation
