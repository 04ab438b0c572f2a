"""Reading and writing by suffix: every bad input in one line, every output all or nothing."""

import errno
import gzip
import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from test_volume import numbered

from zoo import registries
from zoo.errors import ReadError, VolumeError, WriteError
from zoo.executors import Outputs, plan_jobs, volumes
from zoo.volumes.files import atomic_path, check_output, read_volume, write_volume
from zoo.volumes.volume import Volume

SUFFIXES = ["nii", "nii.gz", "nrrd", "npy", "npz"]
OLD = b"the old file"


def refused(error, path, action):
    """The one-line message of the error that `action` raises; it names the file."""
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def read_refused(path, error=ReadError):
    return refused(error, path, lambda: read_volume(path))


def write_refused(path):
    return refused(WriteError, path, lambda: write_volume(Volume.of(numbered()), path))


@pytest.fixture
def no_plugins(monkeypatch):
    """Only what the zoo itself brings, whatever is installed."""
    for registry in (registries.readers, registries.writers):
        monkeypatch.setattr(registry, "_get_entry_points", lambda: [])


@pytest.fixture
def folder_reader(monkeypatch):
    """A plugin that reads folders, zip archives and .dcm files."""
    for name in ("folder", "zip", "dcm"):
        monkeypatch.setitem(registries.readers.own, name, "test_files:read_ones")


def test_missing_file_and_folder(tmp_path, no_plugins):
    assert "no such file" in read_refused(tmp_path / "missing.nii")
    message = read_refused(tmp_path)
    assert "got a folder; for a DICOM series, pip install " in message
    assert "/zoo_plugins/zoo-dicom, or convert it" in message
    assert "regular file" in read_refused(Path(os.devnull))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files(suffix, tmp_path):
    path = tmp_path / f"v.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (9, 9, 9), np.uint8)
    write_volume(Volume.of(noise), path)
    whole = path.read_bytes()
    for length in (1, 3, 100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        assert f"wanted a complete .{suffix} file" in read_refused(path)
    path.write_bytes(b"")
    assert "empty" in read_refused(path)
    path.write_text("This is a text file, however long its text may be.\n" * 20)
    assert f"wanted a complete .{suffix} file" in read_refused(path)


def test_compressed_text_and_swapped_names(tmp_path):
    path = tmp_path / "v.nii.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(b"text" * 1000)
    assert "not a NIfTI header" in read_refused(path)
    path.rename(tmp_path / "v.nii")
    assert "not a NIfTI header" in read_refused(tmp_path / "v.nii")
    nib.Nifti1Image(numbered(), np.eye(4)).to_filename(tmp_path / "w.nii")
    (tmp_path / "w.nii").rename(tmp_path / "w.nii.gz")
    assert "Not a gzipped file" in read_refused(tmp_path / "w.nii.gz")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2), (4, 5, 6, 1, 3)])
def test_wrong_dimensions_name_file_and_shape(shape, tmp_path):
    path = tmp_path / "v.nii.gz"
    nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)).to_filename(path)
    assert f"got shape {shape}" in read_refused(path, VolumeError)


def test_colour_and_broken_affine(tmp_path):
    path = tmp_path / "v.nii"
    colour = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.Nifti1Image(colour, np.eye(4)).to_filename(path)
    assert "wanted real numbers" in read_refused(path, VolumeError)
    image = nib.Nifti1Image(numbered(), np.eye(4))
    image.set_sform(np.zeros((4, 4)), 1)
    image.to_filename(path)
    assert "invertible affine" in read_refused(path, VolumeError)


@pytest.mark.parametrize("name", ["v.vtk", "nii", "v", "v.nii.bz2"])
def test_unknown_suffix_lists_the_known(name, tmp_path, no_plugins):
    (tmp_path / name).write_bytes(b"x")
    listed = ", ".join(f".{suffix}" for suffix in registries.readers.names())
    assert listed in read_refused(tmp_path / name)
    assert ".nii.gz" in write_refused(tmp_path / name)


