"""Loading cases: pairs are what the files hold; defects are cut in where there are none."""

import os
from pathlib import Path

import numpy as np
import pytest
from case_folders import MAKE, PARTS, PIECE, SPACING, WHOLE, save, skullfix

from zoo.datasets.cases import Case
from zoo.datasets.layouts import find_cases
from zoo.datasets.pairs import load_complete, load_pair
from zoo.datasets.phantoms.files import write_case
from zoo.datasets.phantoms.skulls import FIELD_OF_VIEW, complete_skull
from zoo.errors import VolumeError
from zoo.volumes.volume import Volume

SAMPLES = os.environ.get("ZOO_SAMPLE_VOLUMES", Path(__file__).parents[3] / "shared" / "data")
CT = Path(SAMPLES, "CT_pitch.nii.gz")  # a head phantom of 0.8 x 0.8 x 2.4 mm, its crown ragged


@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz"])
@pytest.mark.parametrize("layout", ["skullfix", "skullbreak"])
def test_pairs_are_what_the_files_hold(layout, suffix, tmp_path):
    MAKE[layout](tmp_path, suffix)
    pair = load_pair(find_cases(tmp_path)[-1])
    for volume, array in zip(
        (pair.complete, pair.defective, pair.implant), PARTS.values(), strict=True
    ):
        assert np.array_equal(volume.array, array)
        assert volume.array.dtype == np.uint8
        assert np.allclose(volume.affine, SPACING)


def test_phantoms_are_in_the_layout_of_skullfix(tmp_path):
    write_case(tmp_path, 7, seed=3, resolution=16)
    (case,) = find_cases(tmp_path, "skullfix")
    pair = load_pair(case)
    assert case.name == "007"
    assert np.array_equal(pair.complete.array, pair.defective.array + pair.implant.array)


def test_without_implants_they_are_what_the_source_lacks(tmp_path):
    skullfix(tmp_path, "nii.gz")
    for path in (tmp_path / "implant").iterdir():
        path.unlink()
    (tmp_path / "implant").rmdir()
    (case, _) = find_cases(tmp_path)
    assert case.implant is None
    assert np.array_equal(load_pair(case).implant.array, PIECE)


def test_without_a_source_it_is_what_the_implant_leaves(tmp_path):
    skull, implant = save(tmp_path / "skull.nii"), tmp_path / "implant.nii"
    case = Case("a", None, skull, implant)
    save(implant, PIECE)
    for volume, array in zip(
        vars(load_pair(case)).values(), (WHOLE - PIECE, WHOLE, PIECE), strict=True
    ):
        assert np.array_equal(volume.array, array)
    save(implant, np.roll(PIECE, 1, 0))
    assert load_pair(case).defective.array.sum() == (WHOLE & ~np.roll(PIECE, 1, 0)).sum()


@pytest.mark.parametrize(
    ("implant", "said"),
    [
        (WHOLE, r"implant\.nii: wanted an implant for a part of .*skull\.nii"),
        (1 - WHOLE, r"skull\.nii: wanted this skull to be what is left of it plus .*implant\.nii"),
    ],
)
def test_an_implant_alone_must_fit_its_skull(implant, said, tmp_path):
    path = save(tmp_path / "implant.nii", implant)
    with pytest.raises(VolumeError, match=said):
        load_pair(Case("a", None, save(tmp_path / "skull.nii"), path))


def test_a_complete_skull_is_read_alone(tmp_path):
    case = Case("a", tmp_path / "absent", save(tmp_path / "a.nii", WHOLE * 900.0 + 7), None)
    skull = load_complete(case, threshold=300)
    assert np.array_equal(skull.array, WHOLE) and skull.array.dtype == np.uint8
    with pytest.raises(VolumeError, match=r"a\.nii: "):
        load_complete(case, threshold=5000)


def test_scans_are_binarised_by_the_threshold_and_implants_are_masks(tmp_path):
    scans = [
        save(tmp_path / f"{n}.nii", array * 900.0 + 7) for n, array in enumerate(PARTS.values())
    ]
    case = Case("0", scans[1], scans[0], save(tmp_path / "mask.nii", PIECE))
    assert np.array_equal(load_pair(case, threshold=300).implant.array, PIECE)


@pytest.mark.parametrize("part", ["defective_skull", "implant"])
@pytest.mark.parametrize(
    ("array", "shift", "said"),
    [
        (np.ones((8, 9, 9), np.uint8), 0.0, r"wanted shape \(8, 9, 10\).*got \(8, 9, 9\)"),
        (WHOLE - PIECE, 0.1, "up to 0.1 mm away"),
        (np.zeros_like(WHOLE), 0.0, "wanted an occupied voxel"),
        (WHOLE, 0.0, "wanted this skull to be"),
        (np.roll(WHOLE, 1, 0), 0.0, "wanted this skull to be"),
    ],
)
def test_files_that_do_not_fit_are_refused(part, array, shift, said, tmp_path):
    skullfix(tmp_path, "nii.gz")
    affine = SPACING.copy()
    affine[0, 3] += shift
    save(tmp_path / part / "000.nii.gz", array, affine)
    with pytest.raises(VolumeError, match=said):
        load_pair(find_cases(tmp_path)[0])


