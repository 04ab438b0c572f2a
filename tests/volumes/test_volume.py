"""Volume: what it accepts, what it refuses, and its axes."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import torch

from zoo.errors import VolumeError
from zoo.volumes.volume import Frame, Volume

SPACING = (0.5, 1.25, 3.0)


def signed_permutations():
    """The 48 affines whose axes run along the patient's, with three different spacings."""
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3)[list(axes)] * signs).T * SPACING
        affine[:3, 3] = (-90, 126.5, -72.25)
        yield affine


def oblique():
    """A rotation about three axes, with three different spacings."""
    a, b, c = 0.3, -0.2, 0.5
    turn_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    turn_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    turn_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(turn_x) @ turn_y @ turn_z * SPACING
    affine[:3, 3] = (10.5, -20.25, 33.0)
    return affine


AFFINES = [*signed_permutations(), oblique()]


def numbered(shape=(2, 3, 4), dtype=np.int16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def orientation_id(affine):
    return "".join(nib.aff2axcodes(affine))


def test_shares_memory_and_is_read_only():
    array = numbered()
    volume = Volume.of(array)
    assert np.shares_memory(volume.array, array)
    assert array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 2


def test_of_every_source(tmp_path):
    array = numbered()
    image = nib.Nifti1Image(array, oblique())
    path = tmp_path / "volume.nii.gz"
    image.to_filename(path)
    tensor = torch.from_numpy(array)
    sources = [path, str(path), image, array, tensor, tensor.clone().requires_grad_(False)]
    for source in sources:
        assert np.array_equal(Volume.of(source).array, array)
    assert np.allclose(Volume.of(image).affine, oblique())
    assert np.array_equal(Volume.of(tensor).affine, np.eye(4))
    assert np.shares_memory(Volume.of(tensor).array, array)
    volume = Volume.of(array)
    assert Volume.of(volume) is volume


def test_of_tensors_that_numpy_does_not_take():
    ones = torch.ones(2, 3, 4, requires_grad=True)
    assert Volume.of(ones).array.sum() == 24
    assert Volume.of(ones.bfloat16()).array.dtype == np.float32
    with pytest.raises(VolumeError, match="dense tensor"):
        Volume.of(ones.detach().to_sparse())


def test_of_an_image_without_affine():
    assert Volume.of(nib.Nifti1Image(numbered(), None)).shape == (2, 3, 4)


@pytest.mark.parametrize("source", [None, 3, [[[1.0]]]])
def test_refuses_other_sources(source):
    with pytest.raises(VolumeError, match=f"got {type(source).__name__}"):
        Volume.of(source)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 5)), r"wanted 3 dimensions, got shape \(4, 5\)"),
        (np.zeros((4, 5, 6, 2)), r"wanted 3 dimensions, got shape \(4, 5, 6, 2\)"),
        (np.zeros((4, 0, 6)), r"at least one voxel along each axis, got shape \(4, 0, 6\)"),
        (np.zeros((1, 1, 1), complex), "dtype complex128"),
        (np.zeros((1, 1, 1), object), "dtype object"),
        (np.zeros((1, 1, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "dtype .*'R'"),
        (np.zeros((1, 1, 1), "M8[s]"), "dtype datetime64"),
    ],
)
def test_refuses_arrays(array, reason):
    with pytest.raises(VolumeError, match=reason) as caught:
        Volume.of(array)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([1, 0, 1, 1]),
        np.zeros((4, 4)),
        np.diag([1, np.nan, 1, 1]),
        np.diag([1, np.inf, 1, 1]),
        np.diag([1.0, 1.0, 1.0, 2.0]),
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        np.eye(3),
        "identity",
        None,
    ],
)
def test_refuses_affines(affine):
    with pytest.raises(VolumeError, match="affine") as caught:
        Volume(numbered(), affine)
    assert "\n" not in str(caught.value)


def test_tiny_and_huge_voxels_are_fine():
    assert Volume(numbered(), np.diag([1e-4, 1e-4, 1e3, 1])).spacing == (1e-4, 1e-4, 1e3)


def test_squeezes_trailing_axes_of_length_one():
    array = numbered((2, 3, 4, 1, 1))
    volume = Volume.of(array)
    assert volume.shape == (2, 3, 4)
    assert np.shares_memory(volume.array, array)
    assert Volume.of(numbered((2, 3, 1))).shape == (2, 3, 1)


def test_turns_foreign_byte_order_to_native():
    volume = Volume.of(numbered().astype(">i2"))
    assert volume.array.dtype.isnative
    assert np.array_equal(torch.tensor(volume.array).numpy(), numbered())


@pytest.mark.parametrize("affine", AFFINES, ids=orientation_id)
def test_canonical_is_a_view_and_restore_inverts_it(affine):
    volume = Volume(numbered(), affine)
    canonical = volume.canonical()
    assert canonical.orientation == "RAS"
    assert np.shares_memory(canonical.array, volume.array)
    restored = volume.restore(canonical.array)
    assert np.array_equal(restored, volume.array)
    assert np.shares_memory(restored, volume.array)
    for index in [(0, 0, 0), (1, 2, 3), (1, 0, 2)]:
        (found,) = np.argwhere(canonical.array == volume.array[index])
        here = volume.affine @ [*index, 1]
        assert np.allclose(canonical.affine @ [*found, 1], here)


def test_spacing_and_orientation():
    volume = Volume(numbered(), oblique())
    assert np.allclose(volume.spacing, SPACING)
    assert Volume(numbered(), np.diag([-2, -1, 1, 1])).orientation == "LPS"
    assert repr(Volume(numbered())) == "Volume(2x3x4 int16, 1 x 1 x 1 mm, RAS)"


def test_with_array_keeps_the_grid():
    volume = Volume(numbered(), oblique(), Frame(unit="micron"))
    other = volume.with_array(np.ones((2, 3, 4)))
    assert np.array_equal(other.affine, volume.affine)
    assert other.frame is volume.frame
    with pytest.raises(VolumeError, match=r"shape \(2, 3, 4\), got \(2, 3, 5\)"):
        volume.with_array(np.ones((2, 3, 5)))


def test_regrid_moves_affine_and_frame_together():
    volume = Volume(numbered(), oblique(), Frame(qform=oblique(), qform_code=1))
    halves = np.diag([0.5, 0.5, 0.5, 1.0])
    halves[:3, 3] = -0.25
    finer = volume.regrid(np.zeros((4, 6, 8)), halves)
    assert np.allclose(finer.spacing, np.array(SPACING) / 2)
    assert np.allclose(finer.affine, finer.frame.qform)
    centre_of_first_eight = finer.affine @ [0.5, 0.5, 0.5, 1]
    assert np.allclose(centre_of_first_eight, volume.affine[:, 3])
