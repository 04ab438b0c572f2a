"""A volume as seen from one side: a shaded surface.

Volumes are (I, J, K), axes RAS, true where occupied; `spacing` is the size of a voxel in mm along
each axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from zoo.errors import VolumeError
from zoo.pictures._camera import PIXELS, VIEWS, Camera
from zoo.pictures._types import Bools, Doubles, Floats, Picture, Triple
from zoo.volumes import pooled

BONE = np.array([236, 226, 204], np.float32)
IMPLANT = np.array([222, 92, 64], np.float32)

Colour = Floats | Callable[[Doubles], Floats]  # (3,); or (N, 3) of indices into `field`, (3, N)

LARGEST_AXIS = 256  # voxels; larger volumes are pooled first
PADDING = 2  # voxels
LEAST = 1e-6  # keeps divisions finite
SURFACE = 0.35  # of the smoothed occupancy: below one half, so that bone one voxel thick is kept
INTERIOR = 0.97  # of the smoothed occupancy: voxels above it do not touch the surface
EDGE_BLUR = 0.8  # voxels, standard deviation: takes the steps out of the surface
MOST_EDGE_BLUR = 0.9  # voxels: a sheet one voxel thick stays well above SURFACE
NORMAL_BLUR = 1.4  # voxels, on top of that, for shading: takes the terraces out of shallow slopes
SAMPLES = 4  # taken along a ray at once

# Lamps that travel with the viewer: (right, up, towards the viewer), strength.
LIGHTS: tuple[tuple[Triple, float], ...] = (((-0.45, 0.65, 0.62), 0.68), ((0.7, 0.1, 0.7), 0.28))
AMBIENT = 0.22
OCCLUSION_REACH = (PIXELS / 75, PIXELS / 21)  # pixels around that darken a cavity: near and far


def render(occupied: Bools, spacing: Triple, view: str, overlay: Bools | None = None) -> Picture:
    """The volume as seen from `view` by parallel rays: uint8 (H, W, 3) on white.

    `overlay` is a second volume of the same shape, drawn together with the first in the implant's
    colour. The picture holds the whole volume; its longer side has PIXELS pixels.

    Raises:
        VolumeError: no such view, an empty axis, or an overlay of another shape.
    """
    _check(occupied, overlay, view)
    volumes = [occupied] if overlay is None else [occupied, overlay]
    coarser, drawn = coarse_enough(spacing, *volumes)
    return Scene.of(coarser, *drawn).picture(view)


def coarse_enough(spacing: Triple, *volumes: Bools) -> tuple[Doubles, list[Bools]]:
    """Volumes of one shape, made coarse enough for a `Scene`, and the spacing they then have."""
    factor = math.ceil(max(volumes[0].shape) / LARGEST_AXIS)
    grids = (pooled(volume.astype(bool, copy=False), factor) for volume in volumes)
    return np.array(spacing, np.float64) * factor, [np.ascontiguousarray(grid) for grid in grids]


@dataclass(frozen=True)
class Scene:
    """A volume made ready to be drawn from any side."""

    field: Floats  # as `softened` gives it
    slopes: Floats  # like `field`, softer: its gradient gives the normals
    overlays: tuple[tuple[Floats, Colour], ...]  # like `field`, what is drawn in a colour
    skin: Doubles  # (3, N): indices into `field` of the voxels at the surface
    spacing: Doubles  # (3,) mm

    @classmethod
    def of(cls, spacing: Doubles, occupied: Bools, overlay: Bools | None = None) -> Scene:
        """From volumes that `coarse_enough` gave; `overlay` is drawn in the implant's colour."""
        return cls.coloured(spacing, occupied, [] if overlay is None else [(overlay, IMPLANT)])

    @classmethod
    def coloured(
        cls, spacing: Doubles, occupied: Bools, overlays: Sequence[tuple[Bools, Colour]]
    ) -> Scene:
        """From volumes that `coarse_enough` gave, with any number of parts, each in its colour."""
        field = softened(np.logical_or.reduce([occupied, *(part for part, _ in overlays)]), spacing)
        parts = tuple(
            (field if part is occupied else softened(part, spacing), colour)
            for part, colour in overlays
        )
        slopes = ndimage.gaussian_filter(field, _blur(NORMAL_BLUR, spacing), truncate=2.5)
        skin = np.argwhere((field > SURFACE) & (field < INTERIOR)).T.astype(np.float64)
        return cls(field, slopes, parts, skin, spacing)

    def picture(self, view: str) -> Picture:
        """The scene as seen from `view`: uint8 (H, W, 3) on white."""
        camera = Camera.facing(view, self.field.shape, self.spacing)
        depth = _depths(camera, self.field, self.skin)
        hit = np.isfinite(depth)
        points = camera.indices(np.stack([*np.nonzero(hit), depth[hit]]))
        light = _shade(camera, self.slopes, points, hit) * _openness(hit, depth)[hit]
        picture = np.full((*hit.shape, 3), 255, np.uint8)
        picture[hit] = np.clip(self._colours(points) * light[:, None], 0, 255).round()
        return picture

    def _colours(self, points: Doubles) -> Floats:
        """Bone, or a part's colour where there is mostly that part: (N, 3) or (1, 3)."""
        colours: Floats = BONE[None]
        if not self.overlays:
            return colours
        here = np.maximum(_at(self.field, points), LEAST)
        for part, colour in self.overlays:
            share: Floats = np.divide(_at(part, points), here)
            # The colour changes between a third and two thirds, so that its border is sharp.
            weight = np.clip(3 * share - 1, 0, 1, dtype=np.float32)[:, None]
            here_in = weight[:, 0] > 0
            own = np.zeros((len(weight), 3), np.float32)
            own[here_in] = colour(points[:, here_in]) if callable(colour) else colour
            colours = colours + (own - colours) * weight
        return colours


