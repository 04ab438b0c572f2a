"""The bone of a skull from a CT: a threshold that the data give, and what is not skull left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.anatomy.cranium import Cranium, cranium_of
from zoo.errors import VolumeError
from zoo.volumes import Volume, binarise, components, largest_component

Threshold = float | str | None  # a value, "auto" (or "bone"), or none for what has two values
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Triple = tuple[float, float, float]

AUTOMATIC = ("auto", "bone")  # words for a threshold that the data give
CLASSES = 4  # of intensities: air, soft tissue, bone that is thin or spongy, dense bone
SAMPLED = 2_000_000  # voxels that the threshold is found from, about
AIR, BONE = -300.0, 300.0  # Hounsfield units: a CT has voxels below and above
PLAUSIBLE = (150.0, 450.0)  # Hounsfield units between which the threshold of bone lies
METAL = 2800.0  # Hounsfield units
THICK = 1.5  # mm: in thicker slices, the crown of the vault is darker than other bone
VAULT = 15.0  # mm from the cavity, within which the vault lies
CROWN = 0.6  # of the way from the middle of the cavity to its top
STANDS_OUT = 0.6  # of the height of the threshold above what surrounds a voxel
LEAST_METAL = 0.05  # ml in a slice, for there to be streaks in it
STREAK = 15.0  # mm around a voxel that is a streak if they are air on average
# The neck, mm from the foramen magnum: what is lower, and as near to the middle and as far forward.
BELOW, ASIDE, AHEAD = 3.0, 42.0, 48.0
WITHIN = (0.85, 1.08)  # of the radius of the vault: where an island of bone lies
LEAST_POINTS = 100
ISLAND = 0.05  # ml: smaller pieces apart from the skull are noise


@dataclass(frozen=True, eq=False)
class Bone:
    """The skull in a CT.

    Attributes:
        mask: bool (I, J, K), on the CT's grid.
        threshold: voxels above it were taken for bone or metal.
        facts: for a report: the threshold, the volumes in ml that were kept and removed.
        warnings: what looked odd, in words.
    """

    mask: Bools
    threshold: float
    facts: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def occupied_in(volume: Volume, threshold: Threshold) -> tuple[Bools, dict[str, Any]]:
    """Which voxels of a volume are occupied, and facts about it with `warnings`, if any are known.

        >>> import numpy as np
        >>> occupied_in(Volume(np.array([[[-1000, 40, 900]]])), 300)
        (array([[[False, False,  True]]]), {})

    Args:
        volume: a mask, or a scan with a threshold.
        threshold: voxels above it are occupied; "auto" or "bone": those of the skull in a CT; None
            for a volume with two values.

    Raises:
        VolumeError: as for `bone_of` and `zoo.volumes.binarise`.
    """
    if not isinstance(threshold, str):
        return binarise(volume, threshold), {}
    if threshold not in AUTOMATIC:
        raise VolumeError(
            f"wanted a number, or one of {', '.join(AUTOMATIC)}, for the threshold, got"
            f" {threshold!r}"
        )
    found = bone_of(volume)
    return found.mask, {**found.facts, "warnings": found.warnings}


def bone_of(scan: Volume) -> Bone:
    """Find the skull in a CT of a head, which may have a hole, a headrest and a neck.

        >>> import numpy as np
        >>> grid = np.indices((60, 70, 60)) - np.array([30, 35, 30]).reshape(3, 1, 1, 1)
        >>> radius = np.linalg.norm(grid, axis=0)
        >>> ct = np.where(radius < 27, 40.0, np.where(radius < 30, 900.0, -1000.0))
        >>> ct[5:55, 1:3, 5:55] = 500  # a plate that the head lies on
        >>> found = bone_of(Volume(ct, np.diag([3, 3, 3, 1])))
        >>> 40 < found.threshold < 900, bool(found.mask[:, 1:3].any())
        (True, False)

    Args:
        scan: a CT, in Hounsfield units, or with other values of which bone has the greatest.

    Raises:
        VolumeError: NaN, or no voxel is bone.
    """
    canonical = scan.canonical()
    values = np.asarray(canonical.array)
    threshold, warnings = _threshold(values)
    spacing = canonical.spacing
    bright = binarise(canonical, threshold)
    in_hu = not warnings
    if in_hu:
        bright, metal = _without_streaks(bright, values, spacing)
        if metal:
            warnings.append(f"metal in {metal} slices, whose streaks may count as bone")
    skull, facts, cranium = _skull(bright, values, threshold, spacing)
    if cranium is None:
        warnings.append("no cranial cavity found: is it a head?")
    else:
        warnings += cranium.doubts
    kept = np.ascontiguousarray(scan.restore(skull))
    return Bone(kept, threshold, {"threshold": round(threshold, 1), **facts}, warnings)


def in_hounsfield_units(values: NDArray[Any]) -> bool:
    """Whether a scan (I, J, K) has values as air has and as bone has."""
    low, high = np.percentile(_sampled(values), (0.1, 99.9))
    return bool(low < AIR and high > BONE)


def bone_threshold(values: NDArray[Any]) -> float:
    """The intensity above which a scan (I, J, K) shows bone, from a sample of its values."""
    return _threshold(values)[0]


def _sampled(values: NDArray[Any]) -> Floats:
    """About two million of a scan's values, evenly over it."""
    step = max(1, round((values.size / SAMPLED) ** (1 / 3)))
    return values[::step, ::step, ::step].astype(np.float32).ravel()


