"""Measures of agreement between a prediction and the ground truth.

Grids are (I, J, K), occupied where not zero; `spacing` is the distance in mm between the centres of
neighbouring voxels along I, J and K. A surface voxel is an occupied one with an empty voxel among
its six face neighbours, where what lies outside of the grid counts as empty; distances are between
the centres of voxels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.volumes.voxels import occupied_box

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Grid = NDArray[Any]
Bools = NDArray[np.bool_]
Points = NDArray[np.float64]  # (N, 3) mm
Triple = tuple[float, float, float]
BoundingBox = tuple[slice, slice, slice]

BORDER = 10.0  # mm
SMOOTHED = 3.0  # mm, over which a surface is smoothed for its roughness
FULL_WIDTH = 2.355  # standard deviations in a Gaussian's full width at half maximum
ROUNDING = 1e-6  # mm that a distance may be missed by: spacings are often stored as float32


def dice(prediction: Grid, truth: Grid) -> float:
    """Dice similarity coefficient, 2 |A and B| / (|A| + |B|). Dice, Ecology 26:297 (1945).

        >>> import numpy as np
        >>> dice(np.array([[[1, 1, 0, 0]]]), np.array([[[0, 1, 1, 0]]]))
        0.5

    Args:
        prediction: (I, J, K); what is not zero is occupied.
        truth: of the same shape.

    Returns:
        1 for equality, 0 without a common voxel; two empty grids are equal.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(prediction, truth)
    common = int(np.count_nonzero(np.logical_and(prediction, truth)))
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(truth))
    return 2 * common / total if total else 1.0


def border_dice(
    prediction_implant: Grid,
    true_implant: Grid,
    defective: Grid,
    spacing: Triple,
    distance: float = BORDER,
) -> float:
    """Dice of two implants within `distance` mm of the defective skull: does the implant fit?

    A voxel counts if its centre is at most that far from the centre of an occupied voxel of
    `defective`. 1 if neither implant has such a voxel. The "border DSC" of the AutoImplant
    challenge, https://github.com/OldaKodym/evaluation_metrics.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(prediction_implant, true_implant, defective)
    either = np.logical_or(prediction_implant, true_implant)
    if not either.any():
        return 1.0
    box = occupied_box(either)
    near = _near(either[box], defective, box, spacing, distance)
    prediction, truth = (
        np.logical_and(implant[box], near) for implant in (prediction_implant, true_implant)
    )
    return dice(prediction, truth)


def hausdorff_distance(a: Grid, b: Grid, spacing: Triple) -> float:
    """Hausdorff distance in mm of two shapes' surfaces.

    It is the largest distance from a surface voxel of either to the nearest one of the other.
    0 if both are empty, infinite if one is. Huttenlocher et al., IEEE TPAMI 15:850 (1993).

    Raises:
        ValueError: the shapes of the grids differ.
    """
    return greatest_percentile(surface_distances(a, b, spacing), 100)


def hd95(a: Grid, b: Grid, spacing: Triple) -> float:
    """The 95 % Hausdorff distance in mm of two shapes' surfaces, which ignores single voxels.

    It is the greater of two 95th percentiles (interpolated linearly): of the distances from the
    surface voxels of `a` to the nearest of `b`, and the other way round. 0 if both are empty,
    infinite if one is. After Huttenlocher et al., IEEE TPAMI 15:850 (1993), as MONAI computes it.
    The script of the AutoImplant challenge, like MedPy, takes one percentile of both directions'
    distances together, which lies between the two.

        >>> import numpy as np
        >>> one, other = np.zeros((2, 9, 9, 9), bool)
        >>> one[4, 4, 4] = other[4, 4, 7] = True
        >>> hd95(one, other, (1.0, 1.0, 0.5))
        1.5

    Raises:
        ValueError: the shapes of the grids differ.
    """
    return greatest_percentile(surface_distances(a, b, spacing), 95)


def reconstruction_error(prediction: Grid, truth: Grid) -> float:
    """The share of the grid's voxels that are predicted wrongly, in percent.

    The share is of the whole grid, empty space included: 0 for a perfect prediction, 100 for its
    negative. It is small for any sensible prediction, and comparable only between grids of one
    field of view. As in Li et al., Scientific Reports 13:20229 (2023).

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(prediction, truth)
    return 100 * int(np.count_nonzero(np.logical_xor(prediction, truth))) / prediction.size


