"""Pictures of voxel volumes: shaded surfaces, and a sheet of input, prediction and implant.

Volumes are (I, J, K), axes RAS, true where occupied; `spacing` is the voxel's size in mm along each.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from zoo.errors import VolumeError, WriteError

# From the head towards the viewer, in RAS; a picture's up is superior, and anterior seen from above.
VIEWS = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "front": (0.0, 1.0, 0.0),
    "back": (0.0, -1.0, 0.0),
    "top": (0.0, 0.0, 1.0),
    "bottom": (0.0, 0.0, -1.0),
    "oblique": (0.62, 0.72, 0.32),
    "oblique left": (-0.62, 0.72, 0.32),
    "oblique back": (0.66, -0.62, 0.42),
    "oblique back left": (-0.66, -0.62, 0.42),
}
BONE = np.array([236, 226, 204], np.float32)
IMPLANT = np.array([222, 92, 64], np.float32)
BACKGROUND, INK, FAINT = (255, 255, 255), (40, 44, 52), (120, 126, 136)

LARGEST_AXIS = 256  # voxels; larger volumes are pooled first
PIXELS = 300  # along the longer side of a rendering
SURFACE = 0.35  # of the smoothed occupancy: below one half, so that bone one voxel thick is kept
LIGHTS = (
    ((-0.45, 0.65, 0.62), 0.68),
    ((0.7, 0.1, 0.7), 0.28),
)  # (right, up, towards the viewer), strength
AMBIENT = 0.22


def render(
    occupied: np.ndarray, spacing: tuple, view: str, overlay: np.ndarray | None = None
) -> np.ndarray:
    """The volume as seen from `view` by parallel rays: uint8 (H, W, 3) on white.

    `overlay` is a second volume of the same shape, drawn together with the first in the implant's
    colour. The frame is the volume's own box, the longer side PIXELS pixels.
    """
    _check(occupied, overlay, view)
    both = occupied if overlay is None else np.logical_or(occupied, overlay)
    pooled, pooled_spacing = _pool(both, spacing)
    field = _smooth(pooled)
    camera = _Camera.facing(view, field.shape, pooled_spacing)
    seen = camera.look(field)
    hit, depth = _first_hit(seen, camera.voxel)
    colour = np.broadcast_to(BONE, (*hit.shape, 3))
    if overlay is not None:
        second = _smooth(_pool(overlay, spacing)[0])
        share = camera.at(second, depth) / np.maximum(camera.at(field, depth), 1e-6)
        colour = BONE + (IMPLANT - BONE) * np.clip(3 * share - 1, 0, 1)[..., None]
    light = _shade(camera, field, hit, depth) * _openness(hit, depth)
    coverage = np.clip((seen.max(axis=2) - SURFACE) / 0.15, 0, 1)[..., None]
    picture = np.clip(colour * light[..., None], 0, 255) * coverage + 255 * (1 - coverage)
    return picture.round().astype(np.uint8)


def save_preview(
    path,
    input: np.ndarray,
    prediction: np.ndarray,
    implant: np.ndarray,
    spacing: tuple,
    title: str = "",
) -> None:
    """Write a PNG 1200 pixels wide: three columns (input, prediction, implant), two rows of views.

    The views are those that face the implant. The last column shows the implant enlarged.
    """
    for volume in (prediction, implant):
        if volume.shape != input.shape:
            raise VolumeError(
                f"a preview needs volumes of one shape, got {input.shape} and {volume.shape}"
            )
    box = _box(input | prediction | implant)
    views = facing_views(input[box], implant[box])
    close = _box(implant)
    columns = {
        "input": (input[box], None),
        "prediction, implant coloured": (prediction[box], implant[box]),
        "implant, enlarged": (implant[close], implant[close]),
    }
    rows = [
        _trimmed([render(volume, spacing, view, overlay) for volume, overlay in columns.values()])
        for view in views
    ]
    sheet = _sheet(dict(zip(columns, zip(*rows))), views, title)
    try:
        sheet.save(Path(path), format="PNG")
    except OSError as error:
        raise WriteError(f"cannot write the preview {path}: {error}") from error


def facing_views(occupied: np.ndarray, implant: np.ndarray) -> tuple[str, str]:
    """An oblique and a straight view from the side of the volume that the implant lies on."""
    if not implant.any():
        return "oblique", "left"
    middle = [np.mean(np.flatnonzero(_profile(implant, axis))) for axis in range(3)]
    outward = np.array(middle) / implant.shape - 0.5
    facing = {name: float(np.dot(direction, outward)) for name, direction in VIEWS.items()}
    oblique = max((name for name in VIEWS if "oblique" in name), key=facing.get)
    straight = max(("left", "right", "front", "back", "top"), key=facing.get)
    return oblique, straight


def _check(occupied, overlay, view):
    if view not in VIEWS:
        raise VolumeError(f"no view named {view!r}; there are {', '.join(VIEWS)}")
    if occupied.ndim != 3 or 0 in occupied.shape:
        raise VolumeError(f"a rendering needs a volume (I, J, K), got shape {occupied.shape}")
    if overlay is not None and overlay.shape != occupied.shape:
        raise VolumeError(
            f"the overlay must have the volume's shape {occupied.shape}, got {overlay.shape}"
        )


def _pool(occupied, spacing):
    """Any-pooling, by the same factor along each axis, to at most LARGEST_AXIS voxels."""
    factor = -(-max(occupied.shape) // LARGEST_AXIS)
    occupied = occupied.astype(bool)
    for axis in range(3) if factor > 1 else ():
        starts = np.arange(0, occupied.shape[axis], factor)
        occupied = np.logical_or.reduceat(occupied, starts, axis)
    return occupied, np.array(spacing, float) * factor


def _smooth(occupied):
    """Occupancy with soft edges: its gradient gives normals, its level set a surface without steps."""
    padded = np.pad(occupied, 2).astype(np.float32)
    return ndimage.gaussian_filter(padded, 0.8, truncate=2.5)


@dataclass(frozen=True)
class _Camera:
    """Parallel rays through a field: (row from the top, column, depth) in pixels to field indices."""

    steps: np.ndarray  # (3, 3): field index moved by one pixel down, right and away
    offset: np.ndarray  # (3,): field index of the first pixel
    shape: tuple[int, int, int]  # rows, columns, pixels of depth
    voxel: float  # pixels along a voxel's shortest edge: how far samples on a ray may lie apart

    @classmethod
    def facing(cls, view: str, shape: tuple, spacing: np.ndarray) -> "_Camera":
        away = -np.array(VIEWS[view]) / np.linalg.norm(VIEWS[view])
        up = np.array([0.0, 1.0, 0.0]) if abs(away[2]) > 0.99 else np.array([0.0, 0.0, 1.0])
        right = np.cross(away, up)
        right /= np.linalg.norm(right)
        frame = np.array([np.cross(away, right), right, away])  # down, right, away in RAS
        extent = np.abs(frame) @ (np.array(shape) * spacing)
        pixel = extent[:2].max() / PIXELS
        steps = frame.T * pixel / spacing[:, None]
        counts = np.ceil(extent / pixel).astype(int)
        offset = (np.array(shape) - 1) / 2 - steps @ ((counts - 1) / 2)
        return cls(steps, offset, tuple(map(int, counts)), float(min(spacing) / pixel))

    def look(self, field: np.ndarray) -> np.ndarray:
        """The field along every ray, float32 (rows, columns, samples), a sample for each voxel's edge."""
        matrix = self.steps * (1, 1, self.voxel)
        samples = (*self.shape[:2], int(self.shape[2] / self.voxel) + 1)
        return ndimage.affine_transform(field, matrix, self.offset, samples, order=1)

    def at(self, field: np.ndarray, depth: np.ndarray, shift: tuple = (0, 0, 0)) -> np.ndarray:
        """The field at one depth on every ray, (rows, columns), or `shift` pixels from there."""
        rows, columns = np.indices(depth.shape)
        pixels = np.stack([rows + shift[0], columns + shift[1], depth + shift[2]])
        indices = np.tensordot(self.steps, pixels, 1) + self.offset[:, None, None]
        return ndimage.map_coordinates(field, indices, order=1, mode="nearest")