def _threshold(values: NDArray[Any]) -> tuple[float, list[str]]:
    """The value that separates soft tissue from bone, and what looked odd.

    Of Otsu's boundaries between four classes of intensities, it is the first above the commonest
    intensity of soft tissue. P. Liao et al., "A fast algorithm for multilevel thresholding", 2001.
    """
    from skimage.filters import threshold_multiotsu

    sample = _sampled(values)
    if not np.isfinite(sample).all():
        raise VolumeError("wanted finite values, got NaN or infinite voxels; replace them first")
    low, high = np.percentile(sample, (0.1, 99.9))
    distinct = len(np.unique(sample))
    if low >= high or distinct <= 2:
        raise VolumeError(
            "wanted the intensities of a CT for the threshold auto, got two different values or"
            " one: leave --threshold out for a mask"
        )
    in_hu = in_hounsfield_units(values)
    if in_hu:
        low = max(low, -1000.0)
    sample = np.clip(sample, low, high)
    try:
        boundaries = threshold_multiotsu(sample, min(CLASSES, distinct)).tolist()
    except ValueError as error:
        raise VolumeError(f"no threshold of bone found: {error}; give --threshold") from error
    tissue = sample[sample > (max(boundaries[0], -200) if in_hu else boundaries[0])]
    counts, edges = np.histogram(tissue, bins=64)
    commonest = float(edges[counts.argmax() : counts.argmax() + 2].mean())
    above = [value for value in boundaries if value > commonest]
    threshold = above[0] if above else boundaries[-1]
    if in_hu:
        return float(np.clip(threshold, *PLAUSIBLE)), []
    return float(threshold), [
        f"values from {values.min():g} to {values.max():g} are not Hounsfield units:"
        " check what the threshold took for bone"
    ]


