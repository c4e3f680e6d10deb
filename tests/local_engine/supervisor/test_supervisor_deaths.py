"""How a job ends that did not end well, and that the true reason is said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tuneport.status import JobStatus
from tuneport_local import devices, process
from tuneport_local.config import STATE, State
from tuneport_local.ending import judge
from tuneport_local.process import OomCount
from tuneport_local.supervisor import read_state

LIMIT_BYTES = 300 * 2**20


def test_a_trainer_killed_from_outside(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    os.kill(desk.training(job)[0], signal.SIGKILL)
    state = desk.end(job)
    assert (state.status, state.signal, state.exit_code) == (JobStatus.INTERRUPTED, "SIGKILL", None)
    assert state.reason == "the trainer was killed by SIGKILL (signal 9)"
    assert (state.resumable, state.out_of_memory) == (True, False)


def test_a_trainer_that_heard_somebody_elses_sigterm(tmp_path: Path) -> None:
    ending = judge(tmp_path, 143, None, None)
    assert (ending.status, ending.signal, ending.resumable) == (JobStatus.INTERRUPTED, "SIGTERM", True)


@pytest.mark.parametrize(
    ("mode", "reason", "resumable"),
    [
        ("segfault", "the trainer was killed by SIGSEGV (signal 11)", True),
        ("gives-up", "RuntimeError: loss is nan at step 3", True),
        ("refuses", "loss is nan at step 3", False),
        ("crashes", "exited with code 3 and gave no reason; the last line of .* is: something odd happened", True),
        ("no-report", "ended without a report; the last line of .* is: I forgot something", True),
        ("bad-report", "report cannot be read", True),
    ],
)
def test_a_trainer_that_fails(desk: Any, mode: str, reason: str, resumable: bool) -> None:
    job = desk.job("a")
    desk.start(job, mode)
    state: State = desk.end(job)
    assert (state.status, state.resumable, state.out_of_memory) == (JobStatus.FAILED, resumable, False)
    assert re.search(reason if "*" in reason else re.escape(reason), state.reason or ""), state.reason


def test_what_a_trainer_leaves_behind_ends_before_the_device_is_given_back(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "leaves-a-child")
    assert desk.end(job).status is JobStatus.SUCCEEDED
    child = json.loads((job / "pids").read_text())[1]
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_killed_supervisor_takes_its_trainer_along_and_the_job_can_be_resumed(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    trainer = desk.training(job)[0]
    supervisor = read_state(job).supervisor_pid
    os.kill(supervisor, signal.SIGKILL)
    state = desk.reach(job, JobStatus.INTERRUPTED)
    assert state.resumable
    assert f"the supervisor (pid {supervisor}) is gone" in (state.reason or "")
    desk.until((job / "orphaned").exists)
    desk.until(lambda: not psutil.pid_exists(trainer) or psutil.Process(trainer).status() == psutil.STATUS_ZOMBIE)
    with devices.lease(desk.home, ["cpu"], who="test", wait=False) as held:
        assert held == ["cpu"]
    desk.start(job, "quick", attempt=2)
    assert desk.end(job).status is JobStatus.SUCCEEDED
    assert desk.statuses(job)[2:] == [(1, "interrupted"), (2, "queued"), (2, "running"), (2, "succeeded")]


def test_a_trainer_that_outlives_its_supervisor_is_ended_by_the_next_attempt(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "deaf")
    trainer = desk.training(job)[0]
    os.kill(read_state(job).supervisor_pid, signal.SIGKILL)
    desk.reach(job, JobStatus.INTERRUPTED)
    desk.until(lambda: psutil.pid_exists(trainer))
    desk.start(job, "quick", attempt=2)
    assert desk.end(job).status is JobStatus.SUCCEEDED
    assert not psutil.pid_exists(trainer) or psutil.Process(trainer).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_told_to_end_ends_its_trainer_first(desk: Any, number: signal.Signals) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    desk.training(job)
    os.kill(read_state(job).supervisor_pid, number)
    state = desk.end(job)
    assert (state.status, state.resumable) == (JobStatus.INTERRUPTED, True)
    assert f"was told to end by {number.name}, while it trained" in (state.reason or "")
    assert (job / "checkpoints" / "step-00000001").is_dir()
    assert State.load(job / STATE) == state


def test_a_supervisor_killed_in_the_queue_leaves_no_place_taken(desk: Any) -> None:
    jobs = [desk.job(name) for name in ("a", "b", "c")]
    desk.start(jobs[0], "train")
    desk.training(jobs[0])
    desk.start(jobs[1], "quick")
    desk.start(jobs[2], "quick")
    os.kill(read_state(jobs[1]).supervisor_pid, signal.SIGKILL)
    assert desk.reach(jobs[1], JobStatus.INTERRUPTED).resumable
    (jobs[0] / "go").touch()
    assert desk.end(jobs[2]).status is JobStatus.SUCCEEDED


def test_a_pid_that_lives_again_is_not_taken_for_the_supervisor(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    desk.training(job)
    os.kill(read_state(job).supervisor_pid, signal.SIGKILL)
    desk.reach(job, JobStatus.INTERRUPTED)
    told = json.loads((job / STATE).read_text()) | {"supervisor_pid": os.getpid()}
    (job / STATE).write_text(json.dumps(told))
    assert read_state(job).status is JobStatus.INTERRUPTED


@pytest.mark.parametrize(
    ("before", "after", "code", "says"),
    [
        (OomCount(3, Path("/x")), OomCount(4, Path("/x")), -9, True),
        (OomCount(3, Path("/x")), OomCount(3, Path("/x")), -9, False),
        (OomCount(3, Path("/x")), OomCount(9, Path("/y")), -9, False),
        (OomCount(3, Path("/x")), OomCount(4, Path("/x")), -15, False),
        (None, None, -9, False),
    ],
)
def test_out_of_memory_is_said_only_where_the_counter_says_so(
    tmp_path: Path, before: OomCount | None, after: OomCount | None, code: int, says: bool
) -> None:
    ending = judge(tmp_path, code, before, after)
    assert ending.out_of_memory is says
    assert ending.status is (JobStatus.FAILED if says else JobStatus.INTERRUPTED)
    if says:
        assert ending.reason is not None
        assert ending.reason.endswith("; the kernel's out-of-memory counter rose from 3 to 4 (/x)")


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A control group under our own with little memory, made for the test, or a skip that says what is missing."""
    version2, version1 = "memory.max", "memory.limit_in_bytes"
    for line in Path("/proc/self/cgroup").read_text().splitlines() if Path("/proc/self/cgroup").exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        parent = Path("/sys/fs/cgroup", "memory" if controllers else "", path.lstrip("/"))
        group = parent / f"tuneport-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        limit = group / (version1 if controllers else version2)
        try:
            limit.write_text(str(LIMIT_BYTES))
            swap = group / ("memory.swappiness" if controllers else "memory.swap.max")
            if swap.exists():
                swap.write_text("0")
        except OSError:  # the memory controller is not handed down to this group
            group.rmdir()
            continue
        yield group
        for pid in (group / "cgroup.procs").read_text().split():
            (parent / "cgroup.procs").write_text(pid)
        group.rmdir()
        return
    pytest.skip("a real out-of-memory kill needs Linux and the right to make a memory cgroup under our own")


