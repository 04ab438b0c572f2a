"""Memory that is free below limits on a process, and what a prediction says that hits one."""

import resource
import subprocess
import sys

import psutil
import pytest
from command_line import hollow_box

from zoo import memory

MEGABYTE = 1 << 20


def group(folder, files, limit, usage, stat="inactive_file 300\nactive_file 50\nanon 7\n"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files[0]).write_text(f"{limit}\n")
    (folder / files[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(stat)


def listed(root, text):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_a_control_group_and_those_around_it_limit(tmp_path):
    """Version 2: the job has no limit of its own, the batch system's user has."""
    listed(tmp_path, "0::/user/job\n")
    files, mounted = ("memory.max", "memory.current"), tmp_path / "sys/fs/cgroup"
    group(mounted / "user/job", files, "max", 500)
    group(mounted / "user", files, 2000, 1500)
    assert list(memory._groups(tmp_path)) == [2000 - 1500 + 350]
    group(mounted / "user/job", files, 900, 500)
    assert list(memory._groups(tmp_path)) == [750, 850]


def test_a_container_sees_its_group_as_the_root(tmp_path):
    """Version 1, whose files a container has without the path that /proc names."""
    listed(tmp_path, "5:cpu:/\n4:hugetlb,memory:/docker/123\n")
    files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(tmp_path / "sys/fs/cgroup/memory", files, 4000, 1000, stat="")
    assert list(memory._groups(tmp_path)) == [3000]
    group(tmp_path / "sys/fs/cgroup/memory", files, 0x7FFFFFFFFFFFF000, 1000)
    assert list(memory._groups(tmp_path)) == []


def test_without_groups_the_machine_limits(tmp_path):
    assert list(memory._groups(tmp_path)) == []
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total


@pytest.mark.slow
def test_a_limit_on_the_address_space_is_one_line_where_it_is_too_low(tmp_path):
    """LLVM would end the process."""
    hollow_box().save(tmp_path / "in.nii.gz")
    words = ["predict", "skull-completion-64", "-i", tmp_path / "in.nii.gz", "-o"]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *map(str, words), str(tmp_path / "out.nii.gz")],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1024 * MEGABYTE,) * 2),
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "needs 400 MiB to compile and run; got" in done.stderr
    assert not list(tmp_path.glob("*out*"))
