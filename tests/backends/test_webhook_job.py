"""A job's end, told by whichever process sees it: once where the receiver takes it, again where it did not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tuneport import FineTuneJob
from tuneport.errors import PlanError
from tuneport_backends.simulators.openai import OpenAISimulator

MODEL = "openai:gpt-4.1-mini-2025-04-14"
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Where is parcel {n * 37}?"},
            {"role": "assistant", "content": f"Parcel {n * 37} is at depot {n % 7}."},
        ]
    }
    for n in range(20)
]


class Receiver(HTTPServer):
    got: list[dict[str, Any]]
    answer: int


class _Handler(BaseHTTPRequestHandler):
    server: Receiver  # type: ignore[assignment]

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver(("127.0.0.1", 0), _Handler)
    server.got, server.answer = [], 204
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _before_the_end_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")


def test_the_end_is_told_once(openai_simulator: OpenAISimulator, receiver: Receiver) -> None:
    job = FineTuneJob.create(MODEL, ROWS, webhook=f"http://127.0.0.1:{receiver.server_port}/done")
    assert receiver.got == []
    openai_simulator.clock.advance(7200)
    job.wait(timeout=60)
    FineTuneJob.get(job.id)
    assert len(receiver.got) == 1
    assert job.id in json.dumps(receiver.got[0])
    assert "succeeded" in json.dumps(receiver.got[0])


def test_a_receiver_that_fails_is_told_again_and_the_job_is_not_disturbed(
    openai_simulator: OpenAISimulator, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneport.webhook._FIRST", __import__("datetime").timedelta(0))
    receiver.answer = 500
    job = FineTuneJob.create(MODEL, ROWS, webhook=f"http://127.0.0.1:{receiver.server_port}/done")
    openai_simulator.clock.advance(7200)
    assert job.wait(timeout=60).model.backend == "openai"
    receiver.answer = 200
    FineTuneJob.get(job.id)
    told = len(receiver.got)
    assert told >= 2
    FineTuneJob.get(job.id)
    assert len(receiver.got) == told


def test_a_webhook_that_cannot_be_used_is_refused_before_anything_is_sent(openai_simulator: OpenAISimulator) -> None:
    with pytest.raises(PlanError, match="webhook"):
        FineTuneJob.create(MODEL, ROWS, webhook="ftp://example.org/x")
    assert not openai_simulator.jobs