def surface_distances(
    a: Grid, b: Grid, spacing: Triple
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distance in mm from every surface voxel of `a` to the nearest of `b`, and of `b` to `a`.

    (N_a,) and (N_b,), in raster order; infinite if the other is empty.

    Raises:
        ValueError: the shapes of the grids differ.
    """
    _check_shapes(a, b)
    one, other = surface_points(a, spacing), surface_points(b, spacing)
    return _distances(one, other), _distances(other, one)


def greatest_percentile(
    distances: tuple[NDArray[np.float64], NDArray[np.float64]], percentile: float
) -> float:
    """The greater percentile of both directions' distances, from `surface_distances`, in mm.

    0 if both shapes are empty, infinite if one is.
    """
    if not all(map(len, distances)):
        return float("inf") if any(map(len, distances)) else 0.0
    return max(float(np.percentile(each, percentile)) for each in distances)


def pooled_percentile(
    distances: tuple[NDArray[np.float64], NDArray[np.float64]], percentile: float
) -> float:
    """The percentile of both directions' distances together, from `surface_distances`, in mm.

    With 95, the HD95 that the script of the AutoImplant challenge reports, and MedPy: it lies
    between the percentiles of the two directions. https://github.com/OldaKodym/evaluation_metrics.
    0 if both shapes are empty, infinite if one is.

        >>> import numpy as np
        >>> pooled_percentile((np.array([0.0, 0.0, 1.0]), np.array([2.0])), 100)
        2.0
    """
    if not all(map(len, distances)):
        return float("inf") if any(map(len, distances)) else 0.0
    return float(np.percentile(np.concatenate(distances), percentile))


def surface_dice(
    distances: tuple[NDArray[np.float64], NDArray[np.float64]], tolerance: float
) -> float:
    """The share of both surfaces that is within `tolerance` mm of the other: surface Dice.

    The normalised surface distance, from `surface_distances`, by counts of surface voxels as MONAI
    computes it without sub-voxels. 1 if both shapes are empty, 0 if one is. Nikolov et al., J Med
    Internet Res 23:e26151 (2021).

        >>> import numpy as np
        >>> surface_dice((np.array([0.0, 1.0, 4.0]), np.array([2.0])), 2)
        0.75

    A tolerance below the spacing asks for surfaces that are equal to the voxel.
    """
    if not all(map(len, distances)):
        return 0.0 if any(map(len, distances)) else 1.0
    return float((np.concatenate(distances) <= tolerance + ROUNDING).mean())


def roughness(implant: Grid, defective: Grid, spacing: Triple) -> float:
    """How far an implant's surface is from itself smoothed over 3 mm: root mean square, in mm.

    The implant is smoothed by a Gaussian whose full width at half maximum is 3 mm; the value at a
    surface voxel says how far the smoothed surface is from its centre, and the mean over all of
    them is where the surface itself runs. Only the outer and the inner surface count: not what is
    within 3 mm of the defective skull, where the rim was cut. 0 without any surface.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(implant, defective)
    if not implant.any():
        return 0.0
    from scipy import ndimage, special

    box = _wider(occupied_box(implant), spacing, 2 * SMOOTHED)
    inside = np.ascontiguousarray(implant[box]) != 0
    skin = np.argwhere(inside & ~ndimage.binary_erosion(inside))
    bone = surface_points(defective[box], spacing)
    if len(bone):
        near, _ = _tree(bone).query(skin * spacing, distance_upper_bound=SMOOTHED, workers=-1)
        skin = skin[np.isinf(near)]
    if not len(skin):
        return 0.0
    width = SMOOTHED / FULL_WIDTH
    widths = [width / length for length in spacing]
    smoothed = ndimage.gaussian_filter(inside.astype(np.float32), widths, truncate=3)
    depths = width * special.ndtri(smoothed[tuple(skin.T)].clip(1e-3, 1 - 1e-3).astype(float))
    return float(depths.std())


def _wider(box: BoundingBox, spacing: Triple, margin: float) -> BoundingBox:
    """A bounding box with a margin in mm on every side, as far as the grid goes back."""
    reach = [int(margin / length) + 1 for length in spacing]
    i, j, k = (
        slice(max(edge.start - more, 0), edge.stop + more)
        for edge, more in zip(box, reach, strict=True)
    )
    return i, j, k


def _distances(points: Points, others: Points) -> NDArray[np.float64]:
    return np.asarray(_tree(others).query(points, workers=-1)[0])


def _tree(points: Points) -> cKDTree:
    from scipy.spatial import cKDTree

    return cKDTree(points, balanced_tree=False, compact_nodes=False)


def surface_points(grid: Grid, spacing: Triple) -> Points:
    """The centres of the surface voxels, (N, 3) mm from the grid's first voxel, in raster order."""
    if not grid.any():
        return np.empty((0, 3))
    box = occupied_box(grid)
    occupied = np.ascontiguousarray(grid[box]) != 0
    from scipy import ndimage

    skin = occupied & ~ndimage.binary_erosion(occupied)
    centres: Points = (np.argwhere(skin) + [edge.start for edge in box]) * np.array(spacing)
    return centres


def _near(wanted: Bools, skull: Grid, box: BoundingBox, spacing: Triple, distance: float) -> Bools:
    """Which of the wanted voxels, given within a bounding box, are near the skull."""
    wide = _wider(box, spacing, distance)
    start = [edge.start - wider.start for edge, wider in zip(box, wide, strict=True)]
    bone = _tree(surface_points(skull[wide], spacing))
    near: Bools = np.ascontiguousarray(skull[box]) != 0  # deep in the skull its surface may be far
    for number, (plane, inside) in enumerate(zip(wanted, near, strict=True)):
        cells = np.argwhere(plane & ~inside)  # a plane at a time: an implant may fill the grid
        points = (np.insert(cells, 0, number, axis=1) + start) * np.array(spacing)
        found, _ = bone.query(points, distance_upper_bound=distance + ROUNDING, workers=-1)
        inside[tuple(cells.T)] = np.isfinite(found)
    return near


def _check_shapes(*grids: Grid) -> None:
    if len({grid.shape for grid in grids}) > 1:
        listed = " and ".join(str(grid.shape) for grid in grids)
        raise ValueError(f"wanted grids of one shape, got {listed}; use one grid")
