"""Cuts defects into the skulls of CTs, and measures the implants that are made for them.

    pip install embreex
    python benchmarks/implants.py CT... [--model M] [--defects N] [-o RESULT.csv]

Needs the plugin zoo-mesh. Bone that is cut out becomes soft tissue in the CT, which then goes the
whole way: the threshold is found, the skull completed, the implant written as a mesh. Printed are,
for each defect, the Dice of the implant's voxels with the bone that was cut out, that of the voxels
whose centres lie in the mesh, whether the mesh is watertight, and the roughness of the implant and
of what was cut out, in mm.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import zoo
from zoo.anatomy import bone_of
from zoo.datasets import THINNEST_BONE, head_of
from zoo.datasets.phantoms import cut_defect
from zoo.volumes import Volume, dice, roughness

SOFT_TISSUE = 40.0  # HU
COLUMNS = [
    "ct",
    "defect",
    "cut_ml",
    "implant_ml",
    "dice",
    "mesh_dice",
    "watertight",
    "roughness",
    "true_roughness",
]


def defective_cts(path: Path, count: int) -> Iterator[tuple[Volume, NDArray[np.bool_]]]:
    """CTs with a defect each, axes RAS, and the bone that was cut out, bool (I, J, K)."""
    ct = Volume.of(path).canonical()
    head = head_of(bone_of(ct).mask)
    for number in range(count):
        _, cut = cut_defect(head, ct.spacing, np.random.default_rng(number), thinnest=THINNEST_BONE)
        values = np.where(cut, np.float32(SOFT_TISSUE), ct.array)
        yield ct.with_array(values), cut


def voxels_of(mesh: Any, volume: Volume) -> NDArray[np.bool_]:
    """Which voxels of a volume have their centre in a mesh in RAS mm."""
    inside = np.zeros(volume.shape, bool)
    corners = (mesh.vertices - volume.affine[:3, 3]) @ np.linalg.inv(volume.affine[:3, :3]).T
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, None)
    box = tuple(map(slice, low, np.ceil(corners.max(axis=0)).astype(int) + 1))
    part = inside[box]
    places = np.indices(part.shape).reshape(3, -1).T + low
    part[...] = mesh.contains(places @ volume.affine[:3, :3].T + volume.affine[:3, 3]).reshape(
        part.shape
    )
    return inside


def measured(model: zoo.Model, ct: Volume, cut: NDArray[np.bool_]) -> dict[str, Any]:
    """What became of one defect."""
    import trimesh

    prediction = model.predict(ct, threshold="auto")
    implant, bone = prediction.implant, prediction.occupied.array
    row = {
        "cut_ml": np.count_nonzero(cut) * np.prod(ct.spacing) / 1000,
        "implant_ml": np.count_nonzero(implant.array) * np.prod(ct.spacing) / 1000,
        "dice": dice(implant.array, cut),
        "roughness": roughness(implant.array, bone, ct.spacing),
        "true_roughness": roughness(cut, bone, ct.spacing),
    }
    if not implant.array.any():
        return row
    with TemporaryDirectory() as folder:
        path = Path(folder, "implant.stl")
        implant.save(path)
        mesh = trimesh.load(path)
    return row | {"mesh_dice": dice(voxels_of(mesh, ct), cut), "watertight": mesh.is_watertight}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cts", nargs="+", type=Path, metavar="CT")
    parser.add_argument("--model", default="skull-completion-256")
    parser.add_argument("--defects", type=int, default=3, help="defects cut into each")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    model = zoo.load(given.model)
    rows = []
    writer = csv.DictWriter(sys.stdout, COLUMNS, delimiter="\t")
    writer.writeheader()
    for path in given.cts:
        for number, (ct, cut) in enumerate(defective_cts(path, given.defects)):
            row = {"ct": path.name.split(".")[0], "defect": number, **measured(model, ct, cut)}
            rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
            writer.writerow(rows[-1])
            sys.stdout.flush()
    for name in ("dice", "mesh_dice"):
        print(f"mean {name}: {np.mean([row.get(name, 0) for row in rows]):.3f}")
    if given.output:
        with given.output.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
