"""Closed surfaces, in RAS millimetres, of binary volumes: STL, PLY, OBJ and 3MF files.

import zoo

zoo.Volume.of("implant.nii.gz").save("implant.stl")
"""

from zoo_mesh.files import write
from zoo_mesh.surfaces import surface

zoo_plugin_api_version = 2
__all__ = ["surface", "write"]
