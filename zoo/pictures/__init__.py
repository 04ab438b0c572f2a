"""Pictures of volumes: slices, surfaces seen by a camera, a preview and a report page with both.

Nothing here opens a window or needs a GPU: pictures are arrays, drawn with NumPy and SciPy.
"""

from zoo.pictures._bounding import bounding_box
from zoo.pictures._camera import VIEWS, facing_views
from zoo.pictures._comparison import draw_comparison
from zoo.pictures._slices import SLICES, slice_picture
from zoo.pictures._surfaces import BONE, IMPLANT, PADDING, SURFACE, coarse_enough, render, softened
from zoo.pictures._types import Bools, Floats
from zoo.pictures.page import RESEARCH, measures, write_page
from zoo.pictures.preview import PALETTE, draw_prediction, save_preview, save_shapes

__all__ = [
    "BONE",
    "IMPLANT",
    "PADDING",
    "PALETTE",
    "RESEARCH",
    "SLICES",
    "SURFACE",
    "VIEWS",
    "Bools",
    "Floats",
    "bounding_box",
    "coarse_enough",
    "draw_comparison",
    "draw_prediction",
    "facing_views",
    "measures",
    "render",
    "save_preview",
    "save_shapes",
    "slice_picture",
    "softened",
    "write_page",
]
