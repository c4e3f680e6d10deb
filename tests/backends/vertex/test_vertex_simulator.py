"""The simulator by Google's SDKs alone, and by hand: strict with requests, in both key cases; rows by its own rules."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import warnings
from typing import Any

import google.oauth2.credentials
import pytest
from google import genai
from google.cloud import storage
from google.genai import types

from tuneport_backends.simulators import vertex_rows
from tuneport_backends.simulators.vertex import BUCKET, Timing, VertexSimulator

Simulate = Any
ROW = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}


def post(simulator: VertexSimulator, path: str, body: Any, version: str = "v1beta1") -> tuple[int, Any]:
    asked = urllib.request.Request(
        f"{simulator.url}/{version}/{path}",
        json.dumps(body).encode(),
        {"Authorization": "Bearer x", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def sft(**spec: Any) -> dict[str, Any]:
    return {
        "baseModel": "gemini-3.5-flash",
        "supervisedTuningSpec": {"trainingDatasetUri": f"gs://{BUCKET}/a.jsonl", **spec},
    }


def test_googles_sdks_alone(simulate: Simulate) -> None:
    simulator = simulate(timing=Timing(cancelling=5))
    bucket = storage.Client().bucket(BUCKET)
    bucket.blob("a.jsonl").upload_from_string(json.dumps(ROW))
    client = genai.Client(
        vertexai=True,
        project=simulator.project,
        location=simulator.location,
        credentials=google.oauth2.credentials.Credentials(token="x"),
        http_options=types.HttpOptions(base_url=simulator.url),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK says once in a process that tuning is experimental
        job = client.tunings.tune(
            base_model="gemini-3.5-flash",
            training_dataset=types.TuningDataset(gcs_uri=f"gs://{BUCKET}/a.jsonl"),
            config=types.CreateTuningJobConfig(tuned_model_display_name="one", labels={"a": "b"}),
        )
    assert job.state is types.JobState.JOB_STATE_PENDING
    assert [each.name for each in client.tunings.list(config={"filter": 'labels.a="b"'})] == [job.name]
    assert [each.name for each in client.tunings.list(config={"filter": 'labels.a="c"'})] == []
    simulator.clock.advance(1000)
    done = client.tunings.get(name=str(job.name))
    assert done.state is types.JobState.JOB_STATE_SUCCEEDED
    assert done.tuned_model is not None
    said = client.models.generate_content(model=str(done.tuned_model.endpoint), contents="a")
    assert said.text == "b"
    assert [blob.name for blob in bucket.list_blobs(prefix="metrics/")] == ["metrics/metrics.jsonl"]
    client.close()


def test_both_key_cases_and_both_versions(simulate: Simulate) -> None:
    simulator = simulate()
    spec = {"training_dataset_uri": f"gs://{BUCKET}/a.jsonl", "hyper_parameters": {"epoch_count": "2"}}
    body = {"base_model": "gemini-3.5-flash", "supervised_tuning_spec": spec, "tuned_model_display_name": "x"}
    for version in ("v1", "v1beta1"):
        code, made = post(simulator, f"{simulator.parent}/tuningJobs", body, version)
        assert code == 200, made
        assert made["supervisedTuningSpec"]["hyperParameters"]["epochCount"] == "2"
        assert made["tunedModelDisplayName"] == "x"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**sft(), "colour": "red"}, 'Unknown name "colour"'),
        ({**sft(), "state": "JOB_STATE_RUNNING"}, 'Unknown name "state"'),
        (sft(epochs=3), 'Unknown name "epochs"'),
        (sft(hyperParameters={"learning_rate_multiplyer": 1}), "Unknown name"),
        (sft(hyperParameters={"epochCount": 0}), "at least 1"),
        (sft(hyperParameters={"epochCount": 1.5}), "Invalid value"),
        (sft(hyperParameters={"learningRateMultiplier": "fast"}), "Invalid value"),
        (sft(hyperParameters={"learningRateMultiplier": 0}), "above 0"),
        (sft(hyperParameters={"adapterSize": "ADAPTER_SIZE_FIVE"}), "Invalid value"),
        (sft(hyperParameters={"learningRate": 0.1}), "only supported for open source models"),
        ({**sft(), "baseModel": "gemini-99"}, "not supported for tuning"),
        ({**sft(), "labels": {"Big": "x"}}, "invalid"),
        ({"supervisedTuningSpec": {"trainingDatasetUri": "gs://b/a"}}, "Exactly one"),
        ({"baseModel": "gemini-3.5-flash"}, "Exactly one tuning spec"),
        ({**sft(), "outputUri": "gs://b/o"}, "output_uri"),
        ({**sft(), "baseModel": "google/gemma-3-27b-it"}, "output_uri"),
        (sft(trainingDatasetUri="s3://x"), "not a Cloud Storage URI"),
    ],
)
def test_a_wrong_job_is_refused(simulate: Simulate, body: dict[str, Any], said: str) -> None:
    simulator = simulate()
    code, answer = post(simulator, f"{simulator.parent}/tuningJobs", body)
    assert code == 400
    assert said in answer["error"]["message"]
    assert answer["error"]["status"] == "INVALID_ARGUMENT"
    assert simulator.jobs == []


def test_others_are_refused(simulate: Simulate) -> None:
    simulator = simulate()
    assert post(simulator, "projects/other/locations/us-central1/tuningJobs", sft())[0] == 403
    model = f"{simulator.parent}/publishers/google/models/gemini-3.5-flash:generateContent"
    turn = {"role": "user", "parts": [{"text": "a"}]}
    assert post(simulator, model, {"contents": [turn]})[0] == 200
    assert post(simulator, model, {"contents": [turn], "temprature": 1})[0] == 400
    assert post(simulator, model, {"contents": [turn], "generationConfig": {"temperature": 3}})[0] == 400
    assert post(simulator, model, {"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]})[0] == 400
    with pytest.raises(urllib.error.HTTPError, match="401") as caught:
        urllib.request.urlopen(f"{simulator.url}/v1/{simulator.parent}/tuningJobs")
    caught.value.close()


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        ("supervised", [], "not a JSON object"),
        ("supervised", {"messages": []}, "Unknown field: messages"),
        ("supervised", {"contents": []}, "empty"),
        ("supervised", {"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "role 'assistant'"),
        ("supervised", {"contents": [{"role": "user", "parts": []}]}, "no parts"),
        ("supervised", {"contents": [{"role": "user", "parts": [{"text": ""}]}]}, "empty or not a text"),
        ("supervised", {"contents": [{"role": "user", "parts": [{"txt": "a"}]}]}, "Unknown field in a part"),
        ("supervised", {"contents": ROW["contents"][:1]}, "last content must be of the role model"),
        ("supervised", {"contents": ROW["contents"][::-1]}, "first content"),
        ("preference", {"contents": ROW["contents"][:1], "completions": []}, "exactly two"),
        ("preference", ROW, "last content must be of the role user"),
        ("reinforcement", {"contents": ROW["contents"][:1]}, "references are missing"),
        ("reinforcement", {"contents": ROW["contents"][:1], "references": {"a": 1}}, "must be texts"),
        ("open", {"messages": [{"role": "user", "content": "a"}]}, "missing"),
    ],
)
def test_rows(kind: vertex_rows.Kind, row: Any, said: str) -> None:
    with pytest.raises(vertex_rows.Refused, match=r"^Row: 1\.") as caught:
        vertex_rows.read(json.dumps(row).encode(), kind)
    assert said in str(caught.value)


def test_a_row_that_is_too_long_is_dropped() -> None:
    long = {"contents": [{"role": "user", "parts": [{"text": "x" * 600_000}]}, ROW["contents"][1]]}
    read = vertex_rows.read(f"{json.dumps(long)}\n{json.dumps(ROW)}".encode(), "supervised")
    assert (len(read.rows), [*read.dropped]) == (1, [1])
