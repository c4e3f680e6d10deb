"""Everything that Bedrock would refuse is refused before anything is sent; and the simulator refuses what it would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneport.backend import FEATURES, refusals
from tuneport.errors import PlanError
from tuneport.spec import FineTuneSpec
from tuneport_backends import bedrock_read
from tuneport_backends.bedrock import BedrockBackend
from tuneport_backends.bedrock_request import written
from tuneport_backends.simulators.bedrock import BUCKET, ROLE, BedrockSimulator

Simulate = Callable[..., BedrockSimulator]
NOVA, NOVA_2 = "bedrock:amazon.nova-lite-v1:0:300k", "bedrock:nova-2-lite"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:grade"


def spec(**fields: Any) -> FineTuneSpec:
    return FineTuneSpec.parse({"model": NOVA, "dataset": "rows.jsonl", **fields})


@pytest.fixture
def environment(aws: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    aws.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.setenv("AWS_ACCESS_KEY_ID", "AKIA0")
    aws.setenv("TUNEPORT_BEDROCK_BUCKET", "s3://mine/ft")
    aws.setenv("TUNEPORT_BEDROCK_ROLE", ROLE)
    return aws


def test_capabilities_leave_nothing_unsaid() -> None:
    said = BedrockBackend().capabilities()
    assert set(said.features) == set(FEATURES)
    assert said.events == "provider"
    assert said.objectives["sft"] is None
    assert said.objectives["dpo"] is not None


def test_nothing_is_wrong(environment: pytest.MonkeyPatch) -> None:
    assert BedrockBackend().check(spec()) == []


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"objective": {"kind": "dpo"}}, {"unsupported.objective"}),
        ({"method": {"kind": "qlora"}}, {"unsupported.method"}),
        ({"options": {"bukcet": "x"}}, {"options.unknown"}),
        ({"options": {"model_units": 0}}, {"options.invalid"}),
        ({"options": {"bucket": "gs://mine"}}, {"options.invalid"}),
        ({"options": {"role": "BedrockTuning"}}, {"options.invalid"}),
        ({"options": {"subnets": ["subnet-1"]}}, {"options.invalid"}),
        ({"options": {"endpoint_url": "ftp://x"}}, {"options.invalid"}),
        ({"options": {"endpoint_url": "https://me:pass@host"}}, {"options.secret"}),
        ({"options": {"region": "us-west-2"}}, {"region.model"}),
        ({"options": {"grader_lambda": LAMBDA}}, {"options.not-for-objective"}),
        ({"options": {"eval_interval": 5}}, {"options.not-for-objective"}),
        ({"options": {"teacher": "amazon.nova-pro-v1:0"}}, {"options.invalid"}),
        ({"options": {"customization": "distillation"}}, {"options.invalid"}),
        ({"options": {"max_response_length": 10}}, {"options.invalid"}),
        ({"options": {"learningRateWarmupSteps": 101}}, {"hyperparameters.range"}),
        ({"options": {"learningRateWarmupSteps": "ten"}}, {"hyperparameters.range"}),
        ({"metadata": {"aws:x": "y"}}, {"metadata.invalid"}),
        ({"metadata": {"x": "ü!"}}, {"metadata.invalid"}),
        ({"metadata": {"tuneport-tag": "y"}}, {"metadata.reserved"}),
        ({"metadata": {f"k{n}": "v" for n in range(49)}}, {"metadata.count"}),
        ({"integrations": [{"type": "wandb"}]}, {"unsupported.integrations"}),
        ({"model": NOVA_2, "objective": {"kind": "reinforcement"}}, {"objective.grader"}),
        (
            {"model": NOVA_2, "objective": {"kind": "reinforcement", "grader": {"type": "string_check"}}},
            {"objective.grader"},
        ),
        (
            {
                "model": NOVA_2,
                "objective": {"kind": "reinforcement", "grader": {"type": "lambda", "lambda": {"function": LAMBDA}}},
                "options": {"eval_interval": 0, "reasoning_effort": "most"},
            },
            {"hyperparameters.range"},
        ),
    ],
)
def test_refusals(environment: pytest.MonkeyPatch, fields: dict[str, Any], codes: set[str]) -> None:
    assert {issue.code for issue in BedrockBackend().check(spec(**fields))} == codes


def test_all_refusals_at_once(aws: pytest.MonkeyPatch) -> None:
    issues = BedrockBackend().check(spec(objective={"kind": "dpo"}))
    codes = [issue.code for issue in issues]
    assert codes == [
        *("unsupported.objective", "options.missing", "options.missing", "region.missing", "credentials.missing")
    ]
    assert [issue.severity for issue in issues][-1] == "warning"
    assert all(issue.fix for issue in issues[:-1])


def test_settings_by_the_catalog(environment: pytest.MonkeyPatch) -> None:
    found = BedrockBackend().resolve(
        spec(hyperparameters={"epochs": 2, "learning_rate": 2e-5}, seed=7, options={"learningRateWarmupSteps": 0}),
        {"train": 100},
    )
    assert found.hyperparameters == {"epochCount": 2, "learningRate": 2e-5, "learningRateWarmupSteps": 0}
    assert any("seed 7" in warning for warning in found.warnings)
    for wrong in ({"learning_rate_multiplier": 2.0}, {"epochs": 9}, {"batch_size": 4}, {"weight_decay": 0.1}):
        with pytest.raises(PlanError):
            BedrockBackend().resolve(spec(hyperparameters=wrong), {"train": 100})
    with pytest.raises(PlanError, match="catalog"):
        BedrockBackend().resolve(spec(model="bedrock:unheard.of-v1"), {"train": 100})


def test_numbers_are_written_plainly() -> None:
    assert [written(value) for value in (1e-6, 1e-5, 0.5, 2.0, 3)] == ["0.000001", "0.00001", "0.5", "2", "3"]


def test_the_doctor_shows_no_value(environment: pytest.MonkeyPatch) -> None:
    lines = BedrockBackend().diagnose()
    assert any("AWS_ACCESS_KEY_ID" in line.detail for line in lines)
    assert not any("AKIA0" in line.detail for line in lines)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = (
    *("status", "statusDetails", "failureMessage", "creationTime", "endTime", "trainingMetrics", "validationMetrics"),
    *("hyperParameters", "customizationConfig", "trainingDetails", "trainingLoss"),
)


@given(job=st.dictionaries(st.sampled_from(_KEYS), _JSON), table=st.binary(max_size=80))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_payload_makes_reading_fail(job: dict[str, Any], table: bytes) -> None:
    bedrock_read.snapshot(job)
    bedrock_read.timeline(job)
    points = bedrock_read.curve(bedrock_read.table(table), bedrock_read.table(b"step_number,training_loss\n" + table))
    bedrock_read.metrics(job, points)
    bedrock_read.effective(job, NOVA, "sft")


# The simulator by itself


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jobName": "under_score"}, "jobName"),
        ({"roleArn": "nobody"}, "roleArn"),
        ({"customizationType": "PREFERENCE_TUNING"}, "customizationType"),
        ({"baseModelIdentifier": "amazon.nova-lite-v1:0"}, "does not support customization"),
        ({"hyperParameters": {"epochCount": "6"}}, "between 1 and 5"),
        ({"hyperParameters": {"epochCount": "2.5"}}, "between 1 and 5"),
        ({"hyperParameters": {"batchSize": "4"}}, "not supported"),
        ({"trainingDataConfig": {"s3Uri": f"s3://{BUCKET}/none"}}, "could not read"),
        ({"trainingDataConfig": {"s3Uri": "https://x"}}, "s3Uri"),
        ({"customizationType": "DISTILLATION"}, "distillationConfig"),
        ({"customizationType": "CONTINUED_PRE_TRAINING"}, "not supported"),
    ],
)
def test_the_simulator_refuses(simulator: BedrockSimulator, change: dict[str, Any], words: str) -> None:
    simulator.s3.put(BUCKET, "rows.jsonl", b"{}\n", simulator.clock.now())
    asked = {
        "jobName": "a-job",
        "customModelName": "a-model",
        "roleArn": ROLE,
        "baseModelIdentifier": "amazon.nova-lite-v1:0:300k",
        "trainingDataConfig": {"s3Uri": f"s3://{BUCKET}/rows.jsonl"},
        "outputDataConfig": {"s3Uri": f"s3://{BUCKET}/out"},
    }
    client: Any = boto3.client("bedrock")
    with pytest.raises(ClientError, match=words):
        client.create_model_customization_job(**{**asked, **change})
    assert not simulator.jobs
    client.create_model_customization_job(**asked)
    with pytest.raises(ClientError, match="already in use"):
        client.create_model_customization_job(**asked)


def test_the_simulator_refuses_what_the_service_model_lacks(simulator: BedrockSimulator) -> None:
    import json
    import urllib.error
    import urllib.request

    from tuneport_backends.simulators.bedrock import KEY

    body = json.dumps({"jobName": "a", "surprise": 1}).encode()
    ask = urllib.request.Request(f"{simulator.url}/model-customization-jobs", data=body, method="POST")
    ask.add_header("Authorization", f"AWS4-HMAC-SHA256 Credential={KEY}/20261101/us-east-1/bedrock/aws4_request")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(ask)
    said = caught.value.read().decode()
    caught.value.close()
    assert "surprise" in said
    assert "customModelName" in said


def test_its_listing_lags(simulate: Simulate, rows: Any, create: Callable[..., Any]) -> None:
    simulator = simulate(listing_lag=30)
    create()
    client: Any = boto3.client("bedrock")
    assert client.list_model_customization_jobs()["modelCustomizationJobSummaries"] == []
    simulator.clock.advance(30)
    assert len(client.list_model_customization_jobs()["modelCustomizationJobSummaries"]) == 1


def test_its_s3_and_sts(simulator: BedrockSimulator) -> None:
    client: Any = boto3.client("s3")
    client.create_bucket(Bucket="another-bucket")
    for number in range(5):
        client.put_object(Bucket="another-bucket", Key=f"folder/a b+{number}", Body=b"x" * number)
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket="another-bucket", Prefix="folder/", PaginationConfig={"PageSize": 2}
    )
    assert [item["Key"] for page in pages for item in page["Contents"]] == [f"folder/a b+{n}" for n in range(5)]
    assert client.get_object(Bucket="another-bucket", Key="folder/a b+4", Range="bytes=1-2")["Body"].read() == b"xx"
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket="another-bucket", Key="none")


def test_refusals_name_what_would_work() -> None:
    (issue,) = refusals(BedrockBackend().capabilities(), spec(objective={"kind": "dpo"}), "bedrock")
    assert "openai" in issue.message
    assert "sft" in (issue.fix or "")
