"""Meshes of shapes whose volume, area and place are known."""

import subprocess
import sys
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
import trimesh
from zoo_mesh import surface, write
from zoo_mesh.__main__ import main
from zoo_mesh.surfaces import REACH

from zoo import Volume, registries
from zoo.plugins import About, VolumeError

SUFFIXES = ["stl", "ply", "obj"]  # 3mf is a zip archive, and has tests of its own
GRID = (48, 44, 40)
CENTRE = (22.7, 21.4, 19.6)  # of a ball, in voxels


def affine_of(spacing, turn=(0.0, 0.0, 0.0), origin=(-40.0, 25.5, 130.25)):
    """Voxels of some spacing in mm (negative: flipped), turned about the three axes, in radians."""
    affine = trimesh.transformations.euler_matrix(*turn)
    affine[:3, :3] *= spacing
    affine[:3, 3] = origin
    return affine


AFFINES = {
    "1 mm": affine_of((1.0, 1.0, 1.0)),
    "negative": affine_of((-0.5, 0.5, 0.5)),
    "LPS": affine_of((-0.7, -0.7, 0.7)),
    "anisotropic": affine_of((0.8, 0.8, 1.25)),
    "oblique": affine_of((0.6, 0.6, 0.6), (0.3, -0.2, 0.5)),
    "all of it": affine_of((0.9, -0.7, 1.2), (0.4, 0.7, -0.6), (11.0, -300.0, 95.5)),
}
every_affine = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)


def millimetres(affine, indices):
    return np.asarray(indices) @ affine[:3, :3].T + affine[:3, 3]


def distances(affine, shape=GRID, centre=CENTRE):
    """(I, J, K): from every voxel's centre to that of the ball, in mm."""
    indices = np.moveaxis(np.indices(shape), 0, -1)
    return np.linalg.norm(millimetres(affine, indices) - millimetres(affine, centre), axis=-1)


def radius(affine):
    return 15 * np.linalg.norm(affine[:3, :3], axis=0).min()  # mm: 15 voxels or fewer


def ball(affine):
    return Volume(distances(affine) < radius(affine), affine)


def cap(thickness, affine):
    """Part of a sphere's wall, like an implant of the skull; `thickness` in voxels of 1."""
    away = distances(np.eye(4), (48, 48, 24), (23.6, 24.2, -16.0))
    return Volume((abs(away - 30) < thickness / 2).astype(np.uint8), affine)


@every_affine
@pytest.mark.parametrize(("smooth", "roughness"), [(0, 0.12), (20, 0.02)])
def test_ball(affine, smooth, roughness):
    mesh, r = surface(ball(affine), smooth), radius(affine)
    centre = millimetres(affine, CENTRE)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.body_count == 1
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * r**3, rel=0.006)
    assert mesh.area == pytest.approx(4 * np.pi * r**2, rel=roughness)
    assert np.linalg.norm(mesh.center_mass - centre) < 0.005 * r
    assert (((mesh.triangles_center - centre) * mesh.face_normals).sum(axis=1) > 0).all()


@every_affine
def test_smoothing_keeps_the_volume_and_brings_the_ball_closer(affine):
    rough, smooth = surface(ball(affine), 0), surface(ball(affine))
    assert smooth.volume == pytest.approx(rough.volume, rel=0.006)
    away = [
        abs(np.linalg.norm(mesh.vertices - millimetres(affine, CENTRE), axis=1) - radius(affine))
        for mesh in (rough, smooth)
    ]
    assert np.sqrt(np.mean(away[1] ** 2)) < 0.6 * np.sqrt(np.mean(away[0] ** 2))


@every_affine
def test_box_lies_where_its_voxels_are(affine):
    grid = np.zeros(GRID, np.uint8)
    grid[4:34, 10:30, 5:15] = 1
    rough, smooth = surface(Volume(grid, affine), 0), surface(Volume(grid, affine))
    true = 30 * 20 * 10 * abs(np.linalg.det(affine[:3, :3]))
    assert rough.volume == pytest.approx(true, rel=0.01)  # its edges are bevelled
    assert smooth.volume == pytest.approx(true, rel=0.01)
    for mesh, off in ((rough, 1e-4), (smooth, 0.2)):
        inside = trimesh.transform_points(mesh.vertices, np.linalg.inv(affine))
        assert np.allclose(inside.min(axis=0), (3.5, 9.5, 4.5), rtol=0, atol=off)
        assert np.allclose(inside.max(axis=0), (33.5, 29.5, 14.5), rtol=0, atol=off)
        middle = millimetres(affine, (18.5, 19.5, 9.5))
        assert np.allclose(mesh.center_mass, middle, rtol=0, atol=1e-3)


