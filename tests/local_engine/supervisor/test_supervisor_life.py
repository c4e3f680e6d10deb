"""A job that nobody disturbs, the queue, resuming, and who may start what."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tuneport.errors import BackendError
from tuneport.status import JobStatus
from tuneport_local import devices, process
from tuneport_local.config import STATE, read_events
from tuneport_local.supervisor import read_state, start


def test_a_job_goes_from_the_queue_to_its_end(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "quick")
    state = desk.end(job)
    assert (state.status, state.exit_code, state.reason, state.resumable) == (JobStatus.SUCCEEDED, 0, None, False)
    assert state.started_at is not None
    assert state.ended_at is not None
    assert state.queued_at <= state.started_at <= state.ended_at
    assert desk.statuses(job) == [(1, "queued"), (1, "running"), (1, "succeeded")]
    desk.until(lambda: not process.is_locked(job / "supervisor.lock"))


def test_start_returns_with_the_state_there(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    assert read_state(job).status in {JobStatus.QUEUED, JobStatus.RUNNING}
    (job / "go").touch()
    assert desk.end(job).status is JobStatus.SUCCEEDED


def test_the_supervisor_loads_no_torch() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'numpy', 'sqlalchemy'}"
    code = f"import sys, tuneport_local.supervisor; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_jobs_for_one_device_run_in_turn_in_the_order_of_their_start(desk: Any) -> None:
    jobs = [desk.job(name) for name in ("c", "a", "b")]
    desk.start(jobs[0], "train")
    desk.training(jobs[0])
    desk.start(jobs[1], "quick")
    desk.start(jobs[2], "quick")
    assert [read_state(job).status for job in jobs[1:]] == [JobStatus.QUEUED] * 2
    assert [devices.queue_position(desk.home, name) for name in ("c", "a", "b")] == [None, 1, 2]
    desk.until(lambda: any(e.message == "queued behind 2 jobs for cpu" for e in read_events(jobs[2])))
    (jobs[0] / "go").touch()
    assert [desk.end(job).status for job in jobs] == [JobStatus.SUCCEEDED] * 3
    assert desk.trace() == ["start c", "end c", "start a", "end a", "start b", "end b"]


def test_jobs_that_want_overlapping_devices_do_not_block_each_other(desk: Any) -> None:
    wanted = [["cuda:0", "cuda:1"], ["cuda:1", "cuda:2"], ["cuda:2", "cuda:0"], ["cuda:1"]]
    jobs = [desk.job(f"j{n}", names) for n, names in enumerate(wanted)]
    for job in jobs:
        desk.start(job, "quick")
    assert [desk.end(job).status for job in jobs] == [JobStatus.SUCCEEDED] * 4


def test_a_job_for_another_device_passes(desk: Any) -> None:
    first, second, other = desk.job("first"), desk.job("second"), desk.job("other", ["cuda:3"])
    desk.start(first, "train")
    desk.training(first)
    desk.start(second, "quick")
    desk.start(other, "quick")
    assert desk.end(other).status is JobStatus.SUCCEEDED
    assert read_state(second).status is JobStatus.QUEUED


def test_device_names_mean_to_the_trainer_what_they_mean_to_the_lease(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")  # within this mask, cuda:2 would be no device at all
    show = "import os; from tuneport_local.models import see_only; see_only('cuda:2', 'cuda:5');"
    show += "print(os.environ['CUDA_DEVICE_ORDER'], os.environ['CUDA_VISIBLE_DEVICES'])"
    job = desk.job("a", ["cuda:2", "cuda:5"])
    start(job, desk.home, trainer=[sys.executable, "-c", show])
    desk.end(job)
    assert (job / "trainer.log").read_text().strip() == "PCI_BUS_ID 2,5"


def test_a_second_starter_is_refused_and_the_first_goes_on(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    pids = desk.training(job)
    with pytest.raises(BackendError, match=r"another supervisor has .*attempt 1, pid \d+"):
        desk.start(job, "train")
    assert (desk.training(job), read_state(job).status) == (pids, JobStatus.RUNNING)
    (job / "go").touch()
    assert desk.end(job).status is JobStatus.SUCCEEDED
    assert desk.trace() == ["start a", "end a"]


def test_of_many_starters_at_once_one_runs_the_job(desk: Any) -> None:
    job = desk.job("a")
    code = (
        "import sys; from pathlib import Path; from tuneport_local.supervisor import start\n"
        "start(Path(sys.argv[1]), Path(sys.argv[2]), trainer=sys.argv[3:])"
    )
    command = [sys.executable, "-c", code, str(job), str(desk.home), *desk.command("quick")]
    starters = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [starter.communicate()[1] for starter in starters]
    assert sorted(starter.returncode for starter in starters) == [0, 1, 1, 1]
    assert all("another supervisor has" in e or "has been before" in e for e in errors if e)
    assert desk.end(job).status is JobStatus.SUCCEEDED
    assert desk.trace() == ["start a", "end a"]


def test_an_attempt_is_run_once(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "gives-up")
    desk.end(job)
    with pytest.raises(BackendError, match=r"attempt 1 of .* has been before: failed; the next is 2"):
        desk.start(job, "quick")
    desk.start(job, "quick", attempt=2)
    assert (desk.end(job).status, read_state(job).attempt) == (JobStatus.SUCCEEDED, 2)
    assert not (job / "failure.json").exists()


def test_a_start_that_cannot_be_says_why(desk: Any, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"has no config\.json"):
        start(tmp_path / "nothing", desk.home)
    broken = desk.job("broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(BackendError, match="ValidationError"):
        desk.start(broken, "quick")
    with pytest.raises(BackendError, match="was never started"):
        read_state(broken)
    assert not process.is_locked(broken / "supervisor.lock")


def test_a_trainer_that_cannot_be_started_is_said(desk: Any) -> None:
    job = desk.job("a")
    start(job, desk.home, trainer=["/no/such/program"])
    state = desk.end(job)
    assert state.status is JobStatus.FAILED
    assert "'/no/such/program' cannot be started" in (state.reason or "")


def test_an_error_of_the_supervisor_itself_is_recorded(desk: Any) -> None:
    job = desk.job("a")
    (job / "trainer.log").mkdir()  # where the trainer's output was to go
    (job / "report.json").mkdir()
    desk.start(job, "quick")
    state = desk.end(job)
    assert state.status is JobStatus.FAILED
    assert "the supervisor itself failed: " in (state.reason or "")


def test_a_terminal_that_hangs_up_takes_the_parent_and_not_the_job(desk: Any) -> None:
    job = desk.job("a")
    code = (
        "import sys, time; from pathlib import Path; from tuneport_local.supervisor import start\n"
        "start(Path(sys.argv[1]), Path(sys.argv[2]), trainer=sys.argv[3:])\n"
        "time.sleep(600)"
    )
    parent, terminal = pty.fork()
    if parent == 0:  # in a session of its own, whose controlling terminal is the pty
        os.execv(sys.executable, [sys.executable, "-c", code, str(job), str(desk.home), *desk.command("train")])
    trainer = desk_training(desk, job)
    os.killpg(parent, signal.SIGHUP)
    os.close(terminal)
    try:
        os.kill(parent, signal.SIGKILL)
    finally:
        _, status = os.waitpid(parent, 0)
    assert os.WIFSIGNALED(status)
    assert desk.training(job) == trainer
    (job / "go").touch()
    follow = (
        "import sys, time; from pathlib import Path; from tuneport_local.supervisor import read_state\n"
        "while not (state := read_state(Path(sys.argv[1]))).status.terminal: time.sleep(0.05)\n"
        "print(state.status)"
    )
    follower = [sys.executable, "-c", follow, str(job)]
    assert subprocess.run(follower, capture_output=True, text=True, check=True, timeout=120).stdout == "succeeded\n"


def desk_training(desk: Any, job: Path) -> list[int]:
    desk.until((job / STATE).exists)
    pids: list[int] = desk.training(job)
    return pids


def test_a_state_of_before_a_restart_is_interrupted(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "quick")
    desk.end(job)
    desk.until(lambda: not process.is_locked(job / "supervisor.lock"))
    told = json.loads((job / STATE).read_text()) | {"status": "running", "boot_id": "another"}
    (job / STATE).write_text(json.dumps(told))
    state = read_state(job)
    assert (state.status, state.resumable) == (JobStatus.INTERRUPTED, True)
    assert "the machine restarted at 20" in (state.reason or "")
    assert json.loads((job / STATE).read_text()) == told
    desk.start(job, "quick", attempt=2)
    assert desk.end(job).status is JobStatus.SUCCEEDED
    assert (1, "interrupted") in desk.statuses(job)


def test_a_state_of_another_host_is_left_as_it_is(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "quick")
    desk.end(job)
    desk.until(lambda: not process.is_locked(job / "supervisor.lock"))
    told = json.loads((job / STATE).read_text()) | {"status": "running", "boot_id": "another", "host": "elsewhere"}
    (job / STATE).write_text(json.dumps(told))
    state = read_state(job)
    assert (state.status, state.reason) == (
        JobStatus.RUNNING,
        "as host 'elsewhere' recorded it; only that host knows more",
    )
