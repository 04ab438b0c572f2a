"""Skulls in the shape of other skulls."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from training_runs import samples

from zoo.datasets.phantoms.files import write_case
from zoo.tasks import _registration as registration
from zoo.training import DatasetConfig
from zoo.volumes import Volume, bounds

SPACING = (1.6, 1.6, 1.6)
TARGET = (3.2, 3.2, 3.2)
COARSE = {"resolution": 32, "skulls": 3, "jitter": 0}


def shell(axes, edge=120):
    """A shell with half axes in mm, and the part of it in front."""
    places = (np.indices((edge,) * 3) - (edge - 1) / 2) * SPACING[0]
    radius = np.sqrt(sum((x / a) ** 2 for x, a in zip(places, axes, strict=True)))
    whole = (radius < 1) & (radius > 0.9)
    return [whole, whole & (places[1] > 0)]


def gap(one, other):
    """Mean distance in mm from what is occupied in one to the other."""
    return ndimage.distance_transform_edt(~other)[one].mean() * SPACING[0]


@cache
def registered(axes, template):
    """How a shell takes the shape of the template's, both given by their half axes."""
    frames = (registration.framed(shell(each)[0], SPACING) for each in (axes, template))
    return registration.register(*frames)


def between(one, other, template):
    return registration.between(registered(one, template), registered(other, template))


def placed(skull, like):
    """A skull on a grid of a shape, with its box in the middle of the other's."""
    grid = np.zeros_like(like)
    centres = [
        np.mean([np.argwhere(m).min(0), np.argwhere(m).max(0) + 1], 0) for m in (skull, like)
    ]
    moved = np.argwhere(skull) + np.rint(centres[1] - centres[0]).astype(int)
    grid[tuple(moved[((moved >= 0) & (moved < like.shape)).all(1)].T)] = True
    return grid


def test_a_skull_takes_the_shape_of_another_through_the_template():
    axes = (60, 75, 62), (72, 80, 68)
    own, other = map(shell, axes)
    way = between(*axes, (66, 85, 64))
    made, spacing = registration.moved(own, SPACING, way, TARGET)
    assert spacing == SPACING
    assert (made[1] <= made[0]).all()
    before, after = (gap(placed(skull, made[0]), made[0]) for skull in (own[0], other[0]))
    assert after < 1 < 2 < before
    share = np.count_nonzero(made[1]) / np.count_nonzero(made[0])
    assert share == pytest.approx(0.5, abs=0.03)  # what is in front stays there


def test_half_of_the_way_is_half_of_the_change():
    axes = (60, 75, 62)
    own, way = shell(axes), between(axes, (72, 87, 74), axes)
    widths = []
    for amount in (0, 0.5, 1):
        (made, _), _ = registration.moved(own, SPACING, way * np.float32(amount), TARGET)
        widths.append(np.ptp(np.flatnonzero(made.any((1, 2)))) * SPACING[0])
    assert widths[0] == pytest.approx(120, abs=4) and widths[2] == pytest.approx(144, abs=6)
    assert widths[1] == pytest.approx(132, abs=5)


def test_no_displacement_changes_nothing_but_where_the_grid_ends():
    shapes = shell((60, 75, 62))
    none = np.zeros((3, *registration.FRAME), np.float32)
    made, _ = registration.moved(shapes, SPACING, none, TARGET)
    boxes = [tuple(map(slice, *bounds(grids[0]))) for grids in (made, shapes)]
    for one, other in zip(made, shapes, strict=True):
        assert (one[boxes[0]] == other[boxes[1]]).all() and one.sum() == other.sum()


@pytest.mark.parametrize("axis", range(3))
def test_a_displacement_far_beyond_the_grid_keeps_the_whole_skull(axis):
    shapes = [part[20:-20, 20:-20, 20:-20] for part in shell((60, 75, 62))]
    far = np.zeros((3, *registration.FRAME), np.float32)
    far[axis] = 20  # voxels of the frame: 64 mm
    made, _ = registration.moved(shapes, SPACING, far, TARGET)
    assert [part.sum() for part in made] == [part.sum() for part in shapes]


@pytest.mark.parametrize("axis", range(3))
def test_a_skull_that_is_turned_is_as_large_and_stands_where_the_rotation_puts_it(axis):
    """A skull's long axis turns with it, and around the axis of the rotation itself it stays."""
    axes = np.roll((45, 60, 80), axis)
    skull = shell(axes)[0]
    none = np.zeros((3, *registration.FRAME), np.float32)
    degrees = np.roll((30, 0, 0), axis)
    (made,), _ = registration.moved([skull], SPACING, registration.turned(none, degrees), TARGET)
    assert made.sum() == pytest.approx(skull.sum(), rel=0.01)
    principal = np.linalg.eigh(np.cov(np.argwhere(made).T))[1]
    assert abs(principal[axis]) == pytest.approx([1, 0, 0], abs=0.02)
    one, two = np.roll(np.arange(3), -axis)[1:]  # the rotation takes the first to the second
    long = principal[:, 2] * np.sign(principal[two, 2])
    assert [long[one], long[two]] == pytest.approx([-0.5, 0.866], abs=0.03)