def _check(occupied: Bools, overlay: Bools | None, view: str) -> None:
    if view not in VIEWS:
        raise VolumeError(f"no view named {view!r}; there are {', '.join(VIEWS)}")
    if occupied.ndim != 3 or 0 in occupied.shape:
        raise VolumeError(f"a rendering needs a volume (I, J, K), got shape {occupied.shape}")
    if overlay is not None and overlay.shape != occupied.shape:
        raise VolumeError(
            f"the overlay must have the volume's shape {occupied.shape}, got {overlay.shape}"
        )


def softened(occupied: Bools, spacing: Doubles) -> Floats:
    """Occupancy with soft edges, PADDING voxels larger on each side; its surface is at SURFACE."""
    padded = np.pad(occupied, PADDING).astype(np.float32)
    blur = [min(along, MOST_EDGE_BLUR) for along in _blur(EDGE_BLUR, spacing)]
    return ndimage.gaussian_filter(padded, blur, truncate=2.5)


def _blur(voxels: float, spacing: Doubles) -> list[float]:
    """Standard deviation along each axis in voxels, larger where voxels are thinner.

    Halfway, as ratios go, between equal in voxels, which leaves steps between thick slices, and
    equal in mm, which wipes out thin bone.
    """
    return [float(voxels * np.sqrt(spacing.max() / along)) for along in spacing]


def _at(field: Floats, indices: Doubles) -> Floats:
    """The field at indices (3, N), interpolated linearly: (N,)."""
    return ndimage.map_coordinates(field, indices, order=1, mode="nearest")


def _depths(camera: Camera, field: Floats, skin: Doubles) -> Doubles:
    """Depth in pixels at which each ray first meets the surface, (rows, columns); else inf."""
    depth = np.full(camera.shape, np.inf)
    near, far = _spans(camera, skin)
    rows, columns = np.nonzero(near < far)
    start, end = near[rows, columns], far[rows, columns]
    onwards = camera.steps[:, 2, None, None] * camera.step * np.arange(SAMPLES)
    reachable = _reachable(field)
    while len(rows):
        points = camera.indices(np.stack([rows, columns, start]))[..., None] + onwards
        inside = _inside(field, reachable, points.reshape(3, -1)).reshape(-1, SAMPLES)
        met = inside.any(axis=1)
        depth[rows[met], columns[met]] = start[met] + camera.step * inside[met].argmax(axis=1)
        onward = ~met & (start + camera.step * (SAMPLES - 1) < end)
        rows, columns, end = rows[onward], columns[onward], end[onward]
        start = start[onward] + camera.step * SAMPLES
    hit = np.isfinite(depth)
    first = np.stack([*np.nonzero(hit), depth[hit]])  # the surface lies up to a step before it
    points = camera.indices(first)
    low, high = _at(field, points - camera.steps[:, 2, None] * camera.step), _at(field, points)
    share = (SURFACE - low) / np.maximum(high - low, LEAST)
    depth[hit] = first[2] + camera.step * (share - 1)
    return depth