def test_the_kernels_own_kill_is_out_of_memory(desk: Any, small_cgroup: Path) -> None:
    job = desk.job("a")
    code = (
        "import os, sys; from pathlib import Path; from tuneport_local.supervisor import start\n"
        "Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))\n"
        "start(Path(sys.argv[2]), Path(sys.argv[3]), trainer=sys.argv[4:])"
    )
    where = [str(small_cgroup), str(job), str(desk.home)]
    subprocess.run([sys.executable, "-c", code, *where, *desk.command("eats")], check=True, timeout=120)
    state = desk.end(job)
    assert (state.status, state.signal, state.out_of_memory) == (JobStatus.FAILED, "SIGKILL", True)
    assert "the kernel's out-of-memory counter rose from 0 to 1" in (state.reason or "")
    assert str(small_cgroup) in (state.reason or "")
    desk.until(lambda: not process.is_locked(job / "supervisor.lock"))


def test_an_end_on_a_full_disk_is_recorded_when_there_is_space(desk: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a full disk needs Linux and the right to mount a small one")
    try:
        job = desk.job("a", root=disk)
        desk.start(job, "fills")
        pid = read_state(job).supervisor_pid
        desk.until(lambda: "cannot write; trying again" in subprocess_log(job) or not free_bytes(disk))
        desk.until(lambda: not process.marked(job))
        assert read_state(job).status is JobStatus.RUNNING
        (job / "filler").unlink()
        assert desk.end(job).status is JobStatus.SUCCEEDED
        desk.until(lambda: not psutil.pid_exists(pid))
    finally:
        desk.clear()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def subprocess_log(job: Path) -> str:
    return (job / "supervisor.log").read_text()


def free_bytes(disk: Path) -> int:
    return os.statvfs(disk).f_bavail
