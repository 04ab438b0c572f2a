"""Generated heads and their scans: the same again, and like vessels."""

import numpy as np
import pytest
from scipy import ndimage

from zoo.plugins import read_volume
from zoo_vessels.__main__ import write
from zoo_vessels.anatomy import NUMBER, VESSELS, head
from zoo_vessels.scans import WINDOW, _blobs, intensities, labels_of, measures, vessel_case

SEEDS = range(4)


@pytest.fixture(scope="module")
def heads():
    return [head(seed) for seed in SEEDS]


def test_one_seed_is_one_case():
    one, again, other = vessel_case(5, 48), vessel_case(5, 48), vessel_case(6, 48)
    assert (one.hu == again.hu).all() and (one.labels == again.labels).all()
    assert (one.hu != other.hu).any()


def test_vessels_are_few_and_hang_together(heads):
    for made in heads:
        vessels = labels_of(made.tissues) > 0
        assert 0.002 < vessels.mean() < 0.04
        pieces, count = ndimage.label(vessels, np.ones((3, 3, 3)))
        sizes = np.sort(np.bincount(pieces.ravel())[1:])
        assert count < 60  # about thirty trees, which may touch, or be cut by the grid's faces
        assert sizes[-10:].sum() > 0.8 * vessels.sum()


def test_centrelines_run_inside_vessels(heads):
    for made in heads:
        assert labels_of(made.tissues)[tuple(made.centrelines.T)].mean() > 0.98


def test_heads_of_even_seeds_have_bone_that_touches_vessels(heads):
    for seed, made in zip(SEEDS, heads, strict=True):
        bone = np.isin(made.tissues, (NUMBER["cortical bone"], NUMBER["spongy bone"]))
        touching = ndimage.binary_dilation(bone) & (labels_of(made.tissues) > 0)
        assert (bone.mean() > 0.03 and touching.any()) if seed % 2 == 0 else not bone.any()
        assert (made.tissues == NUMBER["film"]).any() == seed % 2


def test_a_scan_shows_its_vessels():
    case = vessel_case(1)
    inside = case.labels > 0
    assert case.hu.dtype == np.int16 and len(VESSELS) == 6
    assert np.median(case.hu[inside]) > 100 > np.median(case.hu[~inside])
    occupied = (case.hu >= WINDOW[0]) & (case.hu <= WINDOW[1])
    assert occupied.mean() < 0.25 and occupied[inside].mean() > 0.5


def test_in_training_bone_may_be_as_dark_as_vessels(heads):
    tissues = heads[0].tissues
    bone = tissues > VESSELS[-1]
    plain, harder = (
        [
            intensities(tissues, np.random.default_rng(seed), harder=more)[bone].mean()
            for seed in range(12)
        ]
        for more in (False, True)
    )
    shares = np.divide(harder, plain)
    assert min(shares) < 0.7 and np.median(shares) > 0.9


def test_blobs_are_a_few_voxels_wide():
    for seed in range(6):
        blobs = _blobs((40, 40, 40), np.random.default_rng(seed))
        assert blobs.dtype == np.float32 and blobs.min() >= 0
        spots, count = ndimage.label(blobs > 40)
        assert 0 < count < 150
        assert np.median(np.bincount(spots.ravel())[1:]) > 5


def test_measures_of_the_truth_and_of_nothing():
    case = vessel_case(2, 48)
    whole, nothing = measures(case.labels, case), measures(0 * case.labels, case)
    assert whole[0] == 1 and whole[1] > 0.95
    assert nothing == (0, 0)


def test_cases_are_written_as_the_zoo_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo_vessels.__main__.vessel_case", lambda seed: vessel_case(seed, 24))
    write(tmp_path, range(7, 9))
    scan, truth = (
        read_volume(tmp_path / "Patient_02" / f"{n}.nii.gz") for n in ("Patient_02", "GT")
    )
    assert (scan.array == vessel_case(8, 24).hu).all()
    assert (truth.array == vessel_case(8, 24).labels).all()
    assert np.allclose(scan.spacing, vessel_case(8, 24).spacing)
