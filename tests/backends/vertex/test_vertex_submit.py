"""Submitting to the simulated Vertex AI: uploads that are reused and gone on with, replies that are lost, and refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.errors import RejectedError, RemoteNotFoundError, SubmitUnknownError
from tuneport.status import JobStatus
from tuneport_backends import vertex_wire
from tuneport_backends.simulators.vertex import BUCKET
from tuneport_backends.vertex import VertexBackend

Simulate = Any
Prepare = Any


def test_an_upload_is_not_repeated(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "status", "status": 403, "times": 1}])
    prepared = prepare(backend)
    with pytest.raises(Exception, match="403"):
        backend.submit(prepared)
    before = len(simulator.requests("gcs.upload"))
    backend.submit(prepared)
    assert len(simulator.requests("gcs.upload")) == before
    assert len(simulator.jobs) == 1


def test_a_large_file_goes_by_chunks_and_goes_on_after_a_cut(
    backend: VertexBackend,
    simulate: Simulate,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    samples: SimpleNamespace,
) -> None:
    monkeypatch.setattr(vertex_wire, "_CHUNK", 4 * 2**20)
    simulator = simulate(faults=[{"on": "gcs.upload", "do": "cut", "value": 1000, "after": 2, "times": 1}])
    rows = samples.chat(12)
    for row in rows:
        row["messages"][1]["content"] += " please" * 120_000
    backend.submit(prepare(backend, rows=rows))
    uploads = simulator.requests("gcs.upload")
    assert [entry.method for entry in uploads[:3]] == ["POST", "PUT", "PUT"]
    assert uploads[2].status is None
    content = simulator.objects[f"gs://{BUCKET}/tuneport/{samples.tag}/train.jsonl"]
    assert len(content.splitlines()) == 12
    assert len(simulator.jobs) == 1


@pytest.mark.parametrize(
    "fault", [{"do": "lose-reply"}, {"do": "status", "status": 503}, {"do": "field", "field": "name"}]
)
@pytest.mark.parametrize("filters", [True, False])
def test_a_lost_reply_is_adopted_and_not_repeated(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, fault: dict[str, Any], filters: bool
) -> None:
    simulator = simulate(filters=filters, listing_lag=30.0, faults=[{"on": "jobs.create", "times": 1, **fault}])
    prepared = prepare(backend)
    with pytest.raises(SubmitUnknownError, match=prepared.tag):
        backend.submit(prepared)
    assert len(simulator.requests("jobs.create")) == 1
    assert backend.adopt(prepared.tag, prepared.directory) is None
    simulator.clock.advance(31)
    ref = backend.adopt(prepared.tag, prepared.directory)
    made = [job["name"] for job in simulator.jobs]
    assert [ref and ref["provider_id"]] == (made or [None])
    assert len(simulator.requests("jobs.create")) == 1
    assert backend.adopt("tp-another", prepared.directory) is None


def test_an_adoption_reads_further_pages(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex_wire, "PAGE", 2)
    simulator = simulate(filters=False)
    prepared = [prepare(backend, tag=f"tp-{n}") for n in range(5)]
    for each in prepared:
        backend.submit(each)
    ref = backend.adopt("tp-0", prepared[0].directory)
    assert ref is not None
    assert ref["provider_id"] == simulator.jobs[0]["name"]
    assert sum("pageToken" in entry.query for entry in simulator.requests("jobs.list")) == 2


def test_many_jobs_are_asked_for_together(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulator = simulate()
    refs = [backend.submit(prepare(backend, tag=f"tp-{n}")) for n in range(5)]
    gone = {**refs[0], "provider_id": f"{simulator.parent}/tuningJobs/1"}
    snapshots = backend.snapshots([*refs, gone])
    assert [snapshot.status for snapshot in snapshots] == [JobStatus.QUEUED] * 5 + [JobStatus.UNKNOWN]
    assert len(simulator.requests("jobs.list")) == 1
    assert len(simulator.requests("jobs.get")) == 1
    with pytest.raises(RemoteNotFoundError):
        backend.snapshots([gone])


def test_what_the_service_refuses_is_said(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulate(locations=["europe-west4"])
    with pytest.raises(RejectedError, match="not supported in the location us-central1") as caught:
        backend.submit(prepare(backend))
    assert caught.value.request_id


def test_a_bucket_that_is_not_there(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulator = simulate()
    with pytest.raises(RemoteNotFoundError, match="option bucket"):
        backend.submit(prepare(backend, options={"bucket": "gs://nowhere"}))
    assert simulator.requests("jobs.create") == []


def test_threads_do_not_read_each_others_answers(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulate()
    refs = [backend.submit(prepare(backend, tag=f"tp-{n}")) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            said = [*pool.map(lambda ref: backend.events(ref, 0)[0].message, refs)]
            assert said == [f"created as {ref['provider_id']}" for ref in refs]