def test_affines_may_differ_by_rounding(tmp_path):
    skullfix(tmp_path, "nrrd")
    save(tmp_path / "implant" / "000.nrrd", PIECE, SPACING + 1e-5 * np.eye(4, k=3))
    assert load_pair(find_cases(tmp_path)[0]).implant.array.any()


def scanned(skull):
    """A skull in thick slices, axes left, superior, anterior, with a table and noise."""
    thick = skull[:, :, ::2] | skull[:, :, 1::2]
    noisy = np.pad(thick, ((0, 0), (8, 0), (0, 0)))
    noisy[:, 1, :] = True
    noisy[5, 40, 31] = True
    spacing = FIELD_OF_VIEW / 64
    affine = np.array(
        [[-spacing, 0, 0, 90], [0, 0, spacing, -80], [0, 2 * spacing, 0, -70], [0, 0, 0, 1]]
    )
    return Volume(noisy[::-1].transpose(0, 2, 1).view(np.uint8), affine)


@pytest.mark.parametrize("number", range(4))
def test_a_defect_is_cut_into_a_skull_on_its_own_grid(number, tmp_path):
    scan = scanned(complete_skull(number))
    scan.save(tmp_path / "skull.nrrd")
    pair = load_pair(Case(f"{number}", None, tmp_path / "skull.nrrd", None))
    assert np.array_equal(pair.complete.array, scan.array)
    assert np.array_equal(pair.defective.array + pair.implant.array, scan.array)
    assert np.allclose(pair.implant.affine, scan.affine)
    voxels = np.argwhere(pair.implant.array)
    assert len(voxels) * np.prod(scan.spacing) > 500
    assert voxels[:, 2].min() > 2, "the table is left alone"
    assert voxels[:, 1].min() > 8, "it lies in the vault: up is the second axis"


def test_a_cut_depends_on_seed_and_name_alone(tmp_path):
    for folder in ("here", "there"):
        scanned(complete_skull(1)).save(save(tmp_path / folder / "skull.nii"))

    def implant(folder="here", name="a", seed=0):
        case = Case(name, None, tmp_path / folder / "skull.nii", None)
        return load_pair(case, seed=seed).implant.array.tobytes()

    assert implant() == implant("there")
    assert len({implant(), implant(name="b"), implant(seed=1)}) == 3


def test_defects_are_drawn_until_one_meets_intact_bone(tmp_path):
    """The left half is mostly gaps; the back and the crown are missing."""
    skull = complete_skull(2)
    skull[:32] &= np.random.default_rng(0).random(skull[:32].shape) < 0.15
    skull[:, :32] = False
    skull[:, :, 48:] = False
    affine = np.diag([FIELD_OF_VIEW / 64] * 3 + [1.0])
    path = save(tmp_path / "skull.nii", skull.view(np.uint8), affine)
    for name in "abcdefgh":
        implant = load_pair(Case(name, None, path, None)).implant.array
        assert np.count_nonzero(implant[32:]) > np.count_nonzero(implant[:32])


def test_defects_are_drawn_until_one_takes_bone_of_some_thickness(tmp_path):
    """The upper half of a hollow sphere, 6 mm thick, but 1.4 mm in its left half."""
    i, j, k = np.ogrid[-79.5:80, -79.5:80, -19.5:80]
    radius = np.sqrt(i * i + j * j + k * k)
    thick = (radius < 75) & (radius > np.where(i < 0, 73.6, 69))
    path = save(tmp_path / "skull.nii", thick.view(np.uint8), np.eye(4))
    for name in "abcd":
        implant = load_pair(Case(name, None, path, None)).implant.array
        assert np.count_nonzero(implant[80:]) > np.count_nonzero(implant[:80])


def test_a_volume_without_a_vault_is_named(tmp_path):
    speck = np.zeros((9, 9, 9), np.uint8)
    speck[4, 4, 4] = 1
    with pytest.raises(VolumeError, match=r"speck\.nii: no defect could be cut"):
        load_pair(Case("0", None, save(tmp_path / "speck.nii", speck), None))


@pytest.mark.skipif(not CT.is_file(), reason="no CT_pitch.nii.gz among the sample volumes")
@pytest.mark.parametrize("seed", range(3))
def test_a_defect_is_cut_into_the_intact_bone_of_a_scan(seed):
    pair = load_pair(Case("CT_pitch", None, CT, None), seed=seed, threshold=200)
    taken = np.count_nonzero(pair.implant.array) * np.prod(pair.implant.spacing)
    assert 1000 < taken < 60000
    assert np.array_equal(pair.defective.array | pair.implant.array, pair.complete.array)
    assert np.argwhere(pair.implant.array)[:, 2].min() > 10
