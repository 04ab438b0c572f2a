"""`python -m zoo_mesh IN OUT`: the surface of a file that the zoo reads."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import NoReturn

import numpy as np

from zoo.plugins import ConfigError, VolumeError, ZooError, atomic_path, check_output, read_volume
from zoo_mesh.files import encoder
from zoo_mesh.surfaces import SMOOTH, occupied_voxels, surface


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see --help)")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2, and one line, for what cannot be done."""
    parser = _Parser("python -m zoo_mesh", description="A watertight mesh, in RAS millimetres.")
    parser.add_argument("input", metavar="IN", type=Path, help="binary volume, any format")
    parser.add_argument(
        "output", metavar="OUT", type=Path, help="name ending in .stl, .ply, .obj, .3mf"
    )
    parser.add_argument(
        "--smooth", metavar="N", type=_rounds, default=SMOOTH, help=f"rounds; default {SMOOTH}"
    )
    try:
        options = parser.parse_args(arguments)
        print(convert(options.input, options.output, options.smooth))
    except ZooError as error:
        print("zoo-mesh:", *str(error).splitlines(), file=sys.stderr)
        return 2
    return 0


def convert(source: Path, target: Path, smooth: int) -> str:
    """Write the surface of a file's volume, whole or not at all; returns a line about it."""
    encode = encoder(target)
    check_output(target)
    volume = read_volume(source)
    try:
        mesh = surface(volume, smooth)
    except VolumeError as error:
        raise VolumeError(f"{source}: {error}") from error
    with atomic_path(target) as temporary:
        temporary.write_bytes(encode(mesh))
    voxels = occupied_voxels(volume).sum() * abs(np.linalg.det(volume.affine[:3, :3]))
    return (
        f"{target}: {len(mesh.faces)} triangles, watertight, {mesh.volume / 1e3:.4g} ml"
        f" ({mesh.volume / voxels - 1:+.1%} against its voxels)"
    )


def _rounds(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise ArgumentTypeError(f"wanted a whole number, 0 or more, got {text!r}")


if __name__ == "__main__":
    sys.exit(main())
