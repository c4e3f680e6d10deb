"""The whole way through the job layer: `FineTuneJob` against the simulator, with the backend found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuneport import FineTuneJob, Hyperparameters, registry
from tuneport.errors import JobFailedError, PlanError, SubmitUnknownError, TrainingClosedError
from tuneport.status import JobStatus
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.openai import KEY, OpenAISimulator, Timing

Simulate = Callable[..., OpenAISimulator]
MODEL = "openai:gpt-4.1-mini-2025-04-14"
QUICK = Timing(validating=2, queued=2, step=0.5)

pytestmark = pytest.mark.skipif(
    "openai" not in registry.available(), reason="no entry point named openai is installed yet: pip install -e ."
)


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEPORT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNEPORT_DATABASE_URL", raising=False)
    monkeypatch.setenv("TUNEPORT_POLL_SECONDS", "0.02")


@pytest.fixture
def rows(tmp_path: Path, samples: SimpleNamespace) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, samples.chat(40))) + "\n", encoding="utf-8")
    return path


def test_create_follow_result_chat(simulate: Simulate, rows: Path) -> None:
    simulator = simulate(clock=Clock(speed=200), timing=QUICK)
    job = FineTuneJob.create(
        model=MODEL, dataset=str(rows), validation=0.1, hyperparameters=Hyperparameters(epochs=2, batch_size=4)
    )
    seen = [(event.type, event.key) for event in job.events(follow=True)]
    assert len(set(seen)) == len(seen)
    kinds = {kind for kind, _ in seen}
    assert kinds >= {"status", "message", "metrics"}
    result = job.wait()
    assert job.status is JobStatus.SUCCEEDED
    assert result.curve
    assert result.metrics["validation_loss"] < 1
    assert len(simulator.requests("jobs.create")) == 1
    prompt = json.loads(next(iter(simulator.files.values())).splitlines()[0])["messages"]
    assert str(result.model.chat(prompt[:1])) == prompt[1]["content"]
    again = FineTuneJob.get(job.id)
    assert again.result() == result
    assert [event.key for event in again.events()] == [key for _, key in seen]
    key = KEY.encode()
    home = Path(os.environ["TUNEPORT_HOME"])
    assert not [path for path in home.rglob("*") if path.is_file() and key in path.read_bytes()]


def test_a_lost_reply_is_adopted_and_nothing_is_made_twice(simulate: Simulate, rows: Path) -> None:
    simulator = simulate(
        clock=Clock(speed=200), timing=QUICK, faults=[{"on": "jobs.create", "do": "lose-reply"}], listing_lag=20
    )
    job = FineTuneJob.create(model=MODEL, dataset=str(rows))
    assert job.provider_id == simulator.jobs[0]["id"]
    job.wait()
    assert len(simulator.jobs) == len(simulator.requests("jobs.create")) == 1


def test_a_create_that_never_arrived_can_be_resumed(
    simulate: Simulate, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuneport_backends.openai import OpenAIBackend

    told = OpenAIBackend.capabilities

    def hurried(self: OpenAIBackend) -> object:
        from dataclasses import replace

        found = told(self)
        return replace(found, polling=replace(found.polling, window=0.1))

    monkeypatch.setattr(OpenAIBackend, "capabilities", hurried)
    simulator = simulate(
        clock=Clock(speed=200), timing=QUICK, faults=[{"on": "jobs.create", "do": "status", "status": 500, "times": 1}]
    )
    with pytest.raises(SubmitUnknownError):
        FineTuneJob.create(model=MODEL, dataset=str(rows), name="lost")
    job = FineTuneJob.get("lost")
    assert job.status is JobStatus.INTERRUPTED
    assert not simulator.jobs
    job.resume().wait()
    assert len(simulator.jobs) == 1
    assert len(simulator.requests("files.create")) == 1


def test_killed_after_the_create_it_is_adopted(simulate: Simulate, rows: Path) -> None:
    """A real process, killed where the create has been sent and its reply not yet stored."""
    simulator = simulate(clock=Clock(speed=200), timing=QUICK)
    code = (
        "import os, signal, sys\n"
        "from tuneport import FineTuneJob\n"
        "from tuneport_backends.openai_wire import Wire\n"
        "sent = Wire.create\n"
        "def killed(self, body, tag):\n"
        "    sent(self, body, tag)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Wire.create = killed\n"
        f"FineTuneJob.create(model={MODEL!r}, dataset={str(rows)!r}, name='killed')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == -9, ended.stderr.decode()
    job = FineTuneJob.get("killed")
    assert job.provider_id == simulator.jobs[0]["id"]
    job.wait()
    assert len(simulator.jobs) == 1


def test_cancel_and_fail(simulate: Simulate, rows: Path) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "fail", "value": "out of luck", "after": 1}])
    first = FineTuneJob.create(model=MODEL, dataset=str(rows))
    assert first.cancel().status is JobStatus.CANCELLED
    second = FineTuneJob.create(model=MODEL, dataset=str(rows))
    simulator.clock.advance(10_000)
    with pytest.raises(JobFailedError, match="out of luck"):
        second.wait()


def test_pause_and_resume(simulate: Simulate, rows: Path) -> None:
    simulator = simulate()
    job = FineTuneJob.create(model=MODEL, dataset=str(rows))
    simulator.clock.advance(35)
    assert job.pause().status is JobStatus.PAUSING
    simulator.clock.advance(10)
    assert job.status is JobStatus.PAUSED
    assert job.resume().status is JobStatus.RUNNING
    simulator.clock.advance(10_000)
    assert job.status is JobStatus.SUCCEEDED


def test_a_closed_organisation_and_a_closed_year(
    simulate: Simulate, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(closed=True)
    with pytest.raises(TrainingClosedError):
        FineTuneJob.create(model=MODEL, dataset=str(rows))
    monkeypatch.setenv("TUNEPORT_NOW", "2027-02-01")
    sent = len(simulator.log)
    with pytest.raises(PlanError, match="local:…"):
        FineTuneJob.create(model=MODEL, dataset=str(rows))
    assert len(simulator.log) == sent, "nothing was uploaded"


def test_delete_names_and_removes_what_was_made(simulate: Simulate, rows: Path) -> None:
    simulator = simulate()
    job = FineTuneJob.create(model=MODEL, dataset=str(rows))
    simulator.clock.advance(10_000)
    job.wait()
    made = job.made()
    assert len(made) == 4, "the rows, the result file, the model, and the directory here"
    assert sorted(job.delete()) == sorted(made)
    assert not simulator.files