def test_longest_suffix_wins_in_any_case(tmp_path):
    for name in ("scan.1.2.NII.GZ", "scan.v2.Nii", "x.NPZ", "x.NPY", "x.NRRD", "x.NHDR"):
        write_volume(Volume.of(numbered()), tmp_path / name)
        assert np.array_equal(read_volume(tmp_path / name).array, numbered())
    assert (tmp_path / "scan.1.2.NII.GZ").read_bytes()[:2] == b"\x1f\x8b"


def test_output_that_cannot_be(tmp_path):
    absent = tmp_path / "a folder" / "v.nii"
    assert f"mkdir -p '{absent.parent}'" in write_refused(absent)
    (tmp_path / "v.nii").mkdir()
    assert "got a folder" in write_refused(tmp_path / "v.nii")
    assert "device" in refused(WriteError, os.devnull, lambda: check_output(os.devnull))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    assert "no permission" in write_refused(tmp_path / "v.nii")


def test_permission_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "no permission" in write_refused(tmp_path / "v.nii")
    (tmp_path / "w.nii").write_bytes(b"x")
    assert "no permission" in read_refused(tmp_path / "w.nii")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_leaves_the_old_file(suffix, tmp_path):
    """On a real, tiny file system where root may mount one."""
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"]
    if (
        os.geteuid()
        or subprocess.run(["mount", *options, tmp_path], capture_output=True).returncode
    ):
        pytest.skip("cannot mount a tmpfs")
    try:
        path = tmp_path / f"v.{suffix}"
        path.write_bytes(OLD)
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 64), np.uint8)
        message = refused(WriteError, path, lambda: write_volume(Volume.of(noise), path))
        assert "free some space" in message
        assert path.read_bytes() == OLD
        assert list(tmp_path.iterdir()) == [path]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), WriteError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError("a plugin's mistake"), WriteError),
        (VolumeError("unfit"), VolumeError),
    ],
    ids=["disk full", "Ctrl-C", "bug", "unfit"],
)
def test_interrupted_write_leaves_the_old_file(fault, seen, tmp_path, monkeypatch):
    def write_half(volume, path):
        path.write_bytes(b"half")
        path.with_name("companion.raw").write_bytes(b"half")
        raise fault

    monkeypatch.setitem(registries.writers.own, "nii", "zoo.volumes.formats.nifti:write")
    monkeypatch.setattr("zoo.volumes.formats.nifti.write", write_half)
    path = tmp_path / "v.nii"
    path.write_bytes(OLD)
    with pytest.raises(seen) as caught:
        write_volume(Volume.of(numbered()), path)
    assert seen is KeyboardInterrupt or str(path) in str(caught.value)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "report.tar.json"
    path.write_bytes(OLD)
    with atomic_path(path) as temporary:
        assert temporary.name == path.name
        temporary.write_text("{}")
        assert path.read_bytes() == OLD
    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_wants_a_file(tmp_path):
    with pytest.raises(WriteError, match=r"x\.json: not written"), atomic_path(tmp_path / "x.json"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_where_a_companion_cannot_be_written(tmp_path):
    (tmp_path / "v.mhd").write_text("old")
    (tmp_path / "v.zraw").mkdir()
    volume = Volume(np.ones((2, 2, 2), np.uint8))
    with pytest.raises(WriteError, match=r"v\.zraw: wanted a file name, got a folder"):
        volume.save(tmp_path / "v.mhd")
    assert (tmp_path / "v.mhd").read_text() == "old"


def test_atomic_path_moves_companions_along(tmp_path):
    with atomic_path(tmp_path / "v.nhdr") as temporary:
        temporary.write_text("header")
        temporary.with_suffix(".raw").write_text("data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.nhdr", "v.raw"]


def test_a_link_stays_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "v.nii"
    link.symlink_to(elsewhere / "real.nii")
    write_volume(Volume.of(numbered()), link)
    assert link.is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == ["real.nii"]
    assert np.array_equal(read_volume(link).array, numbered())


def test_new_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"x")
    write_volume(Volume.of(numbered()), tmp_path / "v.nii")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_plugin_adds_a_format(tmp_path, monkeypatch):
    monkeypatch.setitem(registries.readers.own, "bin", "nowhere:read")
    monkeypatch.setitem(registries.readers.own, "vol.bin", "test_files:read_ones")
    (tmp_path / "x.vol.bin").write_bytes(b"x")
    assert read_volume(tmp_path / "x.vol.bin").array.sum() == 8


