"""A job from submit to clean-up, by the real SDK against the simulator."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.backend import CleansUp, HasCheckpoints, OpensModels, Pauses, Prepared, Ref
from tuneport.errors import JobError, NotDeployedError, RejectedError, RemoteNotFoundError, UnsupportedError
from tuneport.status import JobStatus
from tuneport_backends.openai import AzureBackend, BedrockOpenAIBackend, OpenAIBackend
from tuneport_backends.simulators.openai import OpenAISimulator, Timing

Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]


def stands(backend: OpenAIBackend, ref: Ref) -> JobStatus:
    return backend.snapshots([ref])[0].status


def test_a_job_goes_through_its_states_and_leaves_everything(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    job = prepare(
        backend,
        rows=samples.chat(40),
        validation=samples.chat(4),
        hyperparameters={"epochs": 2, "batch_size": 4},
        options={"suffix": "triage"},
        metadata={"team": "support"},
        integrations=[{"type": "wandb", "wandb": {"project": "tickets"}}],
        seed=7,
    )
    ref = backend.submit(job)
    assert stands(backend, ref) is JobStatus.VALIDATING
    simulator.clock.advance(10)
    assert stands(backend, ref) is JobStatus.QUEUED
    simulator.clock.advance(20)
    assert stands(backend, ref) is JobStatus.RUNNING
    simulator.clock.advance(20)
    (snapshot,) = backend.snapshots([ref])
    assert snapshot.status is JobStatus.SUCCEEDED
    assert snapshot.raw == "succeeded"
    (sent,) = [entry.body for entry in simulator.requests("jobs.create")]
    files = {name: content for name, content in simulator.files.items() if name in sent.values()}
    assert len(files) == 2
    assert sent == {
        "model": "gpt-4.1-mini-2025-04-14",
        "training_file": sent["training_file"],
        "validation_file": sent["validation_file"],
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}},
        "metadata": {"team": "support", "tuneport_tag": samples.tag},
        "seed": 7,
        "suffix": "triage",
        "integrations": [{"type": "wandb", "wandb": {"project": "tickets"}}],
    }
    uploads = simulator.requests("files.create")
    names = [entry.body["file"]["filename"] for entry in uploads]
    assert names == [f"{samples.tag}-train.jsonl", f"{samples.tag}-validation.jsonl"]

    result = backend.result(ref)
    assert result.provider_id == ref["provider_id"]
    assert result.model.model.startswith("ft:gpt-4.1-mini-2025-04-14:tuneport-simulator:triage:")
    effective = {note.name: (note.requested, note.effective) for note in result.hyperparameters}
    assert effective["epochs"] == (2, 2)
    assert effective["learning_rate_multiplier"] == (None, 2.0), "what 'auto' became"
    assert [point.step for point in result.curve] == list(range(1, 21))
    last = result.curve[-1]
    assert last.loss is not None
    assert last.validation_loss is not None
    assert result.curve[0].loss is not None
    assert last.loss < result.curve[0].loss
    assert last.epoch == 2
    assert result.metrics["train_loss"] == last.loss
    assert result.metrics["validation_loss"] == last.validation_loss
    assert result.trained_tokens == simulator.jobs[0]["trained_tokens"]
    assert result.cost.actual == pytest.approx(result.trained_tokens * 5 / 1e6)
    assert set(result.timeline) == {"created", "started", "ended"}
    assert result.usage.wall_seconds == 20
    assert result.raw["job"]["id"] == ref["provider_id"]
    (artifact,) = result.artifacts
    kept = Path(artifact.path).read_bytes()
    assert kept.startswith(b"step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,")

    assert isinstance(backend, HasCheckpoints)
    checkpoints = backend.checkpoints(ref)
    assert [item.step for item in checkpoints] == [10, 20]
    assert list(result.checkpoints) == checkpoints
    assert isinstance(backend, OpensModels)
    answer = backend.open_model(result.model.model).chat([{"role": "user", "content": "What comes after 3?"}])
    assert answer.content == "After 3 comes 4."
    assert answer.prompt_tokens
    early = backend.open_model(str(checkpoints[0].path)).chat([{"role": "user", "content": "What comes after 3?"}])
    assert early.content == "After 3 comes 4."

    assert isinstance(backend, CleansUp)
    made = backend.made(ref)
    assert sorted(word.split()[0] for word in made) == ["file", "file", "file", "model"]
    assert sorted(backend.clean_up(ref)) == sorted(made)
    assert backend.made(ref) == []
    assert backend.clean_up(ref) == []


def test_events_are_told_once_each_in_order_and_in_our_words(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend, rows=samples.chat(120), validation=samples.chat(4)))
    simulator.clock.advance(31)
    first = backend.events(ref, 0)
    assert [event.type for event in first] == ["message", "message", "message", "message", "metrics"]
    assert first[0].message == f"Created fine-tuning job: {ref['provider_id']}"
    assert first[-1].data == {
        "step": 1,
        "loss": first[-1].data["loss"],
        "token_accuracy": first[-1].data["token_accuracy"],
        "total_steps": 360,
    }
    simulator.clock.advance(400)
    every = backend.events(ref, 0)
    assert every[: len(first)] == first
    assert len({event.key for event in every}) == len(every)
    assert [event.at for event in every] == sorted(event.at for event in every)
    assert [event.data["step"] for event in every if event.type == "metrics"] == list(range(1, 361))
    assert [event.data for event in every if event.type == "checkpoint"] == [{"step": 120}, {"step": 240}]
    read = len(simulator.requests("jobs.events"))
    assert backend.events(ref, 0) == every
    assert len(simulator.requests("jobs.events")) == read + 1, "pages that are known are not read again"
    assert OpenAIBackend().events(ref, 0) == every, "another process sees the same"


def test_a_wrong_row_fails_the_job_as_it_would_there(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    rows = samples.chat(12)
    rows[6]["messages"].reverse()
    ref = backend.submit(prepare(backend, rows=rows))
    simulator.clock.advance(11)
    (snapshot,) = backend.snapshots([ref])
    assert snapshot.status is JobStatus.FAILED
    assert not snapshot.resumable
    assert "Example 7 last message must be from the assistant" in (snapshot.reason or "")
    assert backend.events(ref, 0)[-1].level == "error"
    with pytest.raises(JobError, match="no tuned model"):
        backend.result(ref)


@pytest.mark.parametrize(
    ("objective", "model", "rows"),
    [
        ({"kind": "dpo", "beta": 0.3}, "gpt-4.1-2025-04-14", "preference"),
        ({"kind": "reinforcement"}, "o4-mini-2025-04-16", "graded"),
    ],
)
def test_preference_and_reinforcement(
    objective: dict[str, Any],
    model: str,
    rows: str,
    simulate: Simulate,
    backend: OpenAIBackend,
    prepare: Prepare,
    samples: SimpleNamespace,
) -> None:
    simulator = simulate()
    if objective["kind"] == "reinforcement":
        objective = {**objective, "grader": samples.grader}
    options = {"compute_multiplier": 2, "reasoning_effort": "low"} if objective["kind"] == "reinforcement" else {}
    job = prepare(backend, model=model, objective=objective, rows=getattr(samples, rows)(), options=options)
    assert not [issue for issue in backend.check(job.spec) if issue.severity == "error"]
    ref = backend.submit(job)
    simulator.clock.advance(1000)
    result = backend.result(ref)
    sent = simulator.requests("jobs.create")[0].body["method"]
    if objective["kind"] == "dpo":
        assert sent == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3}}}
        asked, said = "Say 3.", "3, with pleasure."
        assert {note.name: note.effective for note in result.hyperparameters}["beta"] == 0.3
    else:
        hyperparameters = {"compute_multiplier": 2, "reasoning_effort": "low"}
        assert sent == {
            "type": "reinforcement",
            "reinforcement": {"grader": samples.grader, "hyperparameters": hyperparameters},
        }
        asked, said = "What is 3 + 1?", "4"
        assert result.metrics["train_reward_mean"] > 0.5
    session = backend.open_model(result.model.model)
    assert session.chat([{"role": "user", "content": asked}]).content == said
    refusals = [entry for entry in simulator.requests("chat") if entry.status == 400]
    assert len(refusals) == (2 if objective["kind"] == "reinforcement" else 0), (
        "a reasoning model's own words are learnt"
    )
    session.chat([{"role": "user", "content": asked}])
    assert len([entry for entry in simulator.requests("chat") if entry.status == 400]) == len(refusals), "and kept"


def test_cancelling_is_not_cancelled(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate(timing=Timing(cancelling=5))
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(31)
    backend.cancel(ref)
    assert stands(backend, ref) is JobStatus.CANCELLING
    simulator.clock.advance(6)
    assert stands(backend, ref) is JobStatus.CANCELLED
    backend.cancel(ref)  # it has ended: nothing to do


@pytest.mark.parametrize("after", [0, 15, 31])
def test_cancel_in_each_state(after: float, simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(after)
    backend.cancel(ref)
    assert stands(backend, ref) is JobStatus.CANCELLED
    simulator.clock.advance(1000)
    assert stands(backend, ref) is JobStatus.CANCELLED


def test_a_job_that_ends_while_it_is_being_cancelled_has_succeeded(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(timing=Timing(cancelling=1000))
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(31)
    backend.cancel(ref)
    simulator.clock.advance(500)
    assert stands(backend, ref) is JobStatus.SUCCEEDED


def test_pause_and_unpause(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    assert isinstance(backend, Pauses)
    with pytest.raises(RejectedError, match="Only a running job"):
        backend.pause(ref)
    simulator.clock.advance(32)
    backend.pause(ref)
    assert stands(backend, ref) is JobStatus.PAUSING
    simulator.clock.advance(6)
    assert stands(backend, ref) is JobStatus.PAUSED
    told = len(backend.events(ref, 0))
    simulator.clock.advance(10_000)
    assert stands(backend, ref) is JobStatus.PAUSED
    assert len(backend.events(ref, 0)) == told, "nothing happens in a pause"
    backend.unpause(ref)
    assert stands(backend, ref) is JobStatus.RUNNING
    simulator.clock.advance(1000)
    assert stands(backend, ref) is JobStatus.SUCCEEDED


def test_many_jobs_are_asked_for_together(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate()
    refs = [backend.submit(prepare(backend, tag=f"tp-{n:026}")) for n in range(6)]
    simulator.clock.advance(11)
    assert [item.status for item in backend.snapshots(refs)] == [JobStatus.QUEUED] * 6
    assert len(simulator.requests("jobs.list")) == 1
    assert not simulator.requests("jobs.retrieve")


def test_a_job_that_is_gone_hides_no_other(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulate()
    ref = backend.submit(prepare(backend))
    gone = {**ref, "provider_id": "ftjob-nowhere"}
    first, second = backend.snapshots([gone, ref])
    assert (first.status, second.status) == (JobStatus.UNKNOWN, JobStatus.VALIDATING)
    assert "ftjob-nowhere" in (first.reason or "")
    with pytest.raises(RemoteNotFoundError, match=r"It was made at http://127\.0\.0\.1"):
        backend.snapshots([gone])


def test_a_result_file_that_is_gone_is_said_and_the_curve_comes_from_events(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{"on": "files.content", "do": "status", "status": 404}])
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    result = backend.result(ref)
    assert [point.step for point in result.curve]
    assert "result file" in result.warnings[-1]


# The services that speak the same wire


def test_azure(simulate: Simulate, azure: AzureBackend, prepare: Prepare) -> None:
    simulator = simulate(service="azure")
    job = prepare(azure, hyperparameters={"epochs": 1})
    ref = azure.submit(job)
    assert azure.adopt(job.tag, job.directory) == ref
    simulator.clock.advance(1000)
    result = azure.result(ref)
    assert result.model.model.startswith("gpt-4.1-mini-2025-04-14.ft-")
    messages = [{"role": "user", "content": "What comes after 3?"}]
    with pytest.raises(NotDeployedError, match=r"tuneport deploy.* --model-name gpt-4\.1-mini-2025-04-14\.ft-"):
        azure.open_model(result.model.model).chat(messages)
    simulator.deploy("triage", result.model.model)
    assert azure.open_model("triage").chat(messages).content == "After 3 comes 4."
    assert not any(word.startswith("model") for word in azure.made(ref))
    assert all(entry.path.startswith("/") for entry in simulator.log)


def test_azure_with_a_dated_version_and_a_named_deployment(
    simulate: Simulate, azure: AzureBackend, prepare: Prepare
) -> None:
    simulator = simulate(service="azure")
    job = prepare(azure, options={"api_version": "2025-04-01-preview", "deployment": "triage"})
    ref = azure.submit(job)
    simulator.clock.advance(1000)
    assert {entry.query.get("api-version") for entry in simulator.log} == {"2025-04-01-preview"}
    result = azure.result(ref)
    assert result.model.model == "triage"


def test_bedrock_speaks_only_what_is_documented(
    simulate: Simulate, bedrock: BedrockOpenAIBackend, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate(service="bedrock-openai")
    job = prepare(
        bedrock,
        model="openai.gpt-oss-20b",
        objective={"kind": "reinforcement", "grader": samples.grader_lambda},
        rows=samples.graded(100),
        hyperparameters={"epochs": 1, "batch_size": 4},
    )
    assert not bedrock.check(job.spec)
    ref = bedrock.submit(job)
    (sent,) = [entry.body for entry in simulator.requests("jobs.create")]
    assert sent == {
        "model": "openai.gpt-oss-20b",
        "training_file": sent["training_file"],
        "method": {
            "type": "reinforcement",
            "reinforcement": {
                "grader": samples.grader_lambda,
                "hyperparameters": {"n_epochs": 1, "batch_size": 4},
            },
        },
    }
    assert bedrock.adopt(job.tag, job.directory) == ref, "found by its training file: no metadata is kept"
    simulator.clock.advance(1000)
    result = bedrock.result(ref)
    assert bedrock.open_model(result.model.model).chat([{"role": "user", "content": "What is 3 + 1?"}]).content == "4"
    with pytest.raises(UnsupportedError):
        bedrock.pause(ref)


def test_another_service_at_a_base_url(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    simulator = simulate(models={"my-own-model": ["supervised"]})
    job = prepare(backend, model="my-own-model", options={"base_url": simulator.url})
    ref = backend.submit(job)
    assert ref["options"] == {"base_url": simulator.url}
    simulator.clock.advance(1000)
    assert stands(backend, ref) is JobStatus.SUCCEEDED


def test_plain_result_files_are_read_too(simulate: Simulate, backend: OpenAIBackend, prepare: Prepare) -> None:
    from tuneport_backends.openai_read import decoded, results

    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    name = backend.result(ref).raw["job"]["result_files"][0]
    sent = simulator.files[name]
    assert results(decoded(sent)) == results(decoded(base64.b64decode(sent)))
    assert results(decoded(b'"' + sent + b'"')) == results(decoded(sent))
    with pytest.raises(ValueError, match="neither"):
        decoded(b"not a table at all!")
