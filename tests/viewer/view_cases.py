"""A small skull with a hole for the tests of the viewer, and the files of a case."""

import numpy as np

import zoo

SPACING = 3.0


def skull():
    """Bool (48, 48, 48): a hollow ball, and the part of it that is cut out on the right."""
    index = np.indices((48, 48, 48)) - 23.5
    away = np.linalg.norm(index, axis=0)
    complete = (away < 20) & (away > 16)
    return complete, complete & (index[0] > 0) & (np.linalg.norm(index[1:], axis=0) < 7)


def volume(array, spacing=SPACING):
    return zoo.Volume(array.astype(np.uint8), np.diag([spacing, spacing, spacing, 1.0]))


def write_case(folder):
    """Write defective.nii.gz, complete.nii.gz and implant.nii.gz; returns their paths."""
    complete, implant = skull()
    found = {"defective": complete & ~implant, "complete": complete, "implant": implant}
    paths = {name: folder / f"{name}.nii.gz" for name in found}
    for name, array in found.items():
        volume(array).save(paths[name])
    return paths
