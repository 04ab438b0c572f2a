"""What the files of a skull hold; defects are cut in where there are none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zoo.anatomy import Threshold, occupied_in
from zoo.datasets.cases import Case
from zoo.datasets.phantoms.defects import cut_defect
from zoo.errors import VolumeError
from zoo.volumes import Volume, largest_component, read_volume

Bools = NDArray[np.bool_]

FARTHEST = 0.1  # of a voxel: how far apart the same corner of two files' grids may lie
MOST_DISAGREEMENT = 0.25  # share of the implant's voxels in which a case's files may disagree
THINNEST_BONE = 2.0  # mm that a defect must take, averaged over its outline, or it is drawn again
DRAWS = 10  # each of twelve attempts


@dataclass(frozen=True)
class Pair:
    """uint8 {0, 1} on the grid of the case's target; complete is defective plus implant."""

    defective: Volume
    complete: Volume
    implant: Volume


Defects = Literal["official", "cut", "none"]


def load_pair(
    case: Case, *, seed: int = 0, threshold: Threshold = None, defects: Defects = "official"
) -> Pair:
    """Read a case that is a shape; where its files have no defect, cut one by seed and name.

    Where source or implant is not given, it is the target minus the other. Where source, target and
    implant disagree a little, source and implant count.

        >>> from tempfile import TemporaryDirectory
        >>> from zoo.datasets.phantoms.files import write_case
        >>> with TemporaryDirectory() as folder:
        ...     write_case(Path(folder), number=0, seed=1, resolution=32)
        ...     parts = "defective_skull", "complete_skull"
        ...     skulls = [Path(folder, part, "000.nii.gz") for part in parts]
        ...     pair = load_pair(Case("000", *skulls, implant=None))
        >>> pair.implant
        Volume(32x32x32 uint8, 6.4 x 6.4 x 6.4 mm, RAS)
        >>> bool((pair.defective.array + pair.implant.array == pair.complete.array).all())
        True

    Args:
        case: the case.
        seed: of the defect, together with the name of the case.
        threshold: voxels of a skull above it are occupied; "auto" finds the skull in a CT, and None
            is for masks. An implant is a mask, and has its two values already.
        defects: `official`, those in the files; `cut`, one is cut even so; `none`, the skull stays
            as it is.

    Returns:
        The complete skull, the defective one and the implant, uint8 {0, 1} on one grid.

    Raises:
        ReadError: a file is missing or damaged.
        VolumeError: a file that is not binary, another grid than the target's, files that do not
            belong together, or a skull without a vault to cut into. The message names the file.
    """
    files = [case.target]
    if defects == "official":
        files += [path for path in (case.source, case.implant) if path]
    with ThreadPoolExecutor(len(files)) as pool:
        volumes = dict(zip(files, pool.map(read_volume, files), strict=True))
    target = volumes[case.target]
    complete = _binary(target, case.target, threshold)
    if defects == "none":
        return _pair(target, complete, np.zeros_like(complete))
    if defects == "cut" or not case.has_defect:
        implant = _cut(target, complete, case, seed)
        return _pair(target, complete & ~implant, implant)
    defective, implant = _defect(case, volumes, complete, threshold)
    _check_together(case, complete, defective, implant)
    return _pair(target, defective, implant & ~defective)


def load_complete(case: Case, *, threshold: Threshold = None) -> Volume:
    """Read only the complete skull of a case.

        >>> from tempfile import TemporaryDirectory
        >>> from zoo.datasets.phantoms.files import write_case
        >>> with TemporaryDirectory() as folder:
        ...     write_case(Path(folder), number=0, seed=1, resolution=32)
        ...     path = Path(folder, "complete_skull", "000.nii.gz")
        ...     load_complete(Case("000", None, path, implant=None))
        Volume(32x32x32 uint8, 6.4 x 6.4 x 6.4 mm, RAS)

    Args:
        case: a case that is a shape.
        threshold: as for `load_pair`.

    Returns:
        The skull, uint8 {0, 1}.

    Raises:
        ReadError: the file is missing or damaged.
        VolumeError: it is not binary. The message names the file.
    """
    target = read_volume(case.target)
    return target.with_array(_binary(target, case.target, threshold).view(np.uint8))


