"""From a job to the requests that make it: exactly these, once, whatever is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneport import FineTuneJob, JobStatus, Reinforcement
from tuneport.errors import (
    AccessDeniedError,
    CredentialsError,
    NotInstalledError,
    PlanError,
    RateLimitedError,
    RejectedError,
    RemoteNotFoundError,
    SubmitUnknownError,
    UnavailableError,
)
from tuneport_backends import bedrock_aws, bedrock_files, bedrock_request
from tuneport_backends.bedrock import BedrockBackend
from tuneport_backends.simulators.bedrock import BUCKET, KEY, ROLE, SECRET, BedrockSimulator

Create = Callable[..., FineTuneJob]
Simulate = Callable[..., BedrockSimulator]
Write = Callable[..., str]
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:grade"


def test_the_request_is_exactly_this(simulator: BedrockSimulator, create: Create) -> None:
    job = create(
        validation=0.1,
        hyperparameters={"epochs": 3, "learning_rate": 1e-5},
        metadata={"team": "support"},
        options={"learningRateWarmupSteps": 5},
    )
    (made,) = simulator.jobs
    tag, folder = job.id, f"s3://{BUCKET}/ft/{job.id}"
    assert made["asked"] == {
        "jobName": tag,
        "customModelName": tag,
        "clientRequestToken": tag,
        "roleArn": ROLE,
        "baseModelIdentifier": "amazon.nova-lite-v1:0:300k",
        "customizationType": "FINE_TUNING",
        "hyperParameters": {"epochCount": "3", "learningRate": "0.00001", "learningRateWarmupSteps": "5"},
        "trainingDataConfig": {"s3Uri": f"{folder}/train.jsonl"},
        "validationDataConfig": {"validators": [{"s3Uri": f"{folder}/validation.jsonl"}]},
        "outputDataConfig": {"s3Uri": f"{folder}/output"},
        "jobTags": [{"key": "tuneport-tag", "value": tag}, {"key": "team", "value": "support"}],
        "customModelTags": [{"key": "tuneport-tag", "value": tag}, {"key": "team", "value": "support"}],
    }
    assert job.provider_id == made["jobArn"]
    sent = simulator.object(BUCKET, f"ft/{tag}/train.jsonl").decode().splitlines()
    assert len(sent) == 35
    assert json.loads(sent[0]).keys() == {"schemaVersion", "system", "messages"}


def test_what_is_unset_is_not_sent(simulator: BedrockSimulator, create: Create) -> None:
    create()
    (made,) = simulator.jobs
    assert not {"hyperParameters", "validationDataConfig", "customizationConfig", "vpcConfig"} & made["asked"].keys()


@pytest.mark.parametrize(
    ("model", "region", "keys"),
    [
        ("bedrock:nova-micro", "us-east-1", {"schemaVersion", "messages"}),
        ("bedrock:anthropic.claude-3-haiku-20240307-v1:0:200k", "us-west-2", {"messages"}),
        ("bedrock:meta.llama3-1-8b-instruct-v1:0:128k", "us-west-2", {"prompt", "completion"}),
    ],
)
def test_each_family_gets_its_rows(
    simulate: Simulate, create: Create, write: Write, model: str, region: str, keys: set[str]
) -> None:
    simulator = simulate(region=region)
    data = write([(f"How many are {n} and {n}?", f"{n + n}") for n in range(40)])
    job = create(model=model, dataset=data)
    sent = simulator.object(BUCKET, f"ft/{job.id}/train.jsonl").decode().splitlines()
    assert {key for line in sent for key in json.loads(line)} == keys
    simulator.clock.advance(1000)
    assert job.status is JobStatus.SUCCEEDED, job.error


def test_reinforcement_with_a_lambda(simulator: BedrockSimulator, create: Create, write: Write) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"How many are {n} and {n}?"}], "reference_answer": {"sum": n + n}}
        for n in range(120)
    ]
    job = create(
        model="bedrock:nova-2-lite",
        dataset=write(rows=rows),
        objective=Reinforcement(samples_per_prompt=4),
        hyperparameters={"epochs": 2, "learning_rate": 1e-6, "batch_size": 32},
        options={"grader_lambda": LAMBDA, "eval_interval": 10, "reasoning_effort": "low", "max_prompt_length": 512},
    )
    asked = simulator.jobs[0]["asked"]
    assert asked["customizationType"] == "REINFORCEMENT_FINE_TUNING"
    assert "hyperParameters" not in asked
    assert asked["customizationConfig"]["rftConfig"] == {
        "graderConfig": {"lambdaGrader": {"lambdaArn": LAMBDA}},
        "hyperParameters": {
            "epochCount": 2,
            "learningRate": 1e-6,
            "batchSize": 32,
            "trainingSamplePerPrompt": 4,
            "evalInterval": 10,
            "maxPromptLength": 512,
            "reasoningEffort": "low",
        },
    }
    simulator.clock.advance(1000)
    assert job.status is JobStatus.SUCCEEDED, job.error


def test_distillation(simulator: BedrockSimulator, create: Create) -> None:
    create(
        options={
            "customization": "distillation",
            "teacher": "amazon.nova-pro-v1:0",
            "max_response_length": 500,
            "subnets": ["subnet-1"],
            "security_groups": ["sg-1"],
        }
    )
    asked = simulator.jobs[0]["asked"]
    assert asked["customizationType"] == "DISTILLATION"
    teacher = {"teacherModelIdentifier": "amazon.nova-pro-v1:0", "maxResponseLengthForInference": 500}
    assert asked["customizationConfig"] == {"distillationConfig": {"teacherModelConfig": teacher}}
    assert asked["vpcConfig"] == {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}


# Faults


def test_a_lost_reply_is_adopted(simulate: Simulate, create: Create) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "lose-reply", "times": 1}], listing_lag=3600)
    job = create()
    assert len(simulator.jobs) == 1
    assert len(simulator.requests("jobs.create")) == 1
    assert job.provider_id == simulator.jobs[0]["jobArn"]
    simulator.clock.advance(1000)
    assert job.status is JobStatus.SUCCEEDED


def test_a_job_is_found_in_the_list_where_get_lags(simulate: Simulate, create: Create) -> None:
    faults = [
        {"on": "jobs.create", "do": "lose-reply", "times": 1},
        {"on": "jobs.get", "do": "status", "status": 404, "times": 1},
    ]
    simulator = simulate(faults=faults)
    assert create().provider_id == simulator.jobs[0]["jobArn"]
    assert len(simulator.requests("jobs.list")) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_create_that_fails_on_their_side_is_not_repeated_blindly(
    simulate: Simulate, create: Create, backend: BedrockBackend, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(faults=[{"on": "jobs.create", "do": "status", "status": status, "times": 1}])
    usual = backend.capabilities()
    monkeypatch.setattr(backend, "capabilities", lambda: _without_window(usual))
    with pytest.raises(SubmitUnknownError) as caught:
        create()
    assert caught.value.request_id
    assert len(simulator.requests("jobs.create")) == 1
    (job,) = FineTuneJob.list()
    assert job.record.status is JobStatus.INTERRUPTED
    job.resume()
    assert len(simulator.jobs) == 1
    assert len(simulator.requests("s3.put")) == 1  # the upload was used again


def _without_window(usual: Any) -> Any:
    from dataclasses import replace

    return replace(usual, polling=replace(usual.polling, window=0.0))


def test_a_create_sent_twice_makes_one_job(
    simulator: BedrockSimulator, create: Create, backend: BedrockBackend
) -> None:
    job = create()
    aws = bedrock_aws.AWS({})
    asked = simulator.jobs[0]["asked"]
    assert aws.create(asked, job.id) == job.provider_id
    with pytest.raises(RejectedError, match="other parameters"):
        aws.create({**asked, "customModelTags": []}, job.id)
    assert len(simulator.jobs) == 1


def test_a_throttled_create_says_when(simulate: Simulate, create: Create) -> None:
    # Longer than anybody would wait for it.
    simulator = simulate(faults=[{"on": "jobs.create", "do": "status", "status": 429, "retry_after": 7200, "times": 1}])
    with pytest.raises(RateLimitedError) as caught:
        create()
    assert caught.value.retry_after == 7200
    assert caught.value.request_id
    assert len(simulator.requests("jobs.create")) == 1
    assert not simulator.jobs


def test_other_calls_are_retried(simulate: Simulate, create: Create) -> None:
    simulator = simulate(faults=[{"on": "jobs.get", "do": "status", "status": 500, "times": 2}])
    job = create()
    assert job.status is JobStatus.VALIDATING
    assert [entry.status for entry in simulator.requests("jobs.get")] == [500, 500, 200]


def test_a_connection_cut_in_mid_upload(simulate: Simulate, create: Create) -> None:
    simulator = simulate(faults=[{"on": "s3.put", "do": "cut", "value": 100, "times": 1}])
    job = create()
    assert [entry.status for entry in simulator.requests("s3.put")] == [None, 200]
    simulator.clock.advance(1000)
    assert job.status is JobStatus.SUCCEEDED


def test_a_large_file_goes_by_parts_and_leaves_none(
    simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(faults=[{"on": "s3.put", "do": "status", "status": 403, "after": 1, "times": 1}])
    monkeypatch.setattr(bedrock_aws, "_PART_BYTES", 5 * 2**20)
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"a": "large row"}\n' * 600_000)
    aws, at = bedrock_aws.AWS({}), bedrock_request.Place(BUCKET, "ft", ROLE)
    with pytest.raises(AccessDeniedError):
        bedrock_files.uploaded(aws, at, path, "tp-1")
    assert not simulator.s3.uploads
    for _ in range(2):
        assert bedrock_files.uploaded(aws, at, path, "tp-1") == f"s3://{BUCKET}/ft/tp-1/train.jsonl"
    assert simulator.s3.objects[BUCKET, "ft/tp-1/train.jsonl"].etag.endswith('-3"')
    assert simulator.object(BUCKET, "ft/tp-1/train.jsonl") == path.read_bytes()
    assert len([entry for entry in simulator.requests("s3.put") if entry.status == 200]) <= 5  # nothing twice


def test_parts_that_a_killed_process_left_are_thrown_away(simulator: BedrockSimulator, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("{}\n")
    (tmp_path / ".train.jsonl.begun").touch()
    client = bedrock_aws._client("s3", {})
    client.create_multipart_upload(Bucket=BUCKET, Key="ft/tp-1/train.jsonl")
    client.create_multipart_upload(Bucket=BUCKET, Key="ft/tp-1/train.jsonl.other")
    bedrock_files.uploaded(bedrock_aws.AWS({}), bedrock_request.Place(BUCKET, "ft", ROLE), path, "tp-1")
    assert [upload.key for upload in simulator.s3.uploads.values()] == ["ft/tp-1/train.jsonl.other"]


def test_no_connection_is_no_job(simulate: Simulate, create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = simulate()
    simulator.stop()
    with pytest.raises(UnavailableError):
        create()


# What is wrong with the account, the bucket, the role


def test_expired_credentials(simulator: BedrockSimulator, create: Create) -> None:
    simulator.expire()
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID"):
        create()
    assert not simulator.jobs


def test_wrong_credentials(simulator: BedrockSimulator, create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG1")
    with pytest.raises(CredentialsError):
        create()


def test_no_credentials(simulator: BedrockSimulator, create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(CredentialsError, match=r"AWS_ACCESS_KEY_ID.*tuneport\[bedrock\]"):
        create()


def test_no_package(simulator: BedrockSimulator, create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    bedrock_aws._clients.clear()
    with pytest.raises(NotInstalledError, match=r"tuneport\[bedrock\]"):
        create()


def test_a_bucket_that_is_not_there(simulator: BedrockSimulator, create: Create) -> None:
    with pytest.raises(RemoteNotFoundError, match="no-such-bucket"):
        create(options={"bucket": "s3://no-such-bucket/ft"})


def test_a_bucket_of_another_region(simulate: Simulate, create: Create) -> None:
    simulator = simulate(buckets={"far-away": "eu-west-1"})
    with pytest.raises(RejectedError, match="is in eu-west-1"):
        create(options={"bucket": "s3://far-away"})
    assert not simulator.requests("s3.put")


def test_a_bucket_that_may_only_be_written(simulate: Simulate, create: Create) -> None:
    faults = [
        {"on": name, "do": "status", "status": 403} for name in ("s3.head", "s3.head-bucket", "s3.list", "s3.get")
    ]
    simulator = simulate(faults=faults)
    job = create()
    simulator.clock.advance(1000)
    result = job.result()
    assert any("curve" in warning for warning in result.warnings)
    assert any("cannot be read" in event.message for event in job.events())


def test_a_role_that_cannot_be_assumed(simulate: Simulate, create: Create) -> None:
    simulate(unassumable=[ROLE])
    with pytest.raises(AccessDeniedError, match="trust policy"):
        create()


def test_what_is_missing_is_missing_before_anything_is_sent(
    simulator: BedrockSimulator, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(bedrock_request.BUCKET_VARIABLE)
    monkeypatch.delenv(bedrock_request.ROLE_VARIABLE)
    with pytest.raises(PlanError) as caught:
        create(metadata={"aws:x": "y"}, options={"grader_lambda": LAMBDA})
    assert len(caught.value.problems) == 4
    assert not simulator.log


def test_the_credentials_are_nowhere(simulate: Simulate, create: Create, home: Path) -> None:
    """An access key's id that a server echoes in its words is taken out."""
    echo = {"on": "jobs.create", "do": "status", "status": 400, "times": 1, "body": {"message": f"bad {SECRET} {KEY}"}}
    simulate(faults=[echo])
    with pytest.raises(RejectedError) as caught:
        create()
    assert SECRET not in str(caught.value)
    job = create()
    said = [str(job.record.ref), *(str(event) for event in job.events())]
    said += [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]
    assert not any(SECRET in text or KEY in text for text in said)
