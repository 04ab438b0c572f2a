import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from zoo.volumes.metrics import (
    border_dice,
    dice,
    greatest_percentile,
    hausdorff_distance,
    hd95,
    pooled_percentile,
    reconstruction_error,
    roughness,
    surface_dice,
    surface_distances,
)

SPACING = (0.5, 2.0, 1.5)
CUBES = (1.0, 1.0, 1.0)


def line(*occupied, size=10):
    grid = np.zeros((size, 1, 1), dtype=np.uint8)
    grid[list(occupied)] = 1
    return grid


def blobs(seed, smoothness):
    """A ragged shape (14, 12, 10) that touches the grid's faces."""
    noise = np.random.default_rng(seed).normal(size=(14, 12, 10))
    return ndimage.gaussian_filter(noise, smoothness) > 0.1


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (line(0, 1, 2), line(0, 1, 2), 1.0),
        (line(0, 1), line(2, 3), 0.0),
        (line(0, 1, 2), line(2), 0.5),
        (line(0, 1, 2, 3) * 255, line(2, 3, 4, 5).astype(bool), 0.5),
        (line(1, 2) * 2, line(1, 2), 1.0),
        (line(), line(), 1.0),
        (line(), line(1), 0.0),
    ],
)
def test_dice(a, b, wanted):
    assert dice(a, b) == wanted == dice(b, a)


def test_dice_agrees_with_scipy():
    from scipy.spatial.distance import dice as dissimilarity

    a, b = np.random.default_rng(0).random((2, 5, 6, 7)) < 0.4
    assert dice(a, b) == pytest.approx(1 - dissimilarity(a.ravel(), b.ravel()))


@pytest.mark.parametrize(
    ("distance", "wanted"),
    [
        (1.9, 1.0),  # nothing of either
        (2, 1.0),  # voxel 1 of both; voxels are 2 mm apart
        (6, 2 * 2 / (2 + 3)),  # 1, 2 against 1, 2, 3
        (7.9, 2 * 2 / (2 + 3)),
        (8, 2 * 2 / (3 + 3)),  # 1, 2, 4 against 1, 2, 3
    ],
)
def test_border_dice_counts_what_is_near_the_skull(distance, wanted):
    implants = line(1, 2, 4), line(1, 2, 3)
    assert border_dice(*implants, line(0), (2.0, 1.0, 1.0), distance) == pytest.approx(wanted)


def test_border_dice_takes_a_spacing_as_float32_stores_it():
    spacing = (float(np.float32(0.4)),) * 3  # 25 voxels are 10.00000015 mm
    implant = line(25, size=40)
    assert border_dice(implant, implant * 0, line(0, size=40), spacing) == 0
    assert border_dice(line(26, size=40), implant * 0, line(0, size=40), spacing) == 1


def test_border_dice_counts_what_lies_deep_in_the_skull():
    skull = np.ones((9, 9, 9), bool)
    implant = np.zeros_like(skull)
    implant[4, 4, 4] = True
    assert border_dice(implant, ~skull, skull, CUBES, 1) == 0
    assert border_dice(implant, ~skull, ~skull, CUBES, 1) == 1


