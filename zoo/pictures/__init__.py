"""Pictures of volumes: slices, surfaces seen by a camera, and a preview of a prediction with both.

Nothing here opens a window or needs a GPU: pictures are arrays, drawn with NumPy and SciPy.
"""

from zoo.pictures.preview import draw_prediction

__all__ = [
    "draw_prediction",
]
