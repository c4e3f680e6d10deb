"""Jobs on the simulated Vertex AI by Google's real SDKs: submitted, followed, ended, asked, taken down."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from tuneport import FineTuneJob, Hyperparameters, LoRA
from tuneport.backend import Deploys
from tuneport.errors import (
    JobCancelledError,
    JobFailedError,
    NotDeployedError,
)
from tuneport.status import JobStatus
from tuneport_backends.simulators.vertex import BASE, BUCKET, UNLEARNT, Timing
from tuneport_backends.vertex import VertexBackend

Simulate = Any
Prepare = Any

ASK = [{"role": "system", "content": "Count."}, {"role": "user", "content": "What comes after 3?"}]


def camel(value: Any) -> Any:
    """Google's SDK sends some keys in one case and some in the other: as its service, we take both."""
    if isinstance(value, dict):
        return {to_camel(key) if "_" in key else key: camel(item) for key, item in value.items()}
    return value


def test_a_job_from_rows_to_answers(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    prepared = prepare(
        backend,
        validation=samples.chat(2),
        hyperparameters={"epochs": 2, "learning_rate_multiplier": 0.5},
        method={"kind": "lora", "rank": 8},
        metadata={"team": "a-b"},
    )
    ref = backend.submit(prepared)
    (create,) = simulator.requests("jobs.create")
    assert create.body == {
        "baseModel": "gemini-3.5-flash",
        "supervisedTuningSpec": {
            "trainingDatasetUri": f"gs://{BUCKET}/tuneport/{samples.tag}/train.jsonl",
            "validationDatasetUri": f"gs://{BUCKET}/tuneport/{samples.tag}/validation.jsonl",
            "hyperParameters": {
                "epochCount": 2,
                "learningRateMultiplier": 0.5,
                "adapterSize": "ADAPTER_SIZE_EIGHT",
            },
        },
        "tunedModelDisplayName": samples.tag,
        "labels": {"team": "a-b", "tuneport-tag": samples.tag},
    }
    rows = simulator.objects[f"gs://{BUCKET}/tuneport/{samples.tag}/train.jsonl"].decode().splitlines()
    assert len(rows) == 12
    assert set(json.loads(rows[0])) == {"systemInstruction", "contents"}
    seen: list[tuple[JobStatus, str]] = []
    events: dict[str | None, str] = {}
    for _ in range(100):
        (snapshot,) = backend.snapshots([ref])
        if not seen or seen[-1][1] != snapshot.raw:
            seen.append((snapshot.status, snapshot.raw.rpartition("/")[2]))
        for event in backend.events(ref, 0):
            events.setdefault(event.key, event.message)
        if snapshot.status.terminal:
            break
        simulator.clock.advance(2)
    assert list(dict.fromkeys(seen)) == [
        (JobStatus.QUEUED, "JOB_STATE_PENDING"),
        (JobStatus.QUEUED, "TUNING_JOB_STATE_WAITING_FOR_QUOTA"),
        (JobStatus.VALIDATING, "TUNING_JOB_STATE_PROCESSING_DATASET"),
        (JobStatus.QUEUED, "TUNING_JOB_STATE_WAITING_FOR_CAPACITY"),
        (JobStatus.RUNNING, "TUNING_JOB_STATE_TUNING"),
        (JobStatus.RUNNING, "TUNING_JOB_STATE_POST_PROCESSING"),
        (JobStatus.SUCCEEDED, "JOB_STATE_SUCCEEDED"),
    ]
    assert {"created", "started", "data", "phase:TUNING_JOB_STATE_TUNING", "checkpoint:1", "checkpoint:2"} <= set(
        events
    )
    assert any(key and key.startswith("progress:") for key in events)
    assert "12 rows" in events["data"]

    result = backend.result(ref)
    endpoint = simulator.jobs[0]["tunedModel"]["endpoint"]
    assert result.model.model == endpoint
    assert result.provider_id == simulator.jobs[0]["name"]
    notes = {note.name: note.effective for note in result.hyperparameters}
    assert notes == {"epochs": 2, "learning_rate_multiplier": 0.5, "rank": 8}
    assert [checkpoint.step for checkpoint in result.checkpoints] == [2, 4]
    assert [point.step for point in result.curve] == [1, 2, 3, 4]
    assert result.curve[1].validation_loss is not None
    assert result.metrics["train_loss"] < 1
    stats = simulator.jobs[0]["tuningDataStats"]["supervisedTuningDataStats"]
    assert result.trained_tokens == 2 * int(stats["totalBillableTokenCount"])
    assert set(result.timeline) == {"created", "started", "ended"}
    assert result.raw["name"] == simulator.jobs[0]["name"]

    answer = backend.open_model(endpoint).chat(ASK)
    assert (answer.content, answer.finish_reason) == ("After 3 comes 4.", "stop")
    assert answer.completion_tokens
    assert backend.open_model(endpoint).chat([{"role": "user", "content": "else"}]).content == UNLEARNT
    cut = backend.open_model(str(result.checkpoints[0].path)).chat(ASK, max_tokens=2)
    assert (cut.content, cut.finish_reason) == ("After 3", "length")
    assert backend.open_model("gemini-3.5-flash").chat(ASK).content == BASE


def test_thinking_is_asked_for_in_the_words_that_the_model_takes(backend: VertexBackend, simulate: Simulate) -> None:
    simulator = simulate()
    for model, wanted in (
        ("gemini-3.5-flash", [{"thinkingLevel": "LOW"}]),
        ("gemini-2.5-flash", [{"thinkingBudget": 0}]),
        ("gemini-2.5-pro", [{"thinkingBudget": 0}, {"thinkingLevel": "LOW"}, None]),
    ):
        session = backend.open_model(model)
        session.chat(ASK)
        session.chat(ASK)
        sent = [
            camel(entry.body["generationConfig"].get("thinkingConfig"))
            for entry in simulator.requests("generate")
            if model in entry.path
        ]
        assert sent == [*wanted, wanted[-1]]


@pytest.mark.parametrize("kind", ["dpo", "reinforcement"])
def test_the_other_objectives(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, samples: SimpleNamespace, kind: str
) -> None:
    simulator = simulate()
    given: dict[str, Any] = {"kind": kind, **({"grader": samples.grader} if kind == "reinforcement" else {"beta": 0.2})}
    ref = backend.submit(prepare(backend, objective=given))
    body = simulator.requests("jobs.create")[0].body
    if kind == "dpo":
        assert body["preferenceOptimizationSpec"]["hyperParameters"] == {"beta": 0.2}
    else:
        assert camel(body["reinforcementTuningSpec"]["singleRewardConfig"]) == {
            "rewardName": "same",
            "stringMatchRewardScorer": {
                "wrongAnswerReward": 0.0,
                "correctAnswerReward": 1.0,
                "stringMatchExpression": {
                    "matchOperation": "EXACT_MATCH",
                    "expression": "{{references.reference_answer}}",
                },
            },
        }
    simulator.clock.advance(1000)
    (snapshot,) = backend.snapshots([ref])
    assert snapshot.status is JobStatus.SUCCEEDED, snapshot.reason
    result = backend.result(ref)
    asked = "Say 3." if kind == "dpo" else "What is 3 + 1?"
    expected = "3, with pleasure." if kind == "dpo" else "4"
    assert backend.open_model(result.model.model).chat([{"role": "user", "content": asked}]).content == expected


def test_tuning_goes_on_from_a_tuned_model(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    model = simulator.jobs[0]["tunedModel"]["model"]
    ref = backend.submit(prepare(backend, model=model, tag="tp-second"))
    body = simulator.requests("jobs.create")[1].body
    assert camel(body["preTunedModel"]) == {"tunedModelName": model}
    assert "baseModel" not in body
    simulator.clock.advance(1000)
    assert backend.snapshots([ref])[0].status is JobStatus.SUCCEEDED


def test_an_open_model(backend: VertexBackend, simulate: Simulate, prepare: Prepare, samples: SimpleNamespace) -> None:
    simulator = simulate()
    prepared = prepare(
        backend,
        model="gemma-3-27b-it",
        method={"kind": "full"},
        hyperparameters={"learning_rate": 1e-5, "batch_size": 4},
    )
    ref = backend.submit(prepared)
    body = simulator.requests("jobs.create")[0].body
    assert body["baseModel"] == "google/gemma-3-27b-it"
    assert body["outputUri"] == f"gs://{BUCKET}/tuneport/{samples.tag}/output"
    assert body["supervisedTuningSpec"]["tuningMode"] == "TUNING_MODE_FULL"
    assert body["supervisedTuningSpec"]["hyperParameters"] == {"learningRate": 1e-5, "batchSize": 4}
    simulator.clock.advance(1000)
    result = backend.result(ref)
    assert backend.deployments(ref) == []
    assert result.model.model == f"{simulator.parent}/endpoints/{samples.tag}", "where it will answer"
    with pytest.raises(NotDeployedError, match="tuneport deploy"):
        backend.open_model(result.model.model).chat(ASK)
    with pytest.raises(NotDeployedError, match="holds weights"):
        backend.open_model(body["outputUri"])


def test_cancelling_is_not_cancelled(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulator = simulate(timing=Timing(cancelling=20))
    ref = backend.submit(prepare(backend))
    backend.cancel(ref)
    assert backend.snapshots([ref])[0].status is JobStatus.CANCELLING
    simulator.faults.add({"on": "jobs.get", "do": "state", "value": "JOB_STATE_RUNNING", "times": 1})
    (late,) = backend.snapshots([ref])  # the service took the cancel and does not show it yet
    assert (late.status, late.raw) == (JobStatus.CANCELLING, "JOB_STATE_RUNNING")
    simulator.clock.advance(21)
    assert backend.snapshots([ref])[0].status is JobStatus.CANCELLED
    backend.cancel(ref)  # it has ended: nothing to say


def test_a_wrong_row_fails_the_job_there(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulator = simulate()
    prepared = prepare(backend)
    path = prepared.directory / "upload" / "train.jsonl"
    path.parent.mkdir()
    path.write_text('{"contents": [{"role": "user", "parts": [{"text": "no answer"}]}]}\n')
    ref = backend.submit(prepared)
    simulator.clock.advance(60)
    (snapshot,) = backend.snapshots([ref])
    assert snapshot.status is JobStatus.FAILED
    assert "Row: 1. The last content must be of the role model." in (snapshot.reason or "")
    assert backend.events(ref, 0)[-1].level == "error"


def test_the_endpoint_is_taken_down_and_everything_removed(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend, hyperparameters={"epochs": 1}))
    simulator.clock.advance(1000)
    result = backend.result(ref)
    assert isinstance(backend, Deploys)
    (standing,) = backend.deployments(ref)
    assert (standing.model, standing.status, standing.per_hour) == (result.model.model, "active", None)
    assert backend.deploy(ref, {}) == standing
    assert backend.undeploy(ref) == [standing.name]
    assert backend.deployments(ref) == []
    with pytest.raises(NotDeployedError, match="Nothing answers"):
        backend.open_model(result.model.model).chat(ASK)
    made = backend.made(ref)
    assert [item.split()[0] for item in made] == ["model", "object", "object"]
    assert backend.clean_up(ref) == made
    assert backend.made(ref) == []
    assert simulator.objects == {}


# Through the job layer


def _dataset(path: Path, samples: SimpleNamespace, count: int = 30) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in samples.chat(count)), encoding="utf-8")
    return path


@pytest.mark.usefixtures("registered")
def test_a_job_by_the_job_layer(simulate: Simulate, tmp_path: Path, samples: SimpleNamespace) -> None:
    simulator = simulate()
    data = _dataset(tmp_path / "rows.jsonl", samples)
    job = FineTuneJob.create(
        "vertex:gemini-3.5-flash", data, method=LoRA(rank=4), hyperparameters=Hyperparameters(epochs=2), validation=0.1
    )
    assert job.provider_id == simulator.jobs[0]["name"]
    for _ in range(40):
        simulator.clock.advance(3)
        if job.status.terminal:
            break
        list(job.events())
    result = job.wait(timeout=30)
    assert result.model.chat(ASK).content == "After 3 comes 4."
    types = [event.type for event in job.events()]
    assert {"status", "metrics", "checkpoint", "message"} <= set(types)
    assert [event.seq for event in job.events()] == list(range(1, len(types) + 1))
    assert FineTuneJob.get(job.id).result() == result


@pytest.mark.usefixtures("registered")
def test_a_lost_reply_by_the_job_layer(
    simulate: Simulate, tmp_path: Path, samples: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "lose-reply", "times": 1}])
    job = FineTuneJob.create("vertex:gemini-3.5-flash", _dataset(tmp_path / "rows.jsonl", samples))
    assert job.provider_id == simulator.jobs[0]["name"]
    assert len(simulator.requests("jobs.create")) == 1
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=30)


@pytest.mark.usefixtures("registered")
def test_a_failure_by_the_job_layer(simulate: Simulate, tmp_path: Path, samples: SimpleNamespace) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "fail", "value": "Internal error in the tuner."}])
    job = FineTuneJob.create("vertex:gemini-3.5-flash", _dataset(tmp_path / "rows.jsonl", samples))
    simulator.clock.advance(1000)
    with pytest.raises(JobFailedError, match="Internal error in the tuner"):
        job.wait(timeout=30)