@pytest.mark.parametrize("distance", [0.5, 1.6, 4.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_border_dice_agrees_with_a_dense_distance_map(seed, distance):
    a, b, skull = blobs(seed, 1.0), blobs(seed + 10, 1.0), blobs(seed + 20, 2.0)
    image = sitk.GetImageFromArray(skull.astype(np.uint8))
    image.SetSpacing(SPACING[::-1])
    outside = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    near = sitk.GetArrayFromImage(outside) <= distance + 1e-4
    assert dice(a & near, b & near) != dice(a, b)
    assert border_dice(a, b, skull, SPACING, distance) == dice(a & near, b & near)


@pytest.mark.parametrize(
    ("a", "b", "distance", "percentile"),
    [
        (line(0, 1, 2), line(0, 1, 2), 0, 0),
        (line(0), line(3), 6, 6),
        (line(0, 3), line(0), 6, 5.7),  # 0 and 6 mm: the 95th percentile of two is 5.7
        (line(0), line(0, 3), 6, 5.7),
        (line(), line(), 0, 0),
        (line(), line(1), np.inf, np.inf),
        (line(1), line(), np.inf, np.inf),
    ],
)
def test_hausdorff_distances_along_a_line(a, b, distance, percentile):
    spacing = (2.0, 1.0, 1.0)
    assert hausdorff_distance(a, b, spacing) == pytest.approx(distance)
    assert hd95(a, b, spacing) == pytest.approx(percentile)


def test_hausdorff_distances_are_between_surfaces_in_mm():
    full = np.zeros((9, 9, 9), bool)
    full[1:8, 1:8, 1:8] = True
    hollow = full.copy()
    hollow[2:7, 2:7, 2:7] = False
    assert hausdorff_distance(full, hollow, SPACING) == 0  # one surface, though 125 voxels differ
    centre = np.zeros_like(full)
    centre[4, 4, 4] = True
    corner = np.linalg.norm(np.multiply(3, SPACING))
    assert hausdorff_distance(full, centre, SPACING) == pytest.approx(corner)
    everything = np.ones_like(full)
    edge = np.linalg.norm(SPACING)  # what is outside of the grid is empty
    assert hausdorff_distance(everything, full, SPACING) == pytest.approx(edge)


@pytest.mark.parametrize("seed", range(4))
def test_hausdorff_distances_agree_with_simpleitk(seed):
    a, b = blobs(seed, 1.2), blobs(seed + 10, 1.5)
    one, other = surface_image(a), surface_image(b)
    filter = sitk.HausdorffDistanceImageFilter()
    filter.Execute(one, other)
    wanted = filter.GetHausdorffDistance()
    assert hausdorff_distance(a, b, SPACING) == pytest.approx(wanted, rel=1e-5)
    both = (directed_distances(one, other), directed_distances(other, one))
    wanted = max(np.percentile(distances, 95) for distances in both)
    assert hd95(a, b, SPACING) == pytest.approx(wanted, rel=1e-5)
    assert hd95(b, a, SPACING) == hd95(a, b, SPACING) < hausdorff_distance(a, b, SPACING)


def surface_image(grid):
    image = sitk.GetImageFromArray(np.pad(grid, 1).astype(np.uint8))
    image.SetSpacing(SPACING[::-1])
    return sitk.BinaryContour(image, fullyConnected=False)


def directed_distances(one, other):
    """From every surface voxel of one to the other, as SimpleITK's notebooks compute it."""
    field = sitk.SignedMaurerDistanceMap(other, squaredDistance=False, useImageSpacing=True)
    inside = sitk.GetArrayFromImage(one) == 1
    return np.abs(sitk.GetArrayFromImage(field))[inside]


@pytest.mark.parametrize(
    ("prediction", "truth", "wanted"),
    [
        (line(1, 2), line(1, 2), 0),
        (line(1, 2) * 255, line(2, 3), 20),
        (line(), line(*range(10)), 100),
        (line(), line(), 0),
    ],
)
def test_reconstruction_error_is_a_percentage_of_the_grid(prediction, truth, wanted):
    assert reconstruction_error(prediction, truth) == wanted


@pytest.mark.parametrize(
    "measure",
    [
        dice,
        reconstruction_error,
        lambda a, b: border_dice(a, b, a, CUBES),
        lambda a, b: border_dice(a, a, b, CUBES),
        lambda a, b: hausdorff_distance(a, b, CUBES),
        lambda a, b: hd95(a, b, CUBES),
    ],
)
def test_shapes_must_agree(measure):
    with pytest.raises(ValueError, match="one shape"):
        measure(line(1, size=3), line(1, size=4))


def test_a_pooled_percentile_lies_between_those_of_the_directions():
    rng = np.random.default_rng(0)
    distances = rng.random(50), 3 * rng.random(30)
    one, other = (np.percentile(each, 95) for each in distances)
    assert one < pooled_percentile(distances, 95) < other == greatest_percentile(distances, 95)
    nothing = np.empty(0)
    assert pooled_percentile((nothing, nothing), 95) == 0
    assert pooled_percentile((nothing, distances[0]), 95) == np.inf


def plate(step):
    """A plate with terraces of `step` voxels on both sides, 0.4 mm voxels."""
    i, _, k = np.indices((60, 60, 30))
    height = 8 + (i // 10 % 2) * step
    return (k >= height) & (k < height + 12)


def test_terraces_are_rough():
    nothing = np.zeros((60, 60, 30), bool)
    flat, one, two = (roughness(plate(step), nothing, (0.4,) * 3) for step in (0, 1, 3))
    # At its edges even a flat plate is changed by smoothing, in the same way as the others.
    assert flat < one < two
    assert roughness(nothing, plate(0), (0.4,) * 3) == 0


def test_the_rim_is_no_part_of_a_surface():
    whole = plate(0)
    defective = whole.copy()
    defective[15:45, 15:45] = False
    implant = whole & ~defective
    ragged = implant.copy()
    ragged[15:17, 15:45:2] = False
    smooth, cut = (roughness(each, defective, (0.4,) * 3) for each in (implant, ragged))
    assert smooth == pytest.approx(cut, abs=0.02) and smooth < 0.05


@pytest.mark.parametrize("tolerance", [0, 0.5, 1.6, 2.5])
def test_surface_dice_by_definition(tolerance):
    """Every surface voxel of either against every one of the other."""
    a, b = blobs(0, 2), blobs(1, 2)
    one, other = (np.argwhere(each & ~ndimage.binary_erosion(each)) * SPACING for each in (a, b))
    apart = np.linalg.norm(one[:, None] - other, axis=2)
    near = (apart.min(1) <= tolerance).sum() + (apart.min(0) <= tolerance).sum()
    found = surface_dice(surface_distances(a, b, SPACING), tolerance)
    assert found == pytest.approx(near / (len(one) + len(other)))


def test_surface_dice_of_nothing():
    assert surface_dice(surface_distances(line(), line(), CUBES), 1) == 1
    assert surface_dice(surface_distances(line(), line(1), CUBES), 99) == 0