def test_a_displacement_is_made_before_the_rotation():
    shift = np.zeros((3, *registration.FRAME), np.float32)
    shift[1] = -5  # forwards, by five of the frame's voxels
    turned = registration.turned(shift, (0, 0, 90))
    middle = (np.array(registration.FRAME) - 1) / 2
    place = np.rint(middle).astype(int)
    x = place + turned[(slice(None), *place)]
    assert x == pytest.approx(middle - np.array([0, 5, 0]), abs=1)  # where the middle was
    x = place - [5, 0, 0] + turned[(slice(None), *(place - [5, 0, 0]))]
    assert x == pytest.approx(middle, abs=1)  # what was in front of it comes to its left


def test_voxels_are_four_times_as_fine_as_the_models():
    shapes = shell((60, 75, 62))
    none = np.zeros((3, *registration.FRAME), np.float32)
    (made, _), spacing = registration.moved(shapes, SPACING, none, (6.4, 12.8, 13.0))
    assert spacing == (1.6, 3.2, 3.2)
    volume = np.count_nonzero(made) * np.prod(spacing)
    assert volume == pytest.approx(np.count_nonzero(shapes[0]) * np.prod(SPACING), rel=0.02)


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (0.8, 0.8, 5.0)])
def test_the_frame_sees_bone_of_any_spacing_as_a_whole(spacing):
    block = np.ones([round(100 / length) for length in spacing], bool)
    near = registration.framed(np.pad(block, 2), spacing)
    i, j, k = (
        part[len(part) // 8 : -len(part) // 8] for part in map(np.unique, np.nonzero(near == 1))
    )
    assert len(i) * len(j) * len(k) > 10_000 and (near[np.ix_(i, j, k)] == 1).all()


def test_the_way_back_is_the_inverse_and_what_links_two_cases_is_both():
    """Of smooth displacements that differ from place to place."""
    places = np.indices(registration.FRAME, np.float32)
    waves = [3 * np.sin(places[axis] / 9 + axis) for axis in (1, 2, 0)]
    there = np.stack(waves).astype(np.float32)
    back = registration.inverted(there)
    inner = (slice(None), *(slice(8, -8),) * 3)
    assert abs(back + registration.beside(there, back))[inner].max() < 0.05
    assert abs(back + there)[inner].max() > 0.5  # which is not minus the way there
    own = np.concatenate([there[::-1], there[::-1]])
    linked = registration.between(own, np.concatenate([there, back]))
    x = np.array([30.0, 40.0, 41.0])  # of the template, where the other case is at y
    y = x + [field[30, 40, 41] for field in there]
    at_y = [float(ndimage.map_coordinates(field, y[:, None], order=1)[0]) for field in linked]
    assert y + at_y == pytest.approx(x + [field[30, 40, 41] for field in own[:3]], abs=0.05)


def test_a_case_registered_onto_itself_stays():
    axes = (60, 75, 62)
    assert abs(between(axes, axes, (66, 80, 64))).max() < 0.5


def test_variants_take_the_shapes_of_other_cases(tmp_path):
    for number in range(3):
        write_case(tmp_path / "data", number, seed=number, resolution=64)
        for path in (tmp_path / "data").rglob(f"*{number:03}*.nii.gz") if number != 1 else ():
            volume = Volume.of(path)
            wider = volume.affine @ np.diag([1.2, 1.2, 1.2, 1])
            Volume(np.asarray(volume.array), wider).save(path)
    options = {"folder": tmp_path / "data", "variants": 4, "stretch": 0}
    kept = {}
    for share in (0.0, 1.0):
        dataset = options | {"registered": share}
        task = samples(tmp_path, phantoms=COARSE, coverage=True, dataset=dataset).task
        case = task.cases.cases[1]
        kept[share] = [task.cases.prepared(case, number).grids for number in range(4)]
    assert (kept[0.0][0] == kept[1.0][0]).all()  # the first is the case itself
    alike, others = (
        [np.divide(grids.shape[1:], found[0].shape[1:]) for grids in found[1:]]
        for found in kept.values()
    )
    assert abs(np.subtract(alike, 1)).max() < 0.09  # a voxel more, where a variant is moved
    assert np.max(others) > 1.09 and np.min(others) > 0.9
    missing = []
    for complete, head, defective in kept[1.0]:
        assert (head <= complete).all() and (defective <= complete).all()
        missing.append((complete - defective).sum(dtype=float))
    assert np.divide(missing, missing[0]) == pytest.approx(1, rel=0.6)
    names = {path.name.split("-onto-")[1] for path in tmp_path.rglob("*-onto-*.npz")}
    assert len(names) == 1  # one template for all


def test_rotation_is_for_variants():
    with pytest.raises(ValueError, match="degrees: rotates variants, wanted variants above 1"):
        DatasetConfig(folder=".", degrees=10)
