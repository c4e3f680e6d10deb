"""A job's life against real deaths: the terminal, the parent, the trainer, a cancel, a queue, a full disk."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneport import FineTuneJob, Hyperparameters
from tuneport.errors import JobCancelledError, JobFailedError, JobInterruptedError
from tuneport.status import JobStatus
from tuneport.store import Store

pytestmark = pytest.mark.slow

Until = Callable[..., None]
LONG = Hyperparameters(max_steps=400, learning_rate=1e-3, checkpoint_steps=4)


def last_step(job: FineTuneJob) -> int:
    return max((int(event.data["step"]) for event in job.events() if event.type == "metrics"), default=0)


def submitted(name: str) -> bool:
    return any(found.name == name and found.record.ref is not None for found in FineTuneJob.list())


def trainer_pid(job: FineTuneJob) -> int:
    return int(json.loads((job.directory / "state.json").read_text())["trainer_pid"])


def test_it_outlives_terminal_and_parent_and_is_resumed_after_its_trainer_was_killed(
    home: Path, model: str, data: Path, until: Until
) -> None:
    words = [sys.executable, "-m", "tuneport.cli", "run", str(data), "--model", model, "--name", "outlives"]
    words += [
        "--set",
        "hyperparameters.max_steps=60",
        "--set",
        "hyperparameters.checkpoint_steps=5",
        "--option",
        "threads=1",
    ]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, words)  # a session of its own, with the pty as its terminal
    try:
        until(lambda: submitted("outlives"), "the job is submitted")
        os.killpg(os.getpgid(pid), signal.SIGHUP)  # what a closing terminal sends
        os.kill(pid, signal.SIGKILL)
    finally:
        os.waitpid(pid, 0)
        os.close(terminal)
    job = FineTuneJob.get("outlives")
    until(lambda: last_step(job) >= 7 or job.status.terminal, "it trains on without its parent")
    assert job.status is JobStatus.RUNNING

    os.kill(trainer_pid(job), signal.SIGKILL)
    until(lambda: job.status.terminal, "the death is seen")
    assert job.status is JobStatus.INTERRUPTED
    assert "SIGKILL" in str(job.error)
    assert "out of memory" not in str(job.error)
    with pytest.raises(JobInterruptedError) as caught:
        job.result()
    assert caught.value.resumable
    assert caught.value.metrics

    died_at = last_step(job)
    result = FineTuneJob.get("outlives").resume().wait(timeout=280)
    assert FineTuneJob.get("outlives").attempt == 2
    second = [point.step for point in result.curve if point.attempt == 2]
    assert 1 < min(second) <= died_at + 1, "it went on from a checkpoint, not from the start"
    assert [point.step for point in result.curve if point.loss is not None] == list(range(1, 61))


DIES_BEFORE_SUBMITTING = """
import os, signal, sys
from tuneport import FineTuneJob, Hyperparameters, registry
registry.get("local").submit = lambda prepared: os.kill(os.getpid(), signal.SIGKILL)
FineTuneJob.create(sys.argv[1], sys.argv[2], name="intent", hyperparameters=Hyperparameters(max_steps=1), test=0.2)
"""


def test_an_intent_whose_process_was_killed_is_interrupted_and_resume_submits_it(
    home: Path, model: str, data: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", DIES_BEFORE_SUBMITTING, model, str(data)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    job = FineTuneJob.get("intent")
    assert job.status is JobStatus.INTERRUPTED
    with pytest.raises(JobInterruptedError, match=r"before the job was submitted.*Submit it: tuneport resume"):
        job.wait(timeout=5)
    result = FineTuneJob.get("intent").resume().wait(timeout=280)
    assert result.test is not None
    assert len(Store.open().row_hashes(job.id, "test")) == result.dataset.splits["test"]


def test_cancel_keeps_the_last_whole_checkpoint_and_others_wait_in_line(
    home: Path, model: str, data: Path, until: Until
) -> None:
    first = FineTuneJob.create(model, data, hyperparameters=LONG, options={"threads": 1})
    second = FineTuneJob.create(model, data, hyperparameters=Hyperparameters(max_steps=2), options={"threads": 1})
    third = FineTuneJob.create(model, data, hyperparameters=Hyperparameters(max_steps=2))
    until(lambda: last_step(first) >= 6, "the first trains")
    assert second.status is JobStatus.QUEUED
    assert third.status is JobStatus.QUEUED
    assert third.cancel().status in {JobStatus.CANCELLED, JobStatus.CANCELLING}
    until(lambda: third.status is JobStatus.CANCELLED, "a waiting job is cancelled")

    first.cancel()
    until(lambda: first.status is JobStatus.CANCELLED, "the running one is cancelled")
    assert first.checkpoints()
    with pytest.raises(JobCancelledError):
        first.result()
    assert second.wait(timeout=280).job_id == second.id, "the next in line runs when the device is free"


def test_rows_that_cannot_be_trained_fail_the_job_with_the_reason(home: Path, model: str, data: Path) -> None:
    job = FineTuneJob.create(model, data, hyperparameters=Hyperparameters(max_length=8), options={"threads": 1})
    with pytest.raises(JobFailedError) as caught:
        job.wait(timeout=280)
    assert "not one of the 60 training rows can be used" in str(caught.value)
    assert "Traceback" not in str(caught.value)


# A limit on the size of a file stands for the full disk: the supervisor and the trainer inherit it.
FULL_DISK = (
    "import resource, signal, sys\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"
    "from tuneport.cli.app import run\n"
    "run(sys.argv[2:])\n"
)


def on_a_full_disk(limit: int, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit), *words], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


def test_a_disk_that_is_full_at_the_start_leaves_nothing(home: Path, model: str, data: Path) -> None:
    before = sorted((home / "jobs").glob("*"))
    said = on_a_full_disk(4096, "run", str(data), "--model", model)
    assert "room" in said
    assert sorted((home / "jobs").glob("*")) == before


def test_a_disk_that_fills_while_training_is_said_and_the_job_goes_on_when_there_is_room(
    tmp_path: Path, model: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEPORT_HOME", str(tmp_path / "home"))  # its database is small, and below the limit
    words = ["--method", "full", "--name", "full-disk", "--set", "hyperparameters.max_steps=4", "--option", "threads=1"]
    said = on_a_full_disk(150_000, "run", str(data), "--model", model, *words)
    assert "disk" in said
    assert "tuneport resume" in said
    job = FineTuneJob.get("full-disk")
    assert job.status is JobStatus.FAILED
    assert job.checkpoints() == []
    left = [
        path for path in job.directory.rglob("*") if path.is_dir() and path.name.startswith((".step", ".artifacts"))
    ]
    assert left == []
    assert job.resume().wait(timeout=280).job_id == job.id


def test_ctrl_c_detaches(home: Path, model: str, data: Path, until: Until) -> None:
    words = [sys.executable, "-m", "tuneport.cli", "run", str(data), "--model", model, "--name", "detached"]
    child = subprocess.Popen(
        [*words, "--set", "hyperparameters.max_steps=3"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    until(lambda: submitted("detached"), "the job is submitted")
    job = FineTuneJob.get("detached")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "goes on" in said
    assert job.wait(timeout=280).job_id == job.id
