import numpy as np
import pytest

from zoo import Volume
from zoo.volumes import dice, is_sheared, laid_back, shear, straightened


def tilted(degrees, spacing=(1.0, 1.0, 2.0)):
    """An affine whose third axis leans towards the second, as of a tilted gantry."""
    affine = np.diag([*spacing, 1.0])
    lean = np.radians(degrees)
    affine[:3, 2] = spacing[2] * np.array([0, np.sin(lean), np.cos(lean)])
    affine[:3, 3] = (-20, 5, 30)
    return affine


def ball(affine, shape=(60, 60, 40), radius=18.0):
    """Occupied voxels within a radius of the place of the middle voxel, in mm."""
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    middle = affine[:3, :3] @ (np.array(shape) // 2) + affine[:3, 3]
    return Volume((np.linalg.norm(places - middle, axis=-1) < radius).astype(np.uint8), affine)


@pytest.mark.parametrize("degrees", [5, 15, -20])
def test_a_ball_stays_a_ball_on_a_straight_grid_and_comes_back(degrees):
    given = ball(tilted(degrees))
    assert is_sheared(given) and shear(given) == pytest.approx(abs(degrees))
    straight = straightened(given)
    assert not is_sheared(straight)
    assert np.allclose(straight.spacing, given.spacing)
    places = np.argwhere(straight.array) @ straight.affine[:3, :3].T + straight.affine[:3, 3]
    middle = given.affine[:3, :3] @ [30, 30, 20] + given.affine[:3, 3]
    assert np.linalg.norm(places.mean(axis=0) - middle) < 0.5
    assert np.linalg.norm(places - middle, axis=1).max() < 18 + 1.5
    assert dice(laid_back(straight, given).array, given.array) > 0.97


def test_intensities_are_interpolated_and_outside_is_their_least_value():
    affine = tilted(10)
    shape = (30, 30, 20)
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    given = Volume(places[..., 1].astype(np.float32), affine)
    straight = straightened(given)
    known = np.argwhere(straight.array > straight.array.min())
    y = known @ straight.affine[1, :3] + straight.affine[1, 3]
    inside = straight.array[tuple(known.T)]
    assert np.median(np.abs(inside - y)) < 1e-3
    to_given = np.linalg.inv(affine) @ straight.affine
    at = np.moveaxis(np.indices(straight.shape), 0, -1) @ to_given[:3, :3].T + to_given[:3, 3]
    outside = ((at < -1) | (at > shape)).any(axis=-1)
    assert outside.any() and (straight.array[outside] == given.array.min()).all()


def test_right_angles_are_left_alone_whatever_the_rotation():
    angle = np.radians(30)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * [0.5, -0.5, 2]
    assert not is_sheared(Volume(np.zeros((2, 2, 2)), affine))
