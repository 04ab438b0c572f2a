"""Generated chest CTs: whole, labelled like SegTHOR, of a real chest's proportions."""

import numpy as np
import pytest
from scipy import ndimage

from zoo.cli import main
from zoo.datasets.phantoms.chests import (
    EXTENT,
    LABELS,
    NUMBER,
    TISSUES,
    intensities,
    labels_of,
    thorax_case,
    tissue_map,
)
from zoo.errors import VolumeError
from zoo.volumes.volume import Volume

RESOLUTION = 96
VOXEL = EXTENT / RESOLUTION  # mm
SEEDS = range(6)
MILLILITRES = {
    "oesophagus": (10, 60),
    "heart": (350, 1100),
    "trachea": (15, 80),
    "aorta": (60, 300),
}
VALUE = {label: value for value, label in enumerate(LABELS, 1)}


@pytest.fixture(scope="module", params=SEEDS)
def tissues(request):
    return tissue_map(request.param, RESOLUTION)


def middle(mask):
    """The centre of a mask in mm from the grid's first corner."""
    return (np.argwhere(mask).mean(axis=0) + 0.5) * VOXEL


def scan(tissues, seed=0):
    return intensities(tissues, VOXEL, np.random.default_rng(seed))


def test_a_case_depends_on_its_arguments_alone():
    one, same, other = thorax_case(5, 32), thorax_case(5, 32), thorax_case(6, 32)
    assert one.hu.dtype == np.int16 and one.labels.dtype == np.uint8
    assert one.hu.shape == one.labels.shape == (32, 32, 32)
    assert np.array_equal(one.hu, same.hu) and np.array_equal(one.labels, same.labels)
    assert not np.array_equal(one.labels, other.labels)


def test_labels_have_the_order_of_segthor():
    numbers = np.array([NUMBER[name] for name in ("lung", *LABELS, "artery")], np.uint8)
    assert labels_of(numbers).tolist() == [0, 1, 2, 3, 4, 0]


@pytest.mark.slow
def test_organs_have_plausible_volumes(tissues):
    labels = labels_of(tissues)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}
    for label, (least, most) in MILLILITRES.items():
        volume = np.count_nonzero(labels == VALUE[label]) * VOXEL**3 / 1000
        assert least < volume < most, label


def test_organs_hang_together(tissues):
    for label in ("heart", "trachea", "aorta"):
        parts, _ = ndimage.label(labels_of(tissues) == VALUE[label], np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        assert sizes.max() > 0.95 * sizes.sum(), label


def test_organs_lie_where_they_do_in_a_patient(tissues):
    labels = labels_of(tissues)
    heart, trachea = (middle(labels == VALUE[label]) for label in ("heart", "trachea"))
    assert heart[0] < middle(tissues > 0)[0]  # RAS: the left is at low indices
    assert trachea[2] > heart[2]
    level = round(heart[2] / VOXEL)
    slab = slice(level - 3, level + 4)  # an intervertebral disc is thinner
    oesophagus = middle(labels[:, :, slab] == VALUE["oesophagus"])
    assert oesophagus[1] < heart[1]
    i, j = (round(at / VOXEL) for at in oesophagus[:2])
    bone = np.isin(tissues, [NUMBER["spongy bone"], NUMBER["cortical bone"]])
    x, y, _ = middle(bone[i - 8 : i + 9, :j, slab])  # the spine
    x += (i - 8) * VOXEL
    descending = middle(labels[:, : j + 1, slab] == VALUE["aorta"])
    assert descending[0] < x and y < descending[1] < heart[1]


def test_intensities_are_those_of_the_tissues(tissues):
    for seed in range(3):
        hu, labels = scan(tissues, seed), labels_of(tissues)
        assert hu.dtype == np.float32
        assert np.median(hu[labels == VALUE["trachea"]]) < -850
        assert -30 < np.median(hu[tissues == NUMBER["oesophagus"]]) < 90  # thin: some is fat
        assert 30 < np.median(hu[labels == VALUE["heart"]]) < 270
        assert 30 < np.median(hu[labels == VALUE["aorta"]]) < 400
        assert np.median(hu[tissues == NUMBER["lung"]]) < -700
        assert np.median(hu[tissues == NUMBER["cortical bone"]]) > 150


def test_a_scan_is_drawn_anew_from_the_same_tissues():
    tissues = tissue_map(0, 32)
    assert np.array_equal(scan(tissues, 1), scan(tissues, 1))
    assert not np.array_equal(scan(tissues, 1), scan(tissues, 2))


def test_two_windows_hold_a_small_share_of_the_grid(tissues):
    hu = scan(tissues)
    inside = ~np.isin(tissues, [NUMBER["air"], NUMBER["table"]])
    airway = np.mean(inside & (hu >= -1100) & (hu <= -940))
    soft = np.mean((hu >= -30) & (hu <= 700))
    assert 0.0001 < airway < 0.02
    assert 0.08 < soft < 0.4


@pytest.mark.parametrize("seed", [0, 3])
def test_one_seed_is_one_body_at_every_resolution(seed):
    fine = labels_of(tissue_map(seed, 64))
    coarse = labels_of(tissue_map(seed, 32))
    for value in (VALUE["heart"], VALUE["aorta"]):
        big = (fine == value).reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5)) >= 0.5
        small = coarse == value
        both = np.count_nonzero(big & small)
        assert 2 * both / (np.count_nonzero(big) + np.count_nonzero(small)) > 0.75


def test_every_tissue_has_a_number_and_most_occur():
    assert len(TISSUES) < 256
    seen = set(np.unique(tissue_map(0, 64))) | set(np.unique(tissue_map(1, 64)))
    assert len(seen) > len(TISSUES) - 4


def test_a_resolution_too_small_is_refused():
    with pytest.raises(VolumeError, match="at least 8"):
        tissue_map(0, 4)


def test_the_command_writes_the_layout_of_segthor(tmp_path):
    words = ["--resolution", "32", "--seed", "4", "--count", "2"]
    main(["phantom", "thorax", "-o", f"{tmp_path}", *words])
    written = {f"{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*.nii.gz")}
    names = ("Patient_01", "Patient_02")
    assert written == {f"{n}/{file}.nii.gz" for n in names for file in (n, "GT")}
    case = thorax_case(5, 32)
    hu, labels = (
        Volume.of(tmp_path / "Patient_02" / f"{file}.nii.gz") for file in ("Patient_02", "GT")
    )
    assert hu.array.dtype == np.int16 and labels.array.dtype == np.uint8
    assert np.array_equal(hu.array, case.hu) and np.array_equal(labels.array, case.labels)
    assert np.allclose(
        hu.affine, [[12, 0, 0, -186], [0, 12, 0, -186], [0, 0, 12, -186], [0, 0, 0, 1]]
    )
