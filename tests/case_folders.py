"""Tiny data sets in every layout; each maker returns the names of its cases."""

import json

import numpy as np

from zoo.datasets.layouts import DEFECTS, LAYOUTS
from zoo.volumes.volume import Volume

WHOLE = np.zeros((8, 9, 10), np.uint8)
WHOLE[1:7, 1:8, 1:9] = 1
PIECE = np.zeros_like(WHOLE)
PIECE[1:7, 1:8, 7:9] = 1
PARTS = {"complete_skull": WHOLE, "defective_skull": WHOLE - PIECE, "implant": PIECE}
SPACING = np.diag([0.4, 0.4, 0.8, 1.0])


def save(path, array=WHOLE, affine=SPACING):
    path.parent.mkdir(parents=True, exist_ok=True)
    Volume(array, affine).save(path)
    return path


def skullfix(folder, suffix):
    for part, array in PARTS.items():
        for name in ("000", "001"):
            save(folder / part / f"{name}.{suffix}", array)
    return ["000", "001"]


def skullbreak(folder, suffix):
    for name in ("000", "001"):
        save(folder / "complete_skull" / f"{name}.{suffix}")
        for kind in DEFECTS:
            for part in ("defective_skull", "implant"):
                save(folder / part / kind / f"{name}.{suffix}", PARTS[part])
    return [f"{kind}/{name}" for kind in DEFECTS for name in ("000", "001")]


def mug500(folder, suffix):
    save(folder / "A0001" / f"A0001.{suffix}", PIECE)
    save(folder / "A0001" / f"A0001_clear.{suffix}")
    save(folder / "A0002" / f"mask.{suffix}")
    save(folder / "B0001" / f"B0001.{suffix}")
    return ["A0001", "A0002"]


def complete(folder, suffix):
    for name in ("one", "two"):
        save(folder / f"{name}.{suffix}")
    save(folder / f"._one.{suffix}")  # as macOS leaves behind
    return ["one", "two"]


def table(folder, suffix):
    skullfix(folder / "files", suffix)
    paths = [f"files/{part}/000.{suffix}" for part in ("defective_skull", "complete_skull")]
    lines = [f"cut,,{paths[1]}", f"b, {paths[0]} ,{paths[1]},files/implant/000.{suffix}"]
    (folder / "cases.csv").write_text("\n".join(["\ufeffname,source,target,implant", *lines]))
    return ["cut", "b"]


def segthor(folder, suffix):
    for name in ("Patient_01", "Patient_40"):
        save(folder / name / f"{name}.{suffix}")
        save(folder / name / f"GT.{suffix}", PIECE)
    return ["Patient_01", "Patient_40"]


def nnunet(folder, suffix):
    for name in ("a_001", "b"):
        save(folder / "imagesTr" / f"{name}_0000.{suffix}")
        save(folder / "labelsTr" / f"{name}.{suffix}", PIECE)
    write_facts(folder, {"labels": {"background": 0, "vault": 1, "skull": [1, 2]}})
    return ["a_001", "b"]


def decathlon(folder, suffix):
    names = ["skull_002", "skull_010"]
    pairs = []
    for name in reversed(names):
        pair = {"image": f"./imagesTr/{name}.{suffix}", "label": f"./labelsTr/{name}.{suffix}"}
        save(folder / pair["image"])
        save(folder / pair["label"], PIECE)
        pairs.append(pair)
    write_facts(folder, {"labels": {"0": "background", "1": "vault"}, "training": pairs})
    return names


def totalsegmentator(folder, suffix):
    for name in ("s0001", "s0002"):
        save(folder / name / f"ct.{suffix}")
        for part, array in {"skull": WHOLE, "vault": PIECE}.items():
            save(folder / name / "segmentations" / f"{part}.{suffix}", array)
    (folder / "meta.csv").write_text("image_id;age\n")
    return ["s0001", "s0002"]


def write_facts(folder, facts):
    (folder / "dataset.json").write_text(json.dumps(facts))


MAKERS = (
    *(skullfix, skullbreak, mug500, complete, table),
    *(segthor, nnunet, decathlon, totalsegmentator),
)
MAKE = dict(zip(LAYOUTS, MAKERS, strict=True))
