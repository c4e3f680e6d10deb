"""Nothing is lost and nothing is made twice: uploads that are reused, creates whose reply is lost, and a refusal's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuneport.backend import Prepared
from tuneport.errors import (
    CredentialsError,
    RateLimitedError,
    RejectedError,
    SubmitUnknownError,
    TrainingClosedError,
    UnavailableError,
)
from tuneport_backends import openai_files
from tuneport_backends.openai import OpenAIBackend
from tuneport_backends.simulators.faults import Fault
from tuneport_backends.simulators.openai import OpenAISimulator

Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]
RETRIES = 3  # requests at most, the first included


def created(simulator: OpenAISimulator) -> int:
    return len(simulator.jobs)


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "jobs.create", "do": "lose-reply"},
        {"on": "jobs.create", "do": "cut"},
        {"on": "jobs.create", "do": "status", "status": 500},
        {"on": "jobs.create", "do": "status", "status": 503, "retry_after": 0.01},
        {"on": "jobs.create", "do": "status", "status": 408},
    ],
)
def test_a_create_is_sent_once_and_what_it_made_is_adopted(
    fault: dict[str, object], simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{**fault, "times": 1}])
    job = prepare(backend)
    with pytest.raises(SubmitUnknownError, match=job.tag):
        backend.submit(job)
    assert len(simulator.requests("jobs.create")) == 1
    adopted = backend.adopt(job.tag, job.directory)
    if fault["do"] == "lose-reply":
        assert created(simulator) == 1
        assert adopted is not None
        assert adopted["provider_id"] == simulator.jobs[0]["id"]
    else:
        assert created(simulator) == 0
        assert adopted is None
        ref = backend.submit(job)
        assert backend.adopt(job.tag, job.directory) == ref
    assert created(simulator) == 1
    assert len(simulator.files) == 1, "the upload was made once"


@pytest.mark.parametrize("field", ["id"])
def test_a_create_that_answers_without_an_id_is_unknown(
    field: str, simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "field", "field": field, "value": None}])
    job = prepare(backend)
    with pytest.raises(SubmitUnknownError):
        backend.submit(job)
    adopted = backend.adopt(job.tag, job.directory)
    assert adopted is not None
    assert adopted["provider_id"] == simulator.jobs[0]["id"]


def test_the_listing_may_lag(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "lose-reply", "times": 1}], listing_lag=30)
    job = prepare(backend)
    with pytest.raises(SubmitUnknownError):
        backend.submit(job)
    assert backend.adopt(job.tag, job.directory) is None
    simulator.clock.advance(31)
    assert backend.adopt(job.tag, job.directory) is not None
    assert backend.capabilities().polling.window >= 60


def test_nobody_answering_means_that_nothing_was_made(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    job = prepare(backend)
    backend.submit(job)  # the upload is there
    simulator.stop()
    with pytest.raises(UnavailableError) as caught:
        backend.submit(job)
    assert not isinstance(caught.value, SubmitUnknownError)


def test_adopting_finds_ours_among_many_and_not_another(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    jobs = [prepare(backend, tag=f"tp-{n:026}") for n in range(130)]
    refs = [backend.submit(job) for job in jobs]
    assert backend.adopt(jobs[0].tag, jobs[0].directory) == refs[0]
    other = prepare(backend, tag="tp-none")
    before = len(simulator.requests("jobs.create"))
    assert backend.adopt("tp-none", other.directory) is None
    assert len(simulator.requests("jobs.create")) == before


def test_a_service_that_keeps_no_metadata_is_searched_by_training_file(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{"on": "jobs.list", "do": "field", "field": "metadata", "value": None}])
    jobs = [prepare(backend, tag=f"tp-{n:026}") for n in range(120)]
    refs = [backend.submit(job) for job in jobs]
    assert backend.adopt(jobs[3].tag, jobs[3].directory) == refs[3]
    (jobs[3].directory / "upload" / "openai.json").write_text("torn{")
    assert backend.adopt(jobs[3].tag, jobs[3].directory) == refs[3], "by the file's name, without our own record"
    assert created(simulator) == 120


# Uploads


@pytest.mark.parametrize("fault", [{"do": "lose-reply"}, {"do": "cut", "value": 200}], ids=lambda fault: fault["do"])
def test_an_upload_that_breaks_is_made_again_or_found(
    fault: dict[str, object], simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{"on": "files.create", **fault}])
    job = prepare(backend)
    with pytest.raises(UnavailableError):
        backend.submit(job)
    assert len(simulator.requests("files.create")) == RETRIES
    assert created(simulator) == 0
    working = simulate()  # another day: the service is well again
    for content in simulator.files.values():
        working._state.files.keep(f"{job.tag}-train.jsonl", "fine-tune", content)
    backend.submit(job)
    assert len(working.requests("files.create")) == (0 if fault["do"] == "lose-reply" else 1)
    assert created(working) == 1


def test_an_upload_is_reused_only_where_it_arrived_whole(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "status", "status": 400, "times": 2}])
    job = prepare(backend)
    for _ in range(2):
        with pytest.raises(RejectedError):
            backend.submit(job)
    assert len(simulator.requests("files.create")) == 1
    (file,) = simulator.files
    simulator._state.files.held[file].content = b"torn"
    backend.submit(job)
    assert len(simulator.requests("files.create")) == 2


def test_a_large_file_goes_by_parts_and_goes_on_where_it_broke(
    simulate: Simulate,
    backend: OpenAIBackend,
    prepare: Prepare,
    samples: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_files, "PLAIN_BYTES", 1000)
    monkeypatch.setattr(openai_files, "PART_BYTES", 1000)
    simulator = simulate(faults=[{"on": "uploads.part", "do": "status", "status": 500, "after": 3, "times": RETRIES}])
    job = prepare(backend, rows=samples.chat(100))
    with pytest.raises(UnavailableError):
        backend.submit(job)
    backend.submit(job)
    whole = (job.directory / "upload" / "train.jsonl").read_bytes()
    assert list(simulator.files.values()) == [whole]
    parts = [entry for entry in simulator.requests("uploads.part") if entry.status == 200]
    assert len(parts) == -(-len(whole) // 1000), "each part was sent once"
    assert len(simulator.requests("uploads.create")) == 1


def test_parts_of_an_upload_that_expired_are_sent_again(
    simulate: Simulate,
    backend: OpenAIBackend,
    prepare: Prepare,
    samples: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_files, "PLAIN_BYTES", 1000)
    monkeypatch.setattr(openai_files, "PART_BYTES", 1000)
    simulator = simulate(faults=[{"on": "uploads.part", "do": "status", "status": 500, "after": 3, "times": RETRIES}])
    job = prepare(backend, rows=samples.chat(100))
    with pytest.raises(UnavailableError):
        backend.submit(job)
    simulator.clock.advance(3601)  # there, but not by the clock here
    backend.submit(job)
    assert list(simulator.files.values()) == [(job.directory / "upload" / "train.jsonl").read_bytes()]
    assert len(simulator.requests("uploads.create")) == 2


def test_ctrl_c_in_the_middle_of_an_upload_tidies_up(
    simulate: Simulate,
    backend: OpenAIBackend,
    prepare: Prepare,
    samples: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_files, "PLAIN_BYTES", 1000)
    monkeypatch.setattr(openai_files, "PART_BYTES", 1000)
    simulator = simulate()
    job = prepare(backend, rows=samples.chat(100))
    from tuneport_backends.openai_wire import Wire

    sent = Wire.add_part

    def interrupted(self: Wire, upload: str, data: bytes) -> dict[str, object]:
        if len(simulator.requests("uploads.part")) == 2:
            raise KeyboardInterrupt
        return sent(self, upload, data)

    monkeypatch.setattr(Wire, "add_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend.submit(job)
    assert len(simulator.requests("uploads.cancel")) == 1
    monkeypatch.setattr(Wire, "add_part", sent)
    backend.submit(job)
    assert len(simulator.files) == 1


def test_a_large_file_is_streamed(tmp_path: Path, simulate: Simulate) -> None:
    import tracemalloc

    from tuneport_backends.openai_service import OPENAI
    from tuneport_backends.openai_wire import Wire

    simulate(
        faults=[{"on": "files.create", "do": "cut", "value": 60_000_000}]
    )  # the server's own memory is not measured
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"x" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(UnavailableError):
            Wire(OPENAI, {}).upload(path, "tp-x-train.jsonl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000 + 20_000_000, "the 50 MB that the server reads, and no second copy"


# Refusals


def test_an_organisation_that_may_no_longer_tune_is_told_what_happened(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(closed=True)
    with pytest.raises(TrainingClosedError) as caught:
        backend.submit(prepare(backend))
    words = str(caught.value)
    assert "training_not_available" in words
    assert "tuneport migrate" in words
    assert "bedrock:" in words
    assert caught.value.request_id
    assert created(simulator) == 0


def test_rate_limits_are_waited_out_and_then_told(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    fault = {"on": "jobs.retrieve", "do": "status", "status": 429, "retry_after": 0.01}
    simulator.faults.add(Fault.parse({**fault, "times": 2}))
    assert backend.snapshots([ref])[0].raw == "validating_files"
    assert len(simulator.requests("jobs.retrieve")) == RETRIES
    simulator.faults.add(Fault.parse({**fault, "retry_after": 600}))
    with pytest.raises(RateLimitedError) as caught:
        backend.snapshots([ref])
    assert caught.value.retry_after == 600, "longer than the SDK waits: the caller is told"
    assert len(simulator.requests("jobs.retrieve")) == RETRIES + 1


def test_missing_and_expired_credentials(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate()
    job = prepare(backend)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-1234567890")
    with pytest.raises(CredentialsError, match="OPENAI_API_KEY"):
        backend.submit(job)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert [issue.code for issue in backend.check(job.spec)] == ["credentials.missing"]
    with pytest.raises(CredentialsError, match=r"OPENAI_API_KEY.*tuneport\[openai\]"):
        backend.submit(job)
    assert created(simulator) == 0


@pytest.mark.parametrize("fault", ["none", "401", "lost", "closed"])
def test_no_credential_leaves_the_process(
    fault: str, simulate: Simulate, backend: OpenAIBackend, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-planted-9f8e7d6c5b4a"
    scripts = {
        "none": [],
        "401": [
            {
                "on": "*",
                "do": "status",
                "status": 401,
                "body": {"error": {"message": f"Incorrect API key provided: {key}", "type": "t", "code": "c"}},
            }
        ],
        "lost": [{"on": "jobs.create", "do": "lose-reply"}],
        "closed": [
            {
                "on": "jobs.create",
                "do": "status",
                "status": 400,
                "body": {"error": {"message": f"bad {key}", "type": "t"}},
            }
        ],
    }
    simulator = simulate(faults=scripts[fault], api_key=key)
    job = prepare(backend)
    said: list[str] = []
    caplog.set_level("DEBUG")
    try:
        ref = backend.submit(job)
        simulator.clock.advance(1000)
        said += [json.dumps(dict(ref)), backend.result(ref).model_dump_json(), str(backend.events(ref, 0))]
    except (SubmitUnknownError, CredentialsError, RejectedError) as error:
        said += [str(error), repr(error.__cause__), repr(error.__dict__)]
    said += [str(backend.diagnose()), caplog.text]
    said += [str((entry.path, entry.query, entry.body)) for entry in simulator.log]
    files = [path.read_text(errors="replace") for path in job.directory.rglob("*") if path.is_file()]
    assert fault == "none" or len(said) > 3
    for text in [*said, *files]:
        assert key not in text
        assert key[3:14] not in text