def read_ones(path):
    return Volume.of(np.ones((2, 2, 2)))


def read_nothing(path):
    raise KeyError("Rows")


def test_a_plugin_reads_folders(tmp_path, folder_reader, monkeypatch):
    assert read_volume(tmp_path).array.sum() == 8
    assert "no such file" in read_refused(tmp_path / "absent")
    (tmp_path / "a.folder").write_bytes(b"x")
    assert "folder," not in read_refused(tmp_path / "a.folder").partition("one of")[2]
    monkeypatch.setitem(registries.readers.own, "folder", "test_files:read_nothing")
    assert "wanted a complete folder of one volume, got: 'Rows'" in read_refused(tmp_path)


@pytest.mark.parametrize("name", ["v.DCM", "v.zip", "v.folder"])
def test_an_unknown_suffix_names_the_plugin_that_reads_it(name, tmp_path, no_plugins):
    (tmp_path / name).write_bytes(b"x")
    message = read_refused(tmp_path / name)
    suffix = (tmp_path / name).suffix.lower()
    assert ("/zoo_plugins/zoo-dicom adds " + suffix in message) == (suffix != ".folder")
    assert ("pip install" in write_refused(tmp_path / name)) == (suffix == ".dcm")


@pytest.mark.parametrize("suffix", ["stl", "ply", "obj"])
def test_an_unknown_suffix_names_the_plugin_that_writes_it(suffix, tmp_path, no_plugins):
    path = tmp_path / f"v.{suffix}"
    assert f"/zoo_plugins/zoo-mesh adds .{suffix}" in write_refused(path)
    path.write_bytes(b"x")
    assert "rename or convert it" in read_refused(path)


def test_a_folder_without_volumes_is_one_to_its_reader(tmp_path, folder_reader):
    series, output = tmp_path / "series", tmp_path / "out.nii.gz"
    (series / "deeper").mkdir(parents=True)
    for name in ("IM1", "2.dcm", "3.DCM"):
        (series / name).write_bytes(b"x")
        assert volumes([series]) == [series]
    (job,) = plan_jobs([series], Outputs(output))
    assert (job.source, job.outputs.volume, job.folders) == (series, output, ())
    inside = series / "deeper" / "out.nii.gz"
    assert "the input" in refused(WriteError, inside, lambda: plan_jobs([series], Outputs(inside)))


def test_answers_to_what_is_only_read_are_nifti(tmp_path, folder_reader, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.nrrd", "b.zip", "c.dcm", "d.e/IM1"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    inputs = [Path("a.nrrd"), Path("b.zip"), Path("c.dcm"), Path("d.e")]
    jobs = plan_jobs(inputs, Outputs(Path("out"), report=Path("facts")))
    assert [job.outputs.volume.name for job in jobs] == [
        *("a.nrrd", "b.nii.gz", "c.nii.gz", "d.e.nii.gz")
    ]
    assert jobs[-1].outputs.report == Path("facts/d.e.json")
    monkeypatch.chdir(tmp_path / "d.e")
    (job, _) = plan_jobs([Path("."), tmp_path / "a.nrrd"], Outputs(tmp_path / "out"))
    assert job.outputs.volume.name == "d.e.nii.gz"


def test_a_folder_of_volumes_stays_all_of_them(tmp_path, folder_reader):
    for name in ("a.nii.gz", "b.zip", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert volumes([tmp_path]) == [tmp_path / "a.nii.gz", tmp_path / "b.zip"]
    (tmp_path / "c.dcm").write_bytes(b"x")
    assert "got both" in refused(ReadError, tmp_path, lambda: volumes([tmp_path]))


def test_a_folder_without_volumes_or_a_reader(tmp_path, no_plugins):
    (tmp_path / "1.dcm").write_bytes(b"x")
    message = refused(ReadError, tmp_path, lambda: volumes([tmp_path]))
    assert "no volume in this folder" in message and "/zoo_plugins/zoo-dicom" in message