def _crown(
    values: NDArray[Any], threshold: float, cranium: Cranium, spacing: Triple
) -> tuple[tuple[slice, ...], Bools] | None:
    """Bone of the crown that fills its voxels in part, where axial slices are thick.

    A vault that is as thin as a slice, and nearly parallel to it, is averaged with what is above
    and below: darker than the threshold, it stands out from what is two slices above and below.

    Returns:
        A bounding box around the crown, and bool of its shape; None where slices are
        thin.
    """
    from scipy import ndimage

    if spacing[2] < THICK:
        return None
    beside = np.asarray(ndimage.distance_transform_edt(~cranium.cavity, sampling=cranium.spacing))
    near = (beside > 0) & (beside <= VAULT)
    top = (np.flatnonzero(cranium.cavity.any(axis=(0, 1)))[-1] + 1) * cranium.spacing[2]
    first = int((cranium.centre[2] + CROWN * (top - cranium.centre[2])) / spacing[2])
    count = values.shape[2]
    if first < 2 or first >= count:
        return None
    padded = np.pad(values[:, :, first - 2 :].astype(np.float32), [(0, 0), (0, 0), (0, 2)], "edge")
    middle = padded[:, :, 2:-2]
    below = np.minimum(padded[:, :, 1:-3], padded[:, :, :-4])
    above = np.minimum(padded[:, :, 3:-1], padded[:, :, 4:])
    around = np.maximum(below, above)
    ridge = middle > around + STANDS_OUT * (threshold - around)
    ridge &= (middle >= padded[:, :, 1:-3]) & (middle >= padded[:, :, 3:-1])
    i, j, k = (
        np.minimum((np.arange(start, stop) + 0.5) * fine // coarse, n - 1).astype(int)
        for start, stop, fine, coarse, n in zip(
            (0, 0, first), values.shape, spacing, cranium.spacing, near.shape, strict=True
        )
    )
    ridge &= near[np.ix_(i, j, k)]
    return (slice(None), slice(None), slice(first, None)), ridge


def _without_streaks(bright: Bools, values: NDArray[Any], spacing: Triple) -> tuple[Bools, int]:
    """Bright voxels but those in air beside metal, and the number of axial slices with metal."""
    from scipy import ndimage

    metal = np.count_nonzero(values > METAL, axis=(0, 1)) * np.prod(spacing) / 1000
    slices = np.flatnonzero(metal > LEAST_METAL)
    kept = bright.copy() if len(slices) else bright
    sizes = [max(3, round(2 * STREAK / length)) for length in spacing[:2]]
    for k in slices:
        around = ndimage.uniform_filter(
            np.clip(values[:, :, k].astype(np.float32), -1000, 1000), sizes, mode="nearest"
        )
        kept[:, :, k] &= around > AIR
    return kept, len(slices)


def _skull(
    bright: Bools, values: NDArray[Any], threshold: float, spacing: Triple
) -> tuple[Bools, dict[str, Any], Cranium | None]:
    """The skull of what is bright: its component without the neck, and islands in its vault."""
    ml = float(np.prod(spacing)) / 1000
    total = int(np.count_nonzero(bright))
    skull = largest_component(bright, connectivity=6)
    cranium = cranium_of(skull, spacing)
    neck = 0
    if cranium is not None:
        box = _neck(cranium, spacing, skull.shape)
        neck = int(np.count_nonzero(skull[box]))
        if neck:
            skull[box] = False
            whole = np.count_nonzero(skull)
            skull = largest_component(skull, connectivity=6)
            neck += int(whole - np.count_nonzero(skull))
        if (crown := _crown(values, threshold, cranium, spacing)) is not None:
            box, ridge = crown
            total += int(np.count_nonzero(ridge & ~bright[box]))
            bright[box] |= ridge
            skull[box] |= ridge
            skull = largest_component(skull)
            cranium = cranium_of(skull, spacing) or cranium
        skull |= _islands(bright & ~skull, skull, cranium, spacing)
    kept = int(np.count_nonzero(skull))
    facts = {
        "skull_ml": round(kept * ml, 1),
        "neck_removed_ml": round(neck * ml, 1),
        "others_removed_ml": round((total - kept - neck) * ml, 1),
    }
    return skull, facts, cranium


def _neck(cranium: Cranium, spacing: Triple, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box below the foramen magnum that holds the vertebrae, but not jaw and mastoids."""
    x, y, z = cranium.foramen
    limits = ((x - ASIDE, x + ASIDE), (-np.inf, y + AHEAD), (-np.inf, z - BELOW))
    box = []
    for (low, high), length, count in zip(limits, spacing, shape, strict=True):
        start, stop = np.clip((low / length, high / length), 0, count).round().astype(int).tolist()
        box.append(slice(start, stop))
    return tuple(box)


def _islands(others: Bools, skull: Bools, cranium: Cranium, spacing: Triple) -> Bools:
    """Pieces of bone in a hole of the vault: where the ellipsoid that fits the vault runs."""
    import cc3d

    labels = components(others)
    found = cc3d.statistics(labels)
    sizes = found["voxel_counts"].astype(int) * float(np.prod(spacing)) / 1000
    middles = (found["centroids"] + 0.5) * spacing
    keep = (sizes >= ISLAND) & (middles[:, 2] > cranium.foramen[2])
    keep[0] = False
    ellipsoid = _ellipsoid(skull, cranium, spacing)
    if not keep.any() or ellipsoid is None:
        return np.zeros_like(skull)
    centre, axes = ellipsoid
    ratios = np.linalg.norm((middles - centre) / axes, axis=1)
    keep &= (ratios > WITHIN[0]) & (ratios < WITHIN[1])
    islands: Bools = keep[labels]
    return islands


def _ellipsoid(
    skull: Bools, cranium: Cranium, spacing: Triple
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Centre and semi-axes, mm, of the ellipsoid with axes RAS that fits the vault best."""
    factors = [
        max(1, round(coarse / fine)) for coarse, fine in zip(cranium.spacing, spacing, strict=True)
    ]
    i, j, k = factors
    points = (np.argwhere(skull[::i, ::j, ::k]) * factors + 0.5) * spacing
    points = points[points[:, 2] > cranium.centre[2]] - cranium.centre
    if len(points) < LEAST_POINTS:
        return None
    # a x2 + b y2 + c z2 + d x + e y + f z = 1
    terms = np.hstack([np.square(points), points])
    solution = np.linalg.lstsq(terms, np.ones(len(points)), rcond=None)[0]
    squares, linear = solution[:3], solution[3:]
    if (squares <= 0).any():
        return None
    middle = -linear / (2 * squares)
    axes = np.sqrt((1 + (squares * middle**2).sum()) / squares)
    return middle + cranium.centre, axes
