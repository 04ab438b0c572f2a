import numpy as np
import pytest
from heads import headrest, hole, scan, shell, spine

from zoo import Volume
from zoo.anatomy import bone_of, occupied_in
from zoo.errors import VolumeError
from zoo.volumes import dice


def test_headrest_and_vertebrae_are_left_out_of_the_skull():
    skull = shell()
    found = bone_of(scan(skull | spine(), headrest()))
    assert 150 <= found.threshold <= 450
    assert not (found.mask & headrest()).any()
    assert dice(found.mask, skull) > 0.98
    assert found.facts["neck_removed_ml"] > 10 and found.facts["others_removed_ml"] > 50
    assert found.warnings == []


def test_a_large_defect_does_not_change_what_is_skull():
    cut = hole(55.0)
    found = bone_of(scan((shell() | spine()) & ~cut, headrest()))
    assert dice(found.mask, shell() & ~cut) > 0.98


def test_an_island_of_bone_in_the_hole_is_kept():
    island = shell() & hole(8.0)
    bone = (shell() & ~hole(25.0)) | island
    found = bone_of(scan(bone, headrest()))
    assert found.mask[island].mean() > 0.95


def test_every_orientation_gives_the_same_skull():
    ct = scan(shell() | spine(), headrest())
    flipped = Volume(
        ct.array[::-1, :, ::-1].transpose(2, 0, 1),
        np.array([[0, -2, 0, 218], [0, 0, 2, 0], [-2, 0, 0, 238], [0, 0, 0, 1.0]]),
    )
    found, other = bone_of(ct), bone_of(flipped)
    assert np.array_equal(found.mask[::-1, :, ::-1].transpose(2, 0, 1), other.mask)


def test_a_vault_that_the_field_of_view_cuts_is_said():
    ct = scan(shell())
    cropped = Volume(ct.array[:, :, :95], ct.affine)
    assert any("ends in the vault: superior" in line for line in bone_of(cropped).warnings)


def test_metal_and_other_units_are_said():
    ct = scan(shell())
    values = ct.array.copy()
    values[50:60, 100:104, 20:24] = 3071
    assert any("metal in 4 slices" in line for line in bone_of(Volume(values, ct.affine)).warnings)
    scaled = np.clip((ct.array + 1000.0) / 8, 0, 255).astype(np.uint8)
    found = bone_of(Volume(scaled, ct.affine))
    assert "not Hounsfield units" in found.warnings[0]
    assert dice(found.mask, shell()) > 0.98


def test_a_crown_in_thick_slices_is_bone_though_it_is_dark():
    """Slices of 6 mm: the crown of 7 mm fills them in part."""
    fine = scan(shell()).array.astype(np.float32)
    thick = fine.reshape(110, 130, 40, 3).mean(axis=3)
    whole = shell().reshape(110, 130, 40, 3).mean(axis=3)
    ct = Volume(thick, np.diag([2, 2, 6, 1.0]))
    found = bone_of(ct)
    crown = (whole > 0.4) & (np.arange(40) >= 34)
    assert found.mask[crown].mean() > 0.9


def test_words_and_numbers():
    ct = scan(shell())
    by_word, facts = occupied_in(ct, "bone")
    assert np.array_equal(by_word, bone_of(ct).mask) and facts["threshold"] > 0
    by_number, nothing = occupied_in(ct, 300)
    assert np.array_equal(by_number, ct.array > 300) and nothing == {}
    with pytest.raises(VolumeError, match="wanted a number, or one of auto, bone"):
        occupied_in(ct, "skull")
    with pytest.raises(VolumeError, match="leave --threshold out for a mask"):
        bone_of(Volume(shell()))
    values = ct.array.astype(np.float32)
    values[0, 0, 0] = np.nan
    with pytest.raises(VolumeError, match="NaN"):
        bone_of(Volume(values, ct.affine))
