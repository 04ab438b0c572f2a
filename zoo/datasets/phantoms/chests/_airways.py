"""The airways and the oesophagus."""

from __future__ import annotations

from zoo.datasets.phantoms.chests._curves import Knot, curve, varied, widened
from zoo.datasets.phantoms.chests.canvas import Canvas
from zoo.datasets.phantoms.chests.tissues import NUMBER
from zoo.datasets.phantoms.solids import Uniform

TRACHEA: tuple[Knot, ...] = (
    (0, 4, 210, 8.5),
    (0, 1, 130, 8.5),
    (0, -4, 90, 8.5),
    (1, -12, 50, 8.5),
    (3, -19, 2, 8.8),
)
BRONCHI: tuple[tuple[Knot, ...], ...] = (  # the parts that count as trachea
    ((4, -19, 3, 7.5), (13, -22, -7, 7.2), (26, -25, -18, 6.4)),
    ((2, -19, 3, 7.2), (-10, -23, -9, 6.6), (-24, -27, -19, 6)),
)
LOBES: tuple[tuple[Knot, ...], ...] = (  # and their continuations in the lungs
    ((26, -25, -18, 6), (36, -27, -34, 5), (46, -34, -58, 4)),
    ((22, -24, -14, 5), (38, -24, -6, 4.5), (52, -26, 12, 3.5)),
    ((-24, -27, -19, 5.6), (-38, -31, -34, 5), (-46, -38, -58, 4)),
    ((-28, -28, -22, 5), (-44, -22, -16, 4), (-54, -16, 2, 3.5)),
)
OESOPHAGUS: tuple[Knot, ...] = (  # radius from front to back
    (-2, -18, 210, 5.2),
    (-2, -17, 130, 5.2),
    (-4, -21, 95, 5.2),
    (-6, -31, 55, 5.2),
    (-6, -38, 15, 5.2),
    (-5, -43, -30, 5.2),
    (-5, -44, -62, 5.2),
    (-9, -38, -100, 5.4),
    (-18, -25, -132, 5.6),
    (-32, -12, -152, 6),
    (-46, -4, -164, 6.5),
)


def paint_oesophagus(canvas: Canvas, uniform: Uniform) -> None:
    """Paint the oesophagus, wider than deep, wandering, here and there with air inside."""
    size = sum(canvas.scale) / 3
    knots = curve(varied(OESOPHAGUS, uniform, uniform(0.85, 1.12) / size, wander=2.2))
    flatness = uniform(1.25, 1.7)
    box, distance = canvas.tube(knots, flatness)
    canvas.paint(box, distance < 3, "fat", over="lung")
    stomach = (canvas.tissues[box] == NUMBER["stomach"]) | (canvas.tissues[box] == NUMBER["gas"])
    canvas.paint(box, (distance < 0) & ~stomach, "oesophagus")
    for _ in range(3):
        low, length, filled = uniform(-130, 130), uniform(15, 70), uniform(0, 1) < 0.5
        z = canvas.z[box]
        if filled:
            core = (distance < -3.0 / size) & (z > low) & (z < low + length)
            canvas.paint(box, core, "oesophageal air", over="oesophagus")


def paint_airways(canvas: Canvas, uniform: Uniform) -> None:
    """Paint the bronchi of the lobes, then the trachea with its first branches in a wall."""
    width = uniform(7.0, 9.8) * 3 / (8.5 * sum(canvas.scale))
    for lobe in LOBES:
        box, distance = canvas.tube(curve(varied(lobe, uniform, wander=0.5)))
        canvas.paint(box, distance < 1.5, "muscle")
        canvas.paint(box, distance < 0, "bronchus")
    lumen = [canvas.tube(curve(widened(TRACHEA, width)))]
    lumen += [canvas.tube(curve(widened(branch, width))) for branch in BRONCHI]
    for box, distance in lumen:
        outside = canvas.tissues[box] != NUMBER["bronchus"]
        canvas.paint(box, (distance < 2.5) & outside, "muscle")
    for box, distance in lumen:
        canvas.paint(box, distance < 0, "trachea")
