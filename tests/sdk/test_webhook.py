"""The word that a job has ended, against a real receiver on a real socket, and OpenAI's own verifier as the oracle."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tuneport import webhook
from tuneport.errors import CredentialsError
from tuneport.ids import new_job_id
from tuneport.status import JobStatus, utcnow
from tuneport.store import JobRecord, Store

SECRET = "whsec_" + base64.b64encode(b"a secret of some length").decode()


class Receiver:
    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    made = Store.open()
    yield made
    made.close()


def ended(store: Store, url: str | None, status: JobStatus = JobStatus.SUCCEEDED) -> JobRecord:
    made, now = new_job_id(), utcnow()
    record = JobRecord(
        id=made,
        tag=made,
        backend="openai",
        model="gpt-4.1",
        status=status,
        created_at=now,
        updated_at=now,
        spec={"model": "openai:gpt-4.1", "webhook": url},
        ref={"provider_id": "ftjob-1"},
        host="here",
        home="/home",
        result={"model": {"backend": "openai", "model": "ft:gpt-4.1:x"}, "metrics": {"loss": 0.5}},
        metadata={"kept": "as it was"},
    )
    store.insert(record, owner="test", seconds=60)
    return record


def again(store: Store, record: JobRecord) -> JobRecord:
    """As if the pause that the last failure asked for were over."""
    mark = {**record.metadata["webhook"], "again": (utcnow() - timedelta(seconds=1)).isoformat()}
    return store.update(record.id, metadata={**record.metadata, "webhook": mark})


def test_the_end_is_told_once_and_signed(store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    import openai

    monkeypatch.setenv("TUNEPORT_WEBHOOK_SECRET", SECRET)
    record = webhook.deliver(store, ended(store, receiver.url))
    webhook.deliver(store, record)
    webhook.deliver(store, store.get(record.id))
    ((headers, body),) = receiver.got
    told = webhook.verify(body, headers, SECRET)
    assert told["type"] == "fine_tune_job.succeeded"
    assert told["data"]["id"] == record.id
    assert told["data"]["model"] == "openai:ft:gpt-4.1:x"
    assert told["data"]["provider_id"] == "ftjob-1"
    assert record.metadata["kept"] == "as it was"
    with openai.OpenAI(api_key="x", webhook_secret=SECRET) as client:
        client.webhooks.verify_signature(body.decode(), headers)


def test_what_was_changed_or_is_old_is_refused(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEPORT_WEBHOOK_SECRET", SECRET)
    webhook.deliver(store, ended(store, receiver.url))
    ((headers, body),) = receiver.got
    with pytest.raises(CredentialsError, match="no signature"):
        webhook.verify(body.replace(b"succeeded", b"failed   "), headers, SECRET)
    with pytest.raises(CredentialsError, match="no signature"):
        webhook.verify(body, headers, "another")
    with pytest.raises(CredentialsError, match="at most"):
        webhook.verify(body, headers, SECRET, now=utcnow() + timedelta(minutes=10))
    with pytest.raises(CredentialsError, match="not signed"):
        webhook.verify(body, {}, SECRET)


def test_a_receiver_that_fails_is_told_again_later_under_the_same_id(store: Store, receiver: Receiver) -> None:
    receiver.answers = [500, 302]
    record = webhook.deliver(store, ended(store, receiver.url, JobStatus.FAILED))
    assert "500" in record.metadata["webhook"]["error"]
    assert not webhook.due(record), "not at once"
    assert webhook.deliver(store, record) == record
    record = webhook.deliver(store, again(store, record))
    assert "302" in record.metadata["webhook"]["error"], "no redirect is followed"
    record = webhook.deliver(store, again(store, record))
    assert record.metadata["webhook"]["delivered"]
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [f"{record.id}.1.failed"] * 3
    assert all("webhook-signature" not in headers for headers, _ in receiver.got), "there is no secret"


def test_a_receiver_that_wants_no_more_gets_no_more(store: Store, receiver: Receiver) -> None:
    receiver.answers = [410]
    record = webhook.deliver(store, ended(store, receiver.url))
    assert not webhook.due(record, utcnow() + timedelta(days=9))


def test_nobody_there_raises_nothing(store: Store, receiver: Receiver) -> None:
    record = ended(store, receiver.url)
    receiver.stop()
    record = webhook.deliver(store, record)
    assert "did not answer" in record.metadata["webhook"]["error"]
    assert receiver.url not in json.dumps(record.metadata)
    receiver.server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


def test_only_ends_are_told_and_a_second_attempt_is_another_end(store: Store, receiver: Receiver) -> None:
    record = ended(store, receiver.url, JobStatus.RUNNING)
    assert webhook.deliver(store, record) == record
    assert webhook.deliver(store, ended(store, None)).metadata == {"kept": "as it was"}
    record = webhook.deliver(store, store.update(record.id, status=JobStatus.INTERRUPTED))
    record = webhook.deliver(store, store.update(record.id, status=JobStatus.SUCCEEDED, attempt=2))
    kinds = [json.loads(body)["type"] for _, body in receiver.got]
    assert kinds == ["fine_tune_job.interrupted", "fine_tune_job.succeeded"]


def test_a_url_that_is_a_secret_is_given_by_its_variables_name(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_HOOK_URL", receiver.url)
    record = webhook.deliver(store, ended(store, "env:DEPLOY_HOOK_URL"))
    assert len(receiver.got) == 1
    assert receiver.url not in store.get(record.id).model_dump_json()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "not an http"),
        ("https://", "not an http"),
        ("/a/path", "not an http"),
        ("https://me:pass@host/x", "env:DEPLOY_HOOK_URL"),
        ("env:", "names no variable"),
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_what_cannot_be_a_webhook_is_said(url: str, said: str) -> None:
    problem = webhook.problem(url)
    assert problem is not None
    assert said in problem
    assert "pass@" not in problem


def test_what_can_be_is_not() -> None:
    assert webhook.problem("https://hooks.example.com/a?b=c@d") is None
