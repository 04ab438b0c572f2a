"""STL and PLY (both binary), OBJ and 3MF; the same mesh gives the same bytes.

Each has the remark SPACE=RAS, without which 3D Slicer takes a mesh for LPS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from trimesh import Trimesh

from zoo.plugins import Volume, WriteError
from zoo_mesh.surfaces import SMOOTH, surface

SPACE = b"SPACE=RAS"
STL_HEADER = 80  # bytes
UUID_TEXT = re.compile(rb'UUID="[^"]*"')
METADATA = b'<metadata name="Description">%s</metadata>' % SPACE


def write(volume: Volume, path: Path, smooth: int = SMOOTH) -> None:
    """Write the surface of a binary volume to a .stl, .ply, .obj or .3mf file, in RAS millimetres.

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


def _3mf(mesh: Trimesh) -> bytes:
    content: Any = mesh.export(file_type="3mf")
    written = BytesIO()
    with ZipFile(BytesIO(content)) as given, ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for member in sorted(given.namelist()):
            numbers = count()
            data = UUID_TEXT.sub(
                lambda _, numbers=numbers: b'UUID="%s"' % _uuid(next(numbers)), given.read(member)
            )
            if member.endswith(".model"):
                data = data.replace(b"<resources>", METADATA + b"<resources>", 1)
            archive.writestr(ZipInfo(member), data, ZIP_DEFLATED)  # of 1980: no clock in it
    return written.getvalue()


def _uuid(number: int) -> bytes:
    return str(uuid5(NAMESPACE_URL, f"zoo-mesh/{number}")).encode()


ENCODERS = {".stl": _stl, ".ply": _ply, ".obj": _obj, ".3mf": _3mf}
