"""The trainer as the process that the supervisor starts: its exit codes, what it leaves when it has to go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tuneport_local import checkpoint, run
from tuneport_local.config import Failure, RunConfig, read_events

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
MakeJob = Callable[..., Path]
LONG = {"max_steps": 100_000, "checkpoint_steps": 1_000_000}


@contextmanager
def trainer(
    job: Path, *arguments: str, prelude: str = "", keep: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    code = f"{prelude}\nimport sys\nfrom tuneport_local import run\nsys.exit(run.main(sys.argv[1:]))"
    with (job / "trainer.log").open("wb") as log:
        command = [sys.executable, "-c", code, str(job), *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=keep, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until_step(job: Path, process: subprocess.Popen[bytes], step: int) -> None:
    while not any(e.type == "metrics" and e.data["step"] >= step for e in read_events(job)):
        assert process.poll() is None, (job / "trainer.log").read_text()
        time.sleep(0.05)


def test_sigterm_in_training_leaves_a_whole_checkpoint_and_the_next_attempt_goes_on(make_job: MakeJob) -> None:
    job = make_job(**LONG)
    with trainer(job) as process:
        until_step(job, process, 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == run.EXIT_TERMINATED
    newest = checkpoint.newest(job)
    assert newest is not None
    assert not (job / "report.json").exists()
    assert not (job / "failure.json").exists()
    step = checkpoint.step_of(newest) or 0
    RunConfig.load(job / "config.json").model_copy(update={"max_steps": step + 2}).save(job / "config.json")
    assert run.train(job, attempt=2).steps == step + 2
    assert any(e.message == f"resuming from step {step}" for e in read_events(job))


def test_when_the_supervisor_is_gone_the_trainer_goes_too(make_job: MakeJob) -> None:
    job = make_job(**LONG)
    reading, writing = os.pipe()
    try:
        with trainer(job, "--parent-fd", str(reading), keep=(reading,)) as process:
            until_step(job, process, 1)
            os.close(writing)
            writing = -1
            assert process.wait(timeout=60) == run.EXIT_ORPHANED
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def test_a_full_disk_is_told_and_leaves_no_half_checkpoint(make_job: MakeJob) -> None:
    job = make_job(method={"kind": "full"}, max_steps=8, checkpoint_steps=4)
    # A limit on the size of files stands in for a disk that is full: events still fit, weights do not.
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    with trainer(job, prelude=limit) as process:
        assert process.wait(timeout=120) == run.EXIT_FAILED, (job / "trainer.log").read_text()
    failure = Failure.load(job / "failure.json")
    assert failure.user_error
    assert "step-00000004" in failure.message
    assert "Free space" in failure.message
    assert not list((job / "checkpoints").glob(".*.part"))
    assert run.train(job, attempt=2).steps == 8
    assert not (job / "failure.json").exists()


def test_what_the_user_can_mend_is_told_and_the_traceback_goes_to_the_log(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    job = make_job(max_length=8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run.main([str(job)]) == run.EXIT_FAILED
    finally:
        signal.signal(signal.SIGTERM, before)
    failure = Failure.load(job / "failure.json")
    assert (failure.error, failure.user_error, failure.out_of_memory) == ("DatasetError", True, False)
    assert "16 training rows" in failure.message
    assert "Traceback" in capfd.readouterr().err


def test_out_of_memory_comes_with_advice() -> None:
    import torch

    for error in (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()):
        failure = run.failure_of(error)
        assert failure.out_of_memory
        assert "micro_batch_size" in failure.message


def test_an_error_that_nobody_foresaw_keeps_its_name() -> None:
    failure = run.failure_of(ZeroDivisionError("division by zero"))
    assert (failure.error, failure.user_error) == ("ZeroDivisionError", False)
    assert failure.message == "division by zero"  # whoever tells it puts the name in front


def test_a_gpu_is_seen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from tuneport.errors import SpecError
    from tuneport_local.models import see_only

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert see_only("cuda:1") == "cuda:0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    with pytest.raises(SpecError, match="only 1 are visible"):
        see_only("cuda:1")
    assert see_only("cpu") == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