def _reachable(field: Floats) -> Bools:
    """Where a value interpolated between a voxel and the next along each axis can be inside."""
    reachable = field > SURFACE
    for axis in range(field.ndim):
        along = reachable.swapaxes(0, axis)
        along[:-1] |= along[1:]
    return reachable


def _inside(field: Floats, reachable: Bools, indices: Doubles) -> Bools:
    """Whether the field at indices (3, N) is above SURFACE; interpolated only where it can be."""
    cells = indices.astype(np.int32)
    i, j, k = np.clip(cells, 0, np.array(field.shape, np.int32)[:, None] - 1, out=cells)
    inside: Bools = reachable[i, j, k]
    inside[inside] = _at(field, indices[:, inside]) > SURFACE
    return inside


def _spans(camera: Camera, skin: Doubles) -> tuple[Doubles, Doubles]:
    """Where each ray may meet the surface: its first and last depth, (rows, columns) each.

    Voxels are projected onto cells as wide as a voxel's diagonal; a ray is touched by those of
    its own cell and the eight around it. Where there are none, first exceeds last.
    """
    cell = math.ceil(camera.diagonal)
    rows, columns = (-(-count // cell) for count in camera.shape)
    row, column, depth = np.linalg.inv(camera.steps) @ (skin - camera.offset[:, None])
    cells = (row // cell).astype(np.intp) * columns + (column // cell).astype(np.intp)
    near, far = np.full(rows * columns, np.inf), np.full(rows * columns, -np.inf)
    np.minimum.at(near, cells, depth)
    np.maximum.at(far, cells, depth)
    near = ndimage.minimum_filter(near.reshape(rows, columns), 3) - camera.diagonal
    far = ndimage.maximum_filter(far.reshape(rows, columns), 3) + camera.diagonal
    window = slice(camera.shape[0]), slice(camera.shape[1])
    first, final = (edge.repeat(cell, 0).repeat(cell, 1)[window] for edge in (near, far))
    return first, final


def _shade(camera: Camera, slopes: Floats, points: Doubles, hit: Bools) -> Floats:
    """Lambert shading of the points hit, (N,), by lamps that travel with the viewer.

    The normal is the field's slope over a voxel to each side, averaged over its neighbours.
    """
    width = camera.voxel
    normals = []
    for axis, sign in ((1, 1), (0, -1), (2, -1)):  # right, up, towards the viewer
        shift = sign * width * camera.steps[:, axis, None]
        slope = np.zeros(hit.shape, np.float32)
        slope[hit] = _at(slopes, points - shift) - _at(slopes, points + shift)
        normals.append(ndimage.gaussian_filter(slope, 0.5 * width, truncate=2.5)[hit])
    normal = np.stack(normals, axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), LEAST)
    light = np.full(len(normal), AMBIENT, np.float32)
    for direction, strength in LIGHTS:
        light += strength * np.maximum(normal @ np.array(direction) / np.linalg.norm(direction), 0)
    return light


def _openness(hit: Bools, depth: Doubles) -> Floats:
    """Darken what lies deeper than its surroundings: a cheap stand-in for ambient occlusion."""
    weight, filled = hit.astype(np.float32), np.where(hit, depth, 0).astype(np.float32)
    share = np.ones(hit.shape, np.float32)
    for reach in OCCLUSION_REACH:
        around = _average(filled, reach) / np.maximum(_average(weight, reach), LEAST)
        # Down to 55 % of the light where a point lies three times as deep as `reach` is wide.
        share *= 1 - 0.45 * np.clip((filled - around) / (3 * reach), 0, 1)
    share *= 1.08 - 0.25 * filled / hit.shape[1]  # and a little with distance
    return share


def _average(image: Floats, reach: float) -> Floats:
    """Two box filters in place of a Gaussian of standard deviation `reach`, at a fraction of it."""
    size = round(reach * math.sqrt(6))  # two such boxes have the variance of the Gaussian
    smooth: Floats = ndimage.uniform_filter(ndimage.uniform_filter(image, size), size)
    return smooth
