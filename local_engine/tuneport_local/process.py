"""What the operating system knows about processes: locks that die with their holder, this boot, the kernel's OOM count.

Locks are `flock` on files that are never written through. Python opens files close-on-exec, so a started program does not
inherit them; the kernel drops them when their holder dies, however it dies. That is why a lock, and not a pid, says
whether somebody is alive: pids are reused.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

RUN_MARK = "TUNEPORT_RUN"
"""Environment variable that every process under a trainer carries: its value is the job's directory."""

_POLL_SECONDS = 0.05


def try_lock(path: Path, *, patience: float = 0.0) -> int | None:
    """Take the lock at `path` (created where missing) within `patience` seconds; None where another holds it.

    Returns the descriptor that holds it: `os.close` gives it back.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                return None
            time.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(handle)
            raise


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock at `path`, waiting for it: for sections that take milliseconds."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether somebody alive holds the lock at `path`; creates nothing.

    The question itself takes a shared lock for an instant, so whoever wants the lock for good tries with `patience`.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def boot_id() -> str:
    """A string that changes when the machine restarts and at no other time."""
    if sys.platform == "darwin":
        answer = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, timeout=10, check=True
        )
        return answer.stdout.strip()
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class OomCount:
    """How many processes the kernel has killed for want of memory, and the file that says so."""

    kills: int
    source: Path


def oom_count(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> OomCount | None:
    """The kernel's count of out-of-memory kills that is nearest to this process; None where the system keeps none (macOS).

    Its own cgroup where that counts (version 2's `memory.events`, version 1's `memory.oom_control`), else the whole
    machine's. Inside a container the path in /proc/self/cgroup can be the host's, and the mount's root is then ours.
    """
    candidates: list[Path] = []
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                root, name = cgroups, "memory.events"
            elif "memory" in controllers.split(","):
                root, name = cgroups / "memory", "memory.oom_control"
            else:
                continue
            candidates += [root / path.lstrip("/") / name, root / name]
    for file in [*candidates, proc / "vmstat"]:
        with suppress(OSError):
            for line in file.read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return OomCount(int(value), file)
    return None


def signal_name(number: int) -> str:
    """ "SIGKILL" for 9; a real-time signal has no name of its own and is "signal 40"."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def marked(job: Path) -> list[psutil.Process]:
    """Every living process that was started under `job`'s trainer, also one that left its process group or its parent."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(RUN_MARK) == str(job) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_gone(job: Path, *, patience: float) -> list[int]:
    """Wait up to `patience` seconds for every process of `job`'s trainer to be gone; the pids of those that are not."""
    deadline = time.monotonic() + patience
    while rest := marked(job):
        if time.monotonic() >= deadline:
            return [process.pid for process in rest]
        time.sleep(_POLL_SECONDS)
    return []


def kill_all(job: Path, group: int | None = None, *, patience: float = 10.0) -> list[int]:
    """SIGKILL the process group `group` and everything else of `job`'s trainer (torchrun gives its workers sessions of
    their own), and wait for them. Returns the pids that were still there after `patience` seconds (none, but for a
    process that the kernel cannot end, as one stuck in a driver)."""
    deadline = time.monotonic() + patience
    if group is not None:
        with suppress(ProcessLookupError, PermissionError):  # gone; macOS says EPERM where only zombies are left
            os.killpg(group, signal.SIGKILL)
    while rest := marked(job):
        if time.monotonic() >= deadline:
            return [process.pid for process in rest]
        for process in rest:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(_POLL_SECONDS)
    return []
