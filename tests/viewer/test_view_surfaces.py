"""Meshes of shapes: where they lie, which way they face, and how many triangles they have."""

import struct
import sys

import numpy as np
import pytest
from view_cases import skull

from zoo.errors import MissingDependency
from zoo.viewer.surfaces import mesh


def decoded(content):
    """Points and triangles of an MZ3 file."""
    _, _, triangles, points, _ = struct.unpack("<2H3I", content[:16])
    faces = np.frombuffer(content, "<i4", 3 * triangles, 16).reshape(-1, 3)
    return np.frombuffer(content, "<f4", 3 * points, 16 + 12 * triangles).reshape(-1, 3), faces


@pytest.mark.parametrize("most", [None, 2000])
def test_the_surface_encloses_the_shape_in_millimetres(most):
    complete, _ = skull()
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (10, -20, 30)
    points, faces = decoded(mesh(complete, affine, most))
    a, b, c = points[faces].transpose(1, 0, 2).astype(float)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6  # positive: faces look outwards
    assert volume == pytest.approx(complete.sum() * 8, rel=0.2)  # SURFACE lies outside of one half
    assert np.mean([points.min(0), points.max(0)], axis=0) == pytest.approx([57, 27, 77], abs=0.2)
    assert most is None or len(faces) <= most


def test_what_is_too_thin_for_a_surface_has_none():
    speck = np.zeros((9, 9, 9), bool)
    assert mesh(speck, np.eye(4)) == b""
    speck[4, 4, 4] = True
    assert mesh(speck, np.eye(4)) == b""


def test_what_decimation_needs_is_said_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    complete, _ = skull()
    with pytest.raises(MissingDependency, match=r"needs fast_simplification, or --full; install"):
        mesh(complete, np.eye(4), 2000)
    assert mesh(complete, np.eye(4))