def head_of(skull: Bools) -> Bools:
    """What defects are cut into: the largest connected component, bool (I, J, K) like the skull.

    So neither the table that a head lies on nor noise is taken for a part of it.
    """
    return largest_component(skull)


def _defect(
    case: Case, volumes: Mapping[Path, Volume], complete: Bools, threshold: Threshold
) -> tuple[Bools, Bools]:
    """The defective skull and the implant, of which at least one has a file."""
    defective = implant = complete
    target = volumes[case.target]
    if case.source is not None:
        source = on_grid(volumes[case.source], case.source, target, case.target)
        defective = _binary(source, case.source, threshold)
    if case.implant is not None:
        given = on_grid(volumes[case.implant], case.implant, target, case.target)
        implant = _binary(given, case.implant, None)
    if case.source is None:
        defective = complete & ~implant
    elif case.implant is None:
        implant = complete & ~defective
    if not defective.any():
        raise VolumeError(
            f"{case.implant}: wanted an implant for a part of {case.target}, got one that leaves"
            " nothing of it; check that the files are of one skull"
        )
    return defective, implant


def _pair(grid: Volume, defective: Bools, implant: Bools) -> Pair:
    parts = (defective, defective | implant, implant)
    return Pair(*(grid.with_array(part.view(np.uint8)) for part in parts))


def _binary(volume: Volume, path: Path, threshold: Threshold) -> Bools:
    try:
        return occupied_in(volume, threshold)[0]
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error


def on_grid(volume: Volume, path: Path, target: Volume, target_path: Path) -> Volume:
    """The volume, after checking that it lies on the target's grid."""
    if volume.shape != target.shape:
        raise VolumeError(
            f"{path}: wanted shape {target.shape}, as {target_path} has, got {volume.shape};"
            " use one grid for all of a case"
        )
    apart = _farthest(volume, target)
    if apart > FARTHEST * min(target.spacing):
        raise VolumeError(
            f"{path}: wanted the voxels where {target_path} has them, got them up to {apart:.3g} mm"
            " away; give both the same affine (spacing, axes and origin), or resample one"
        )
    return volume


def _farthest(one: Volume, other: Volume) -> float:
    """The largest distance in mm between the same corners of two grids of one shape."""
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * np.subtract(one.shape, 1)
    between = (one.affine - other.affine)[:3]
    return float(np.linalg.norm(corners @ between[:, :3].T + between[:, 3], axis=1).max())


def _check_together(case: Case, complete: Bools, defective: Bools, implant: Bools) -> None:
    size = np.count_nonzero(implant)
    beside = np.count_nonzero((defective | implant) != complete)
    twice = np.count_nonzero(defective & implant)
    if not size or beside + twice > MOST_DISAGREEMENT * size:
        files = " plus ".join(
            str(path) for path in (case.source or "what is left of it", case.implant) if path
        )
        raise VolumeError(
            f"{case.target}: wanted this skull to be {files}, got an implant of {size} voxels,"
            f" {twice} of them in the defective skull, and {beside} voxels that differ;"
            " check that the files are of one skull"
        )


def _cut(target: Volume, complete: Bools, case: Case, seed: int) -> Bools:
    """The implant of a defect cut into a complete skull, on the skull's own axes."""
    canonical = target.with_array(complete).canonical()
    head = head_of(np.asarray(canonical.array, dtype=bool))
    digest = hashlib.sha256(case.name.encode()).digest()
    rng = np.random.Generator(np.random.PCG64([seed, int.from_bytes(digest[:8], "little")]))
    for draw in range(1, DRAWS + 1):
        try:
            _, implant = cut_defect(head, canonical.spacing, rng, thinnest=THINNEST_BONE)
            break
        except VolumeError as error:
            if draw == DRAWS:
                raise VolumeError(f"{case.target}: {error}") from error
    return target.restore(implant).astype(bool)
