"""A job as it goes, ends and answers, by the real boto3 and over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneport import FineTuneJob, JobStatus, registry
from tuneport.backend import ImportsModels
from tuneport.errors import (
    JobCancelledError,
    JobError,
    JobFailedError,
    ModelError,
    NotDeployedError,
    RejectedError,
    RemoteNotFoundError,
    SpecError,
    UnavailableError,
)
from tuneport_backends import bedrock_aws
from tuneport_backends.bedrock import BedrockBackend
from tuneport_backends.simulators.bedrock import BASE, BUCKET, ROLE, TUNED_ELSE, BedrockSimulator, Timing

Create = Callable[..., FineTuneJob]
Simulate = Callable[..., BedrockSimulator]
Write = Callable[..., str]
SYSTEM = {"role": "system", "content": "Answer briefly."}


def asked(text: str) -> list[dict[str, str]]:
    return [SYSTEM, {"role": "user", "content": text}]


def test_the_states_in_their_order(simulator: BedrockSimulator, create: Create) -> None:
    job = create()
    seen = [job.status]
    for seconds in (31, 30, 300):
        simulator.clock.advance(seconds)
        seen.append(job.status)
    assert seen == [JobStatus.VALIDATING, JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.SUCCEEDED]
    told = [event.data["status"] for event in job.events() if event.type == "status"]
    assert told[-4:] == ["validating", "preparing", "running", "succeeded"]


def test_the_result(simulator: BedrockSimulator, create: Create) -> None:
    job = create(validation=0.2, hyperparameters={"epochs": 3})
    simulator.clock.advance(1000)
    result = job.wait()
    (made,) = simulator.jobs
    assert result.model.model == made["outputModelArn"]
    assert result.provider_id == made["jobArn"]
    assert [point.step for point in result.curve] == list(range(1, 13))
    assert sum(point.validation_loss is not None for point in result.curve) == 3
    assert all(point.loss is not None for point in result.curve)
    assert result.metrics == {
        "train_loss": made["trainingMetrics"]["trainingLoss"],
        "validation_loss": made["validationMetrics"][0]["validationLoss"],
    }
    assert {note.name: note.effective for note in result.hyperparameters}["epochs"] == 3
    assert result.timeline.keys() == {"created", "started", "ended"}
    assert result.usage.wall_seconds == 300
    assert {Path(item.path).name for item in result.artifacts} == {
        "step_wise_training_metrics.csv",
        "validation_metrics.csv",
    }
    assert result.raw["jobArn"] == made["jobArn"]
    assert not any("curve" in warning for warning in result.warnings)


def test_steps_become_events_as_they_are_written(simulate: Simulate, create: Create) -> None:
    simulator = simulate(timing=Timing(metrics=1))
    job = create()
    simulator.clock.advance(60 + 150)
    assert job.status is JobStatus.RUNNING
    half = [event.data["step"] for event in job.events() if event.type == "metrics"]
    simulator.clock.advance(1000)
    job.wait()
    whole = [event.data["step"] for event in job.events() if event.type == "metrics"]
    assert half == [1, 2, 3, 4, 5]
    assert whole == list(range(1, 11))
    numbers = [event.seq for event in job.events()]
    assert numbers == sorted(set(numbers))


def test_wrong_rows_fail_the_job(simulator: BedrockSimulator, create: Create, backend: BedrockBackend) -> None:
    """As if our own checks had let one through: the simulator reads by its own rules."""
    job = create()
    bucket_key = (BUCKET, f"ft/{job.id}/train.jsonl")
    lines = simulator.object(*bucket_key).decode().splitlines()
    for change, reason in (
        (lambda item: item["messages"].reverse(), "alternate"),
        (lambda item: item.update(extra=1), "unexpected key extra"),
        (lambda item: item["messages"][1]["content"][0].update(text="User: hello"), "reserved"),
    ):
        first = json.loads(lines[0])
        change(first)
        simulator.s3.put(*bucket_key, "\n".join([json.dumps(first), *lines[1:]]).encode(), simulator.clock.now())
        name = f"again-{len(simulator.jobs)}"
        body = {**simulator.jobs[0]["asked"], "jobName": name, "customModelName": name, "clientRequestToken": name}
        bedrock_aws.AWS({}).create(body, name)
        simulator.clock.advance(31)
        assert simulator.jobs[-1]["status"] == "Failed"
        assert reason in simulator.jobs[-1]["failureMessage"]


def test_a_failure_says_why(simulate: Simulate, create: Create) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "fail", "value": "The capacity ran out."}])
    job = create()
    simulator.clock.advance(1000)
    with pytest.raises(JobFailedError, match="capacity ran out"):
        job.wait()
    (snapshot,) = registry.get("bedrock").snapshots([job.record.ref or {}])
    assert snapshot.detail["trainingDetails"] == "Failed"


def test_cancel_is_honest(simulator: BedrockSimulator, create: Create, backend: BedrockBackend) -> None:
    job = create()
    simulator.clock.advance(100)
    job.cancel()
    assert job.status is JobStatus.CANCELLING
    backend.cancel(job.record.ref or {})  # again: it is being stopped
    simulator.clock.advance(30)
    assert job.status is JobStatus.CANCELLED
    with pytest.raises(JobCancelledError):
        job.result()


def test_cancel_of_what_has_ended(simulator: BedrockSimulator, create: Create, backend: BedrockBackend) -> None:
    job = create()
    simulator.clock.advance(1000)
    backend.cancel(job.record.ref or {})
    assert job.status is JobStatus.SUCCEEDED


def test_a_job_that_never_ends(simulate: Simulate, create: Create) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "never-ends"}])
    job = create()
    simulator.clock.advance(1_000_000)
    assert job.status is JobStatus.RUNNING
    job.cancel()
    simulator.clock.advance(30)
    assert job.status is JobStatus.CANCELLED


def test_a_state_that_is_not_known(simulate: Simulate, create: Create) -> None:
    simulate(faults=[{"on": "jobs.get", "do": "state", "value": "Rebalancing", "times": 1}])
    job = create()
    assert job.status is JobStatus.UNKNOWN
    assert any("Rebalancing" in event.message for event in job.events())
    assert job.status is JobStatus.VALIDATING


@pytest.mark.parametrize("value", [None, 7, [], "x", {"trainingDetails": None}])
@pytest.mark.parametrize("field", ["statusDetails", "creationTime", "hyperParameters", "trainingMetrics", "new"])
def test_odd_payloads_are_no_failure(simulate: Simulate, create: Create, field: str, value: object) -> None:
    simulator = simulate(faults=[{"on": "jobs.get", "do": "field", "field": field, "value": value}])
    job = create()
    simulator.clock.advance(1000)
    result = job.wait()
    assert result.raw[field] == value


def test_many_jobs_in_one_question(simulator: BedrockSimulator, create: Create, backend: BedrockBackend) -> None:
    jobs = [create() for _ in range(5)]
    simulator.clock.advance(40)
    before = len(simulator.log)
    found = backend.snapshots([job.record.ref or {} for job in jobs])
    assert [snapshot.status for snapshot in found] == [JobStatus.PREPARING] * 5
    assert [entry.operation for entry in simulator.log[before:]] == ["jobs.list"]


def test_many_jobs_where_the_list_lags(simulate: Simulate, create: Create, backend: BedrockBackend) -> None:
    simulate(listing_lag=3600)
    refs = [create().record.ref or {} for _ in range(4)]
    gone = {**refs[0], "provider_id": str(refs[0]["provider_id"])[:-12] + "aaaaaaaaaaaa"}
    statuses = [snapshot.status for snapshot in backend.snapshots([*refs, gone])]
    assert statuses == [JobStatus.VALIDATING] * 4 + [JobStatus.UNKNOWN]
    with pytest.raises(RemoteNotFoundError, match="made in us-east-1"):
        backend.snapshots([gone])


def test_a_ref_remembers_its_region(
    simulator: BedrockSimulator, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = create()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert job.status is JobStatus.VALIDATING


def test_adopt_looks_where_the_job_was_made(
    simulate: Simulate, create: Create, backend: BedrockBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    job = create()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("TUNEPORT_BEDROCK_BUCKET")
    assert backend.adopt(job.id, job.directory) == job.record.ref


def test_result_of_an_unfinished_job(simulator: BedrockSimulator, create: Create, backend: BedrockBackend) -> None:
    job = create()
    with pytest.raises(JobError, match="InProgress"):
        backend.result(job.record.ref or {})
    with pytest.raises(JobError, match="no tuned model"):
        backend.deploy(job.record.ref or {}, {})


# Deploying and asking


def test_deploy_ask_and_take_down(simulator: BedrockSimulator, create: Create, backend: BedrockBackend) -> None:
    job = create()
    simulator.clock.advance(1000)
    model, ref = job.result().model, job.record.ref or {}
    with pytest.raises(NotDeployedError, match="tuneport deploy"):
        model.chat(asked("What is the capital of country 3?"))
    offer = backend.deployment_offer(ref, {})
    assert (offer.status, offer.kind) == ("offered", "on-demand")
    assert not simulator.requests("deployments.create")
    made = backend.deploy(ref, {})
    assert made.status == "creating"
    assert backend.deploy(ref, {}).model == made.model  # what stands is given back
    assert len(simulator.requests("deployments.create")) == 1
    with pytest.raises(NotDeployedError, match="being deployed"):
        model.chat(asked("What is the capital of country 3?"))
    simulator.clock.advance(60)
    assert [one.status for one in backend.deployments(ref)] == ["active"]
    answer = model.chat(asked("What is the capital of country 3?"))
    assert answer.content == "Its capital is town 21."
    assert answer.prompt_tokens
    assert model.chat(asked("Something else?")).content == TUNED_ELSE
    assert model.chat(asked("Something else?"), max_tokens=2).finish_reason == "length"
    with pytest.raises(RejectedError, match="undeploy"):
        backend.clean_up(ref)
    assert backend.undeploy(ref) == [job.id]
    assert backend.undeploy(ref) == []
    with pytest.raises(NotDeployedError):
        model.chat(asked("What is the capital of country 3?"))
    made_names = backend.made(ref)
    assert any(name.startswith("model ") for name in made_names)
    assert sorted(backend.clean_up(ref)) == sorted(made_names)
    assert backend.made(ref) == []
    assert backend.clean_up(ref) == []


def test_provisioned_throughput(simulate: Simulate, create: Create, backend: BedrockBackend, write: Write) -> None:
    simulator = simulate(region="us-west-2")
    data = write([(f"How many are {n} and {n}?", f"{n + n}") for n in range(40)])
    job = create(model="bedrock:meta.llama3-1-8b-instruct-v1:0:128k", dataset=data, options={"model_units": 2})
    simulator.clock.advance(1000)
    ref = job.wait() and (job.record.ref or {})
    with pytest.raises(RejectedError, match="kind=provisioned"):
        backend.deploy(ref, {})
    offer = backend.deployment_offer(ref, {"kind": "provisioned"})
    assert "2 model units, billed by the hour" in offer.detail
    backend.deploy(ref, {"kind": "provisioned"})
    assert simulator.requests("provisioned.create")[0].body["modelUnits"] == 2
    simulator.clock.advance(100)
    result = job.result()
    assert result.model.chat([{"role": "user", "content": "How many are 8 and 8?"}]).content == "16"
    assert backend.undeploy(ref) == [job.id]


def test_a_commitment_cannot_be_taken_down(
    simulator: BedrockSimulator, create: Create, backend: BedrockBackend
) -> None:
    job = create()
    simulator.clock.advance(1000)
    ref = job.wait() and (job.record.ref or {})
    backend.deploy(ref, {"kind": "provisioned", "commitment": "one-month"})
    backend.deploy(ref, {})
    with pytest.raises(RejectedError, match="commitment"):
        backend.undeploy(ref)
    assert [one.kind for one in backend.deployments(ref)] == ["provisioned"]  # the other one is down all the same


def test_a_lost_reply_to_a_deployment(simulate: Simulate, create: Create, backend: BedrockBackend) -> None:
    simulator = simulate(faults=[{"on": "deployments.create", "do": "lose-reply", "times": 1}])
    job = create()
    simulator.clock.advance(1000)
    ref = job.wait() and (job.record.ref or {})
    with pytest.raises(UnavailableError):
        backend.deploy(ref, {})
    assert backend.deploy(ref, {}).name == job.id
    assert len(simulator.requests("deployments.create")) == 1


@pytest.mark.parametrize(
    "options",
    [{"kind": "serverless"}, {"units": 2}, {"kind": "provisioned", "units": 0}, {"x": 1}, {"commitment": "one-month"}],
)
def test_options_of_a_deployment(
    simulator: BedrockSimulator, create: Create, backend: BedrockBackend, options: dict[str, object]
) -> None:
    ref = create().record.ref or {}
    with pytest.raises(SpecError):
        backend.deployment_offer(ref, options)


@pytest.mark.parametrize(
    "model", ["amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0:300k", "nova-lite", "us.amazon.nova-lite-v1:0"]
)
def test_base_models_answer(simulator: BedrockSimulator, backend: BedrockBackend, model: str) -> None:
    session = backend.open_model(model)
    assert session.chat([{"role": "user", "content": "Hello?"}], seed=3).content == BASE
    assert simulator.requests("converse")[-1].body["inferenceConfig"] == {"maxTokens": 256, "temperature": 0.0}
    session.close()


def test_tools_and_images_are_said_as_converse_has_them(simulator: BedrockSimulator, backend: BedrockBackend) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}},
    ]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    session = backend.open_model("amazon.nova-lite-v1:0")
    session.chat([{"role": "user", "content": parts}], tools=[tool])
    body = simulator.requests("converse")[-1].body
    assert body["messages"][0]["content"][1]["image"] == {"format": "png", "source": {"bytes": pixel}}
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look"


def test_calls_of_tools_are_given_in_openais_shape(simulate: Simulate, backend: BedrockBackend) -> None:
    use = {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"at": "Rome"}}}
    simulate(answer=lambda model, turns: [{"text": "Let me look."}, use])
    said = backend.open_model("amazon.nova-lite-v1:0").chat([{"role": "user", "content": "Rome?"}])
    assert said.content == "Let me look."
    assert said.tool_calls == [
        {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": "Rome"}'}}
    ]
    assert said.finish_reason == "stop"


def test_importing_weights(simulator: BedrockSimulator, backend: BedrockBackend) -> None:
    assert isinstance(backend, ImportsModels)
    assert backend.capabilities().features["import-model"] is None
    at = simulator.clock.now()
    for name in ("config.json", "model.safetensors"):
        simulator.s3.put(BUCKET, f"weights/{name}", b"{}", at)
    begun = backend.import_model(f"s3://{BUCKET}/weights", "my-model", {})
    assert (begun.status, begun.model) == ("importing", "")
    assert "by the month" in begun.detail
    assert backend.imported(begun.name, {}) == begun
    simulator.clock.advance(60)
    done = backend.imported(begun.name, {})
    assert done.status == "ready"
    assert backend.open_model(done.model).chat([{"role": "user", "content": "Hello?"}]).content == TUNED_ELSE
    assert simulator.requests("imports.create")[0].body["roleArn"] == ROLE


def test_importing_a_folder_uploads_it_once(
    simulator: BedrockSimulator, backend: BedrockBackend, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"config\.json and \.safetensors"):
        backend.import_model(str(folder), "mine", {})
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(name.encode())
    begun = backend.import_model(str(folder), "mine", {})
    uploads = len(simulator.requests("s3.put"))
    assert uploads == 3
    assert backend.import_model(str(folder), "mine", {}).name == begun.name, "asked for again, it is the same"
    assert len(simulator.requests("s3.put")) == uploads
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    source = simulator.requests("imports.create")[0].body["modelDataSource"]["s3DataSource"]["s3Uri"]
    assert source.startswith(f"s3://{BUCKET}/")
    simulator.clock.advance(60)
    assert backend.imported("mine", {}).status == "ready"


def test_an_import_that_fails_says_why(simulator: BedrockSimulator, backend: BedrockBackend) -> None:
    simulator.s3.put(BUCKET, "weights/readme.txt", b"none", simulator.clock.now())
    begun = backend.import_model(f"s3://{BUCKET}/weights", "none", {})
    simulator.clock.advance(60)
    failed = backend.imported(begun.name, {})
    assert (failed.status, failed.model) == ("failed", "")
    assert "safetensors" in str(failed.reason)
