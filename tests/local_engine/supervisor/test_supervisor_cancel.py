"""Cancelling, at every moment of a job's life."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest

from tuneport.status import JobStatus
from tuneport_local import process
from tuneport_local.attempt import GRACE_VARIABLE
from tuneport_local.supervisor import cancel, read_state


def test_in_the_queue(desk: Any) -> None:
    first, second, third = desk.job("first"), desk.job("second"), desk.job("third")
    desk.start(first, "train")
    desk.training(first)
    desk.start(second, "quick")
    desk.start(third, "quick")
    cancel(second)
    state = desk.end(second)
    assert (state.status, state.reason) == (JobStatus.CANCELLED, "cancelled before it had begun to train")
    assert not state.resumable
    (first / "go").touch()
    assert desk.end(third).status is JobStatus.SUCCEEDED
    assert "start second" not in desk.trace()


def test_before_the_start(desk: Any) -> None:
    job = desk.job("a")
    cancel(job)
    desk.start(job, "quick")
    assert desk.end(job).status is JobStatus.CANCELLED
    assert not (desk.root / "trace").exists()


def test_while_it_trains_leaves_the_checkpoint_and_can_be_resumed(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    desk.training(job)
    cancel(job)
    state = desk.end(job)
    assert (state.status, state.exit_code, state.signal, state.resumable) == (JobStatus.CANCELLED, 0, None, True)
    assert (job / "checkpoints" / "step-00000001").is_dir()
    assert desk.statuses(job) == [(1, "queued"), (1, "running"), (1, "cancelling"), (1, "cancelled")]
    desk.start(job, "quick", attempt=2)
    assert desk.end(job).status is JobStatus.SUCCEEDED


def test_a_trainer_that_will_not_end_is_killed_with_all_that_it_started(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, "0.5")
    job = desk.job("a")
    desk.start(job, "stubborn")
    pids = desk.training(job)
    assert len(pids) == 3
    cancel(job)
    desk.reach(job, JobStatus.CANCELLING, JobStatus.CANCELLED)
    state = desk.end(job)
    assert (state.status, state.signal, state.out_of_memory) == (JobStatus.CANCELLED, "SIGKILL", False)
    assert "did not end within 0.5 s of SIGTERM and was killed" in (state.reason or "")
    assert not any(running(pid) for pid in pids)


def test_a_job_whose_supervisor_is_gone(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "train")
    desk.training(job)
    os.kill(read_state(job).supervisor_pid, signal.SIGKILL)
    desk.reach(job, JobStatus.INTERRUPTED)
    cancel(job)
    state = read_state(job)
    assert state.status is JobStatus.CANCELLED
    assert "is gone" in (state.reason or "")
    assert desk.statuses(job)[-1] == (1, "cancelled")
    assert not process.marked(job)


def test_a_job_that_has_ended_stays_as_it_is(desk: Any) -> None:
    job = desk.job("a")
    desk.start(job, "quick")
    before = desk.end(job)
    cancel(job)
    assert read_state(job) == before
    assert not (job / "cancel").exists()


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