@every_affine
def test_cavity_stays_and_its_normals_point_into_it(affine):
    away, r = distances(affine), radius(affine)
    mesh = surface(Volume((away < r) & (away > r / 2), affine))
    assert mesh.is_watertight and mesh.body_count == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * (r**3 - (r / 2) ** 3), rel=0.01)
    outwards = mesh.triangles_center - millimetres(affine, CENTRE)
    wall = np.linalg.norm(outwards, axis=1) < 0.75 * r
    facing = (outwards * mesh.face_normals).sum(axis=1)
    assert wall.any() and (facing[wall] < 0).all() and (facing[~wall] > 0).all()


@pytest.mark.parametrize("thickness", [1, 1.5, 2, 4, 8])
def test_thin_implants_keep_volume_and_place(thickness):
    volume = cap(thickness, AFFINES["all of it"])
    rough, smooth = surface(volume, 0), surface(volume)
    assert smooth.is_watertight and smooth.body_count == rough.body_count == 1
    assert smooth.volume == pytest.approx(rough.volume, rel=0.01)
    moved = (smooth.vertices - rough.vertices) @ np.linalg.inv(volume.affine[:3, :3]).T
    assert REACH / 2 < abs(moved).max() < REACH + 1e-4


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("smooth", [0, 20])
def test_noise_is_watertight(share, smooth):
    for seed in range(5):
        noise = np.random.default_rng(seed).random((12, 11, 10)) < share
        assert surface(Volume(noise), smooth).is_watertight


def test_voxels_that_share_an_edge_hold_together():
    corners = np.zeros((2, 2, 1), bool)
    corners[0, 0] = corners[1, 1] = True
    assert surface(Volume(corners)).body_count == 1


def test_a_full_grid_is_closed_at_its_edges():
    mesh = surface(Volume(np.full((6, 7, 8), 3)), 0)
    assert mesh.is_watertight
    assert np.allclose(mesh.bounds, [[-0.5] * 3, [5.5, 6.5, 7.5]], atol=1e-4)


@pytest.mark.parametrize("values", [(0, 255), (1, 2), (-1, 0), (0.0, 0.3), (False, True)])
def test_any_two_values(values):
    grid = np.array(values)[(distances(np.eye(4)) < 9).astype(int)]
    inside = surface(Volume(grid))
    if values == (-1, 0):  # what is not zero is occupied: the grid without the ball
        assert inside.volume == pytest.approx(np.prod(GRID) - 4 / 3 * np.pi * 9**3, rel=0.01)
    else:
        assert inside.volume == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.01)


@every_affine
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saved_by_the_zoo_and_read_back(affine, suffix, tmp_path):
    path = tmp_path / f"ball.{suffix}"
    ball(affine).save(path)
    back = trimesh.load_mesh(path)
    assert back.is_watertight and back.is_winding_consistent
    assert back.volume == pytest.approx(4 / 3 * np.pi * radius(affine) ** 3, rel=0.006)
    assert np.linalg.norm(back.center_mass - millimetres(affine, CENTRE)) < 0.005 * radius(affine)
    assert b"SPACE=RAS" in path.read_bytes()[:300]


def test_smoothing_is_the_writers_too(tmp_path):
    for smooth in (0, 20):
        write(ball(np.eye(4)), tmp_path / "ball.stl", smooth)
        back = trimesh.load_mesh(tmp_path / "ball.stl")
        assert back.area == pytest.approx(surface(ball(np.eye(4)), smooth).area, rel=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_volume_gives_same_bytes(suffix, tmp_path):
    volume = cap(3, AFFINES["all of it"])
    contents = set()
    for order in "CFC":
        path = tmp_path / f"cap.{suffix.upper()}"
        volume.with_array(np.array(volume.array, order=order)).save(path)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_3mf_is_in_millimetres_closed_and_always_the_same(tmp_path):
    for name in ("a.3mf", "b.3mf"):
        ball(AFFINES["oblique"]).save(tmp_path / name)
    assert (tmp_path / "a.3mf").read_bytes() == (tmp_path / "b.3mf").read_bytes()
    with ZipFile(tmp_path / "a.3mf") as archive:
        model = archive.read("3D/3dmodel.model")
    assert b'unit="millimeter"' in model and b"SPACE=RAS" in model
    back = trimesh.load_mesh(tmp_path / "a.3mf")
    wanted = surface(ball(AFFINES["oblique"]))
    assert back.is_watertight and back.volume == pytest.approx(wanted.volume, rel=1e-4)


def test_a_surface_that_is_known_better_than_the_voxels_is_meshed():
    """As of an implant that the zoo predicted: a field on a grid of its own."""
    volume = ball(np.diag([4.0, 4.0, 4.0, 1.0]))
    fine = np.diag([1.0, 1.0, 1.0, 1.0])
    fine[:3, 3] = 10.0
    places = np.moveaxis(np.indices((90, 90, 90)), 0, -1) + 10.0
    field = 30.0 - np.linalg.norm(places - 55.0, axis=-1)
    about = About(surface=lambda: Volume(field.astype(np.float32), fine))
    mesh = surface(replace(volume, about=about))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 30**3, rel=0.005)
    assert np.allclose(mesh.center_mass, 55.0, atol=0.05)
    away = np.linalg.norm(mesh.vertices - 55.0, axis=1)
    assert np.ptp(away) < 0.2  # no steps of 4 mm


