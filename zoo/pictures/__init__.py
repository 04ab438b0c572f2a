"""Pictures of volumes: slices, surfaces seen by a camera, a preview and a report page with both.

Nothing here opens a window or needs a GPU: pictures are arrays, drawn with NumPy and SciPy.
"""

from zoo.pictures.page import write_page
from zoo.pictures.preview import draw_prediction

__all__ = [
    "draw_prediction",
    "write_page",
]