def _first_hit(seen, stride):
    """Which rays meet the surface, and how deep in pixels, interpolated; the rest get the far end."""
    inside = seen > SURFACE
    hit = inside.any(axis=2)
    first = np.maximum(inside.argmax(axis=2), 1)
    before, after = (
        np.take_along_axis(seen, index[..., None], 2)[..., 0] for index in (first - 1, first)
    )
    share = np.clip((SURFACE - before) / np.maximum(after - before, 1e-6), 0, 1)
    return hit, (np.where(hit, first - 1 + share, seen.shape[2] - 1) * stride).astype(np.float32)


def _shade(camera, field, hit, depth):
    """Lambert shading by two lamps that travel with the viewer; the normal is the field's slope.

    Slopes are taken over about a voxel and averaged over its neighbours, which hides the steps.
    """
    width = float(np.clip(camera.voxel, 1.5, 6))
    normals = []
    for shift in ((0, width, 0), (-width, 0, 0), (0, 0, -width)):  # right, up, towards the viewer
        slope = camera.at(field, depth, np.negative(shift)) - camera.at(field, depth, shift)
        normals.append(ndimage.gaussian_filter(np.where(hit, slope, 0), 0.8 * width))
    normal = np.stack(normals, axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    light = np.full(depth.shape, AMBIENT, np.float32)
    for direction, strength in LIGHTS:
        light += strength * np.maximum(normal @ np.array(direction) / np.linalg.norm(direction), 0)
    return light


def _openness(hit, depth):
    """Darken what lies deeper than its surroundings: a cheap stand-in for ambient occlusion."""
    open_share = np.ones(depth.shape, np.float32)
    for radius in (4.0, 14.0):
        weight = ndimage.gaussian_filter(hit.astype(np.float32), radius)
        around = ndimage.gaussian_filter(np.where(hit, depth, 0), radius) / np.maximum(weight, 1e-3)
        open_share *= 1 - 0.45 * np.clip((depth - around) / (3 * radius), 0, 1)
    return np.where(hit, open_share * (1.08 - 0.25 * depth / depth.shape[1]), 1)


def _profile(occupied, axis):
    return occupied.any(axis=tuple({0, 1, 2} - {axis}))


def _box(occupied):
    """Slices of the occupied part with a margin of one voxel; everything if nothing is occupied."""
    if not occupied.any():
        return (slice(None),) * 3
    ends = (np.flatnonzero(_profile(occupied, axis))[[0, -1]] for axis in range(3))
    return tuple(slice(max(int(low) - 1, 0), int(high) + 2) for low, high in ends)


WIDTH, MARGIN, HEADING, CAPTION, ROW = 1200, 24, 48, 48, 384

LABEL = 36  # pixels kept free above each row


def _sheet(columns, views, title):
    """Lay the renderings out on a page; `columns` maps a heading to one picture for each view."""
    sheet = Image.new("RGB", (WIDTH, HEADING + len(views) * ROW + CAPTION), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    cell = (WIDTH - (len(columns) + 1) * MARGIN) // len(columns)
    for number, (name, pictures) in enumerate(columns.items()):
        left = MARGIN + number * (cell + MARGIN)
        draw.text((left + cell / 2, HEADING / 2), name, INK, ImageFont.load_default(20), "mm")
        for row, picture in enumerate(pictures):
            image = _fit(picture, cell, ROW - LABEL)
            top = HEADING + row * ROW + LABEL
            sheet.paste(
                image, (left + (cell - image.width) // 2, top + (ROW - LABEL - image.height) // 2)
            )
    for row, view in enumerate(views):
        draw.text((MARGIN, HEADING + row * ROW + 4), view, FAINT, ImageFont.load_default(15))
    draw.text((WIDTH / 2, sheet.height - CAPTION / 2), title, INK, ImageFont.load_default(17), "mm")
    return sheet


def _trimmed(pictures):
    """Cut white borders off, by one frame for those of equal size, so that they stay comparable."""
    shapes = [picture.shape for picture in pictures]
    trimmed = []
    for picture in pictures:
        alike = np.min([p for p, shape in zip(pictures, shapes) if shape == picture.shape], axis=0)
        ink = alike.min(axis=2) < 255
        if ink.any():
            rows, columns = (np.flatnonzero(ink.any(axis=axis))[[0, -1]] for axis in (1, 0))
            picture = picture[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
        trimmed.append(picture)
    return trimmed


def _fit(picture, width, height):
    image = Image.fromarray(picture)
    scale = min(width / image.width, height / image.height)
    return image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )
