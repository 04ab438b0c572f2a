"""From a binary volume to the closed surface of what is occupied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from skimage.measure import marching_cubes
from trimesh import Trimesh
from trimesh.util import concatenate

from zoo.plugins import Volume, VolumeError

Bools = NDArray[np.bool_]
Points = NDArray[np.float64]  # (V, 3): voxel indices, or RAS millimetres
Triangles = NDArray[np.int32]  # (T, 3): rows of points, anticlockwise as seen from outside

# Half-way between empty and occupied, but for a hair: at 0.5 itself, voxels that share only an edge
# are neither joined nor apart, and marching cubes makes edges of four triangles there.
LEVEL = 0.5 - 1e-5
SMOOTH = 20  # rounds that take the voxels' steps out of a skull's curvature
SHRINK, GROW = 0.5, 0.53  # Taubin's lambda and -mu: what is longer than some ten voxels stays
LEAST = 20.0  # mm3
REACH = 0.4  # voxels: less than half of what the thinnest sheet, one voxel, is thick


def surface(volume: Volume, smooth: int = SMOOTH) -> Trimesh:
    """The surface of the occupied voxels, in RAS millimetres; normals point to where it is empty.

    Marching cubes, then `smooth` rounds of Taubin's filter: a low pass that does not shrink. No
    vertex moves by more than REACH of a voxel along any axis of the grid. Cavities stay, and so
    does every component. Coordinates are float32 values, which is what STL and PLY files hold.

    Where more is known of the surface than the voxels, as of an implant that the zoo predicted,
    that surface is meshed, without loose pieces of less than LEAST.

    Raises:
        VolumeError: more than two values, nothing occupied, or a surface that is not watertight.
    """
    occupied = occupied_voxels(volume)
    if volume.about is not None and volume.about.surface is not None:
        field = volume.about.surface()
        mesh = _mesh(field.array, 0.0, (0, 0, 0), field.affine, smooth)
        mesh = _without_crumbs(mesh)
    else:
        box = _box(occupied)
        i, j, k = (span.start for span in box)
        mesh = _mesh(occupied[box].astype(np.float32), LEVEL, (i, j, k), volume.affine, smooth)
    _check(mesh, volume)
    return mesh


def _mesh(
    values: NDArray[Any],
    level: float,
    first: tuple[int, int, int],
    affine: NDArray[np.float64],
    smooth: int,
) -> Trimesh:
    """Where values (I, J, K), from voxel `first` of a grid on, are at a level."""
    outwards = "ascent" if np.linalg.det(affine[:3, :3]) > 0 else "descent"
    outside = level - 0.5 if level else -abs(float(values.min()))
    corners, triangles, *_ = marching_cubes(  # type: ignore[no-untyped-call]
        np.pad(values, 1, constant_values=outside), level, gradient_direction=outwards
    )
    points = corners + np.array(first, dtype=float) - 1
    points = _smoothed(points, triangles, smooth) @ affine[:3, :3].T + affine[:3, 3]
    return Trimesh(points.astype(np.float32), triangles)  # merges points that a file cannot tell


def _without_crumbs(mesh: Trimesh) -> Trimesh:
    """The mesh without components of less than LEAST."""
    pieces = mesh.split(only_watertight=False)
    kept = [piece for piece in pieces if abs(piece.volume) >= LEAST]
    if len(kept) == len(pieces) or not kept:
        return mesh
    joined: Trimesh = concatenate(kept)
    return joined


def occupied_voxels(volume: Volume) -> Bools:
    """Bool (I, J, K) of a volume with two values: the greater one, or the one that is not zero.

    Raises:
        VolumeError: more than two values, NaN, or nothing occupied.
    """
    array = volume.array
    low, high = array.min(), array.max()
    if not ((array == low) | (array == high)).all():
        raise VolumeError(
            f"wanted a binary volume, got more than two values between {low:g} and {high:g};"
            " choose first what to mesh, such as volume.with_array(volume.array == 1)"
        )
    background = low if low < high and 0 not in (low, high) else 0
    occupied: Bools = array != background
    if not occupied.any():
        raise VolumeError("wanted an occupied voxel, got none: all are 0; check the input")
    return occupied


def _box(occupied: Bools) -> tuple[slice, ...]:
    """The smallest box around what is occupied."""
    spans = (np.flatnonzero(occupied.any(axis=across)) for across in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)


def _smoothed(points: Points, triangles: Triangles, rounds: int) -> Points:
    """Taubin's filter with equal weights, so that it does the same in indices as in millimetres.

    G. Taubin, "A signal processing approach to fair surface design", SIGGRAPH 1995.
    """
    # A closed surface goes along every edge once in each direction.
    ends = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    linked = csr_array((np.ones(triangles.size), ends), shape=(len(points), len(points)))
    mean = diags_array(1 / linked.sum(axis=1)) @ linked
    moved = points
    for _ in range(rounds):
        moved = moved + SHRINK * (mean @ moved - moved)
        moved = moved - GROW * (mean @ moved - moved)
        moved = np.clip(moved, points - REACH, points + REACH)
    return moved


def _check(mesh: Trimesh, volume: Volume) -> None:
    if mesh.is_volume:
        return
    edges: NDArray[Any] = mesh.edges_sorted
    uses = np.unique(edges, axis=0, return_counts=True)[1]
    spacing = " x ".join(f"{length:g}" for length in volume.spacing)
    raise VolumeError(
        f"wanted a watertight surface, got one with {(uses != 2).sum()} of {len(uses)} edges not"
        f" shared by two triangles, from voxels of {spacing} mm at {volume.affine[:3, 3]} mm;"
        " repair the spacing or origin, or smooth less"
    )
