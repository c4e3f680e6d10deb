"""What the operating system is asked: locks, this boot, and the kernel's count of out-of-memory kills."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tuneport_local.process import OomCount, boot_id, is_locked, oom_count, signal_name, try_lock

EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VMSTAT = "nr_free_pages 5\noom_kill {}\nswap_ra 0\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_our_own_cgroup_is_asked_first(tmp_path: Path) -> None:
    put(tmp_path / "proc/self/cgroup", "0::/user.slice/app\n")
    put(tmp_path / "proc/vmstat", VMSTAT.format(99))
    file = put(tmp_path / "cg/user.slice/app/memory.events", EVENTS.format(2))
    assert oom_count(tmp_path / "proc", tmp_path / "cg") == OomCount(2, file)


def test_in_a_container_the_mounts_root_is_our_own(tmp_path: Path) -> None:
    put(tmp_path / "proc/self/cgroup", "0::/system.slice/docker-12.scope\n")
    file = put(tmp_path / "cg/memory.events", EVENTS.format(1))
    assert oom_count(tmp_path / "proc", tmp_path / "cg") == OomCount(1, file)


def test_version_1_and_a_mixed_machine(tmp_path: Path) -> None:
    put(tmp_path / "proc/self/cgroup", "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/\n0::/\n")
    file = put(tmp_path / "cg/memory/a/b/memory.oom_control", CONTROL.format(7))
    assert oom_count(tmp_path / "proc", tmp_path / "cg") == OomCount(7, file)


def test_else_the_whole_machine(tmp_path: Path) -> None:
    put(tmp_path / "proc/self/cgroup", "0::/\n")
    file = put(tmp_path / "proc/vmstat", VMSTAT.format(4))
    assert oom_count(tmp_path / "proc", tmp_path / "cg") == OomCount(4, file)


def test_a_system_without_a_counter_says_nothing(tmp_path: Path) -> None:
    assert oom_count(tmp_path / "proc", tmp_path / "cg") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the count")
def test_this_machine_has_a_counter() -> None:
    count = oom_count()
    assert count is not None
    assert count.source.exists()


def test_the_boot_has_a_name_that_stays() -> None:
    assert boot_id() == boot_id() != ""


def test_signals_have_names() -> None:
    assert (signal_name(9), signal_name(40)) == ("SIGKILL", "signal 40")


def test_a_lock_is_asked_about_without_being_made_or_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    handle = try_lock(path)
    assert handle is not None
    assert is_locked(path)
    assert try_lock(path) is None
    os.close(handle)
    assert not is_locked(path)
