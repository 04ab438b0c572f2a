"""STL and PLY (both binary) and OBJ; the same mesh gives the same bytes.

Each has the remark SPACE=RAS, without which 3D Slicer takes a mesh for LPS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimesh import Trimesh

from zoo.plugins import Volume, WriteError
from zoo_mesh.surfaces import SMOOTH, surface

SPACE = b"SPACE=RAS"
STL_HEADER = 80  # bytes


def write(volume: Volume, path: Path, smooth: int = SMOOTH) -> None:
    """Write the surface of a binary volume to a .stl, .ply or .obj file, in RAS millimetres.

    Raises:
        VolumeError: see `zoo_mesh.surface`.
        WriteError: the file's name has another suffix.
    """
    encode = encoder(path)
    path.write_bytes(encode(surface(volume, smooth)))


def encoder(path: Path) -> Callable[[Trimesh], bytes]:
    """What turns a mesh into the content of a file of that name."""
    if (suffix := path.suffix.lower()) in ENCODERS:
        return ENCODERS[suffix]
    raise WriteError(f"{path}: wanted a name that ends in {', '.join(ENCODERS)}; rename it")


def _stl(mesh: Trimesh) -> bytes:
    content: Any = mesh.export(file_type="stl")
    return SPACE.ljust(STL_HEADER) + bytes(content[STL_HEADER:])


def _ply(mesh: Trimesh) -> bytes:
    content: Any = mesh.export(file_type="ply", vertex_normal=False)
    return bytes(content.replace(b"end_header\n", b"comment %s\nend_header\n" % SPACE, 1))


def _obj(mesh: Trimesh) -> bytes:
    content: Any = mesh.export(file_type="obj", include_normals=False, header=SPACE.decode())
    return str(content).encode()


ENCODERS = {".stl": _stl, ".ply": _ply, ".obj": _obj}
