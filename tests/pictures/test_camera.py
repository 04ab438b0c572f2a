"""The camera: views that face the implant, all of the volume in the picture."""

import numpy as np
import pytest
from picture_checks import Bools

from zoo.pictures._camera import PIXELS, VIEWS, Camera, facing_views


def test_views_face_the_implant(corner: Bools) -> None:
    implant = np.zeros_like(corner)
    implant[2:4, 2:10, 10:14] = True
    assert facing_views(corner, implant) == ("oblique back left", "left")


def test_without_an_implant_the_view_is_from_the_front_and_the_left(corner: Bools) -> None:
    assert facing_views(corner, np.zeros_like(corner)) == ("oblique", "left")


@pytest.mark.parametrize("view", VIEWS)
def test_the_picture_holds_the_middle_of_the_volume_in_its_middle(view: str) -> None:
    shape, spacing = (20, 30, 40), np.array([1.0, 2.0, 0.5])
    camera = Camera.facing(view, shape, spacing)
    assert max(camera.shape) == pytest.approx(PIXELS, abs=1)
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shape))).reshape(3, 8)
    pixels = np.linalg.inv(camera.steps) @ (corners - camera.offset[:, None])
    assert pixels[:2].min() > 0 and (pixels[:2].max(axis=1) < camera.shape).all()
    middle = np.append((np.array(camera.shape) - 1) / 2, pixels[2].mean())
    assert np.allclose(camera.indices(middle[:, None])[:, 0], (np.array(shape) - 1) / 2, atol=0.5)
