"""Jobs under real supervisors with a small real program for a trainer; whatever a test leaves running is ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tuneport.status import JobStatus
from tuneport_local import process
from tuneport_local.config import CONFIG, RunConfig, State, read_events
from tuneport_local.supervisor import read_state, start

TRAINER = Path(__file__).parent / "trainer.py"


class Desk:
    """Makes jobs in one home, starts them, and waits for what is to become true of them."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        self.jobs: list[Path] = []

    def job(self, name: str, devices: Sequence[str] = ("cpu",), *, root: Path | None = None) -> Path:
        job = (root or self.root) / name
        job.mkdir()
        RunConfig(job_id=name, model_path="m", objective={}, method={}, devices=list(devices)).save(job / CONFIG)
        self.jobs.append(job)
        return job

    def command(self, mode: str) -> list[str]:
        return [sys.executable, str(TRAINER), mode]

    def start(self, job: Path, mode: str, attempt: int = 1) -> None:
        start(job, self.home, attempt=attempt, trainer=self.command(mode))

    def until(self, condition: Callable[[], object], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "\n".join(
                f"{file}:\n{file.read_text(errors='replace')}" for job in self.jobs for file in job.glob("*.[lj][os]*")
            )
            time.sleep(0.02)

    def reach(self, job: Path, *wanted: JobStatus) -> State:
        self.until(lambda: read_state(job).status in wanted)
        return read_state(job)

    def end(self, job: Path) -> State:
        self.until(lambda: read_state(job).status.terminal)
        return read_state(job)

    def training(self, job: Path) -> list[int]:
        """The pids of the trainer and of its children, as soon as it trains."""
        self.until(lambda: read_state(job).status is JobStatus.RUNNING and (job / "pids").exists())
        pids: list[int] = json.loads((job / "pids").read_text())
        return pids

    def trace(self) -> list[str]:
        return (self.root / "trace").read_text().splitlines()

    def statuses(self, job: Path) -> list[tuple[int, str]]:
        return [(e.attempt, e.data["status"]) for e in read_events(job) if e.type == "status"]

    def clear(self) -> None:
        for job in self.jobs:
            with suppress(Exception):
                if process.is_locked(job / "supervisor.lock"):
                    os.kill(read_state(job).supervisor_pid, signal.SIGKILL)
            process.kill_all(job)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.clear()