def test_crumbs_of_a_field_are_left_out():
    places = np.moveaxis(np.indices((60, 60, 60)), 0, -1)
    ball_, crumb = (
        radius - np.linalg.norm(places - centre, axis=-1)
        for radius, centre in ((15.0, (25, 30, 30)), (1.4, (50, 50, 50)))
    )
    field = np.maximum(ball_, crumb).astype(np.float32)
    volume = Volume(field > 0)
    mesh = surface(replace(volume, about=About(surface=lambda: Volume(field))))
    assert mesh.body_count == 1 and mesh.is_watertight


def test_the_zoo_knows_who_brings_the_writers():
    assert {registries.writers.origin(suffix) for suffix in [*SUFFIXES, "3mf"]} == {
        "zoo-mesh 0.1.0"
    }
    assert registries.writers.problems() == []


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.arange(27).reshape(3, 3, 3), "binary volume, got more than two values .* 0 and 26"),
        (np.full((3, 3, 3), np.nan), "binary volume, .* nan"),
        (np.zeros((3, 3, 3)), "occupied voxel, got none"),
    ],
)
def test_what_cannot_be_meshed(array, said, tmp_path):
    (tmp_path / "there.stl").write_text("before")
    with pytest.raises(VolumeError, match=f"there.stl: wanted an? {said}") as caught:
        Volume(array).save(tmp_path / "there.stl")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "there.stl").read_text() == "before"


def test_a_surface_that_the_file_cannot_hold_is_refused():
    """Voxels so small, so far from the origin, that float32 cannot tell their corners apart."""
    tiny = affine_of((1e-6, 1e-6, 1e-6), origin=(500.0, 500.0, 500.0))
    with pytest.raises(VolumeError, match=r"watertight .* \d+ of \d+ edges .* repair") as caught:
        surface(Volume(distances(np.eye(4)) < 9, tiny))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_command(suffix, tmp_path):
    affine = AFFINES["negative"]
    source, target = tmp_path / "ball.nii.gz", tmp_path / f"ball.{suffix}"
    ball(affine).save(source)
    command = [sys.executable, "-m", "zoo_mesh", source, target, "--smooth", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{target}: ") and "watertight" in done.stdout
    back = trimesh.load_mesh(target)
    assert back.volume == pytest.approx(surface(ball(affine), 5).volume, rel=1e-5)
    assert back.volume != pytest.approx(surface(ball(affine)).volume, rel=1e-5)


def test_command_says_in_one_line_what_is_wrong(tmp_path, capsys):
    Volume(np.arange(27).reshape(3, 3, 3)).save(tmp_path / "labels.nii")
    Volume(np.eye(3)[None] > 0).save(tmp_path / "good.nii")
    cases = {
        "nowhere.nii out.stl": "no such file",
        "labels.nii out.stl": "labels.nii: wanted a binary volume",
        "good.nii out.vtk": "wanted a name that ends in .stl, .ply, .obj",
        "good.nii nowhere/out.stl": "folder does not exist",
        "good.nii out.stl --smooth -1": "wanted a whole number, 0 or more, got '-1'",
        "good.nii": "OUT",
    }
    for words, said in cases.items():
        arguments = [str(tmp_path / word) if "." in word else word for word in words.split()]
        assert main(arguments) == 2, words
        printed = capsys.readouterr()
        assert printed.out == "" and said in printed.err and printed.err.count("\n") == 1
    assert not list(tmp_path.glob("out*"))
