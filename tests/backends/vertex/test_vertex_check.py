"""What is refused before anything is spent, each with its value and its fix."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.backend import FEATURES
from tuneport.dataset.issues import errors
from tuneport.errors import PlanError, SpecError
from tuneport.objectives import OBJECTIVES
from tuneport.spec import FineTuneSpec
from tuneport_backends import vertex_request as request
from tuneport_backends import vertex_service as service
from tuneport_backends.vertex import VertexBackend

PLACE = {"project": "p", "bucket": "gs://bucket/prefix"}


def spec(**fields: Any) -> FineTuneSpec:
    fields = {"model": "vertex:gemini-3.5-flash", "dataset": "rows.jsonl", "options": PLACE, **fields}
    return FineTuneSpec.parse(fields)


def codes(backend: VertexBackend, **fields: Any) -> set[str]:
    return {issue.code for issue in errors(backend.check(spec(**fields)))}


def test_nothing_is_left_unsaid(backend: VertexBackend) -> None:
    can = backend.capabilities()
    assert set(can.objectives) == set(OBJECTIVES)
    assert set(can.features) >= set(FEATURES)
    assert can.events == "provider"
    assert (can.polling.first, can.polling.most, can.polling.window) == (15, 120, 60)
    assert codes(backend) == set()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"options": {}}, "options.project"),
        ({"options": {}}, "options.bucket"),
        ({"options": {**PLACE, "bucket": "s3://mine"}}, "options.invalid"),
        ({"options": {**PLACE, "buckets": "x"}}, "options.unknown"),
        ({"options": {**PLACE, "location": "global"}}, "options.location"),
        ({"options": {**PLACE, "base_url": "http://example.com"}}, "options.invalid"),
        ({"options": {**PLACE, "base_url": "https://u:p@example.com"}}, "options.secret"),
        ({"options": {**PLACE, "adapter_size": 5}}, "options.invalid"),
        ({"options": {**PLACE, "adapter_size": 4}, "method": {"kind": "lora", "rank": 8}}, "options.conflict"),
        ({"options": {**PLACE, "output": "gs://b/o"}}, "options.not-for-model"),
        ({"options": {**PLACE, "machine_type": "a3"}, "model": "vertex:gemma-3-27b-it"}, "unsupported.option"),
        ({"options": {**PLACE, "customization": "distillation"}}, "unsupported.option"),
        ({"options": {**PLACE, "teacher": "gemini-2.5-pro"}}, "unsupported.option"),
        ({"objective": {"kind": "cpt"}}, "unsupported.objective"),
        ({"objective": {"kind": "orpo"}}, "unsupported.objective"),
        ({"objective": {"kind": "rlhf"}}, "unsupported.objective"),
        ({"method": {"kind": "qlora"}}, "unsupported.method"),
        ({"objective": {"kind": "reinforcement"}}, "objective.grader"),
        ({"objective": {"kind": "reinforcement", "grader": {"type": "score_model"}}}, "objective.grader"),
        ({"metadata": {"Team": "x"}}, "metadata.label"),
        ({"metadata": {"team": "Big Words"}}, "metadata.label"),
        ({"metadata": {"tuneport-tag": "x"}}, "metadata.reserved"),
        ({"integrations": [{"type": "wandb"}]}, "unsupported.integrations"),
    ],
)
def test_refusals(backend: VertexBackend, fields: dict[str, Any], code: str) -> None:
    assert code in codes(backend, **fields)


def test_the_environment_says_where(backend: VertexBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("TUNEPORT_VERTEX_BUCKET", "bucket")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "mars-west1")
    issues = backend.check(spec(options={}))
    assert errors(issues) == []
    (warning,) = [issue for issue in issues if issue.code == "options.location"]
    assert "us-central1" in warning.message


@pytest.mark.parametrize(
    "hyperparameters", [{"learning_rate": 1e-4}, {"batch_size": 4}, {"epochs": 1.5}, {"warmup_ratio": 0.1}]
)
def test_what_cannot_be_translated_is_an_error(backend: VertexBackend, hyperparameters: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=next(iter(hyperparameters))):
        backend.resolve(spec(hyperparameters=hyperparameters), {"train": 20})


def test_a_rate_is_sent_as_one_only_to_an_open_model(backend: VertexBackend) -> None:
    resolved = backend.resolve(
        spec(model="vertex:google/gemma-3-27b-it", hyperparameters={"learning_rate": 1e-4}), {"train": 20}
    )
    assert dict(resolved.hyperparameters) == {"learning_rate": 1e-4}
    with pytest.raises(PlanError, match="learning_rate_multiplier"):
        backend.resolve(
            spec(model="vertex:google/gemma-3-27b-it", hyperparameters={"learning_rate_multiplier": 2}), {"train": 20}
        )


def test_a_seed_is_said_not_to_be_sent(backend: VertexBackend) -> None:
    assert any("seed 7" in said for said in backend.resolve(spec(seed=7), {"train": 20}).warnings)


def test_the_end_of_a_model_is_told(backend: VertexBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEPORT_NOW", "2026-11-01")
    (warning,) = backend.resolve(spec(model="vertex:gemini-2.5-pro"), {"train": 20}).warnings
    assert "have stopped answering since 2026-10-17" in warning


def test_graders(samples: SimpleNamespace) -> None:
    source = "def grade(sample, item):\n    return float(sample['output_text'] == item['answer'])"
    code = request.reward({"type": "python", "name": "My grader", "source": source})
    assert code["reward_name"] == "my_grader"
    scope: dict[str, Any] = {}
    exec(code["code_execution_reward_scorer"]["python_code_snippet"], scope)
    example, response = {"references": {"answer": "4"}}, {"parts": [{"text": "hm", "thought": True}, {"text": "4"}]}
    assert scope["evaluate"](example, response) == 1.0
    for other in (
        {**samples.grader, "operation": "like"},
        {**samples.grader, "input": "x {{sample.output_text}}"},
        {**samples.grader, "reference": "{{item.a.b}}"},
        {"type": "multi"},
    ):
        with pytest.raises(SpecError, match="cannot be said exactly"):
            request.reward(other)


def test_the_target_is_the_catalogs(backend: VertexBackend) -> None:
    assert backend.target("gemini-3.5-flash", "sft").dialect == "vertex"
    assert backend.target("gemini-3.5-flash", "dpo").dialect == "vertex-preference"
    assert backend.target("gemma-3-27b-it", "sft").dialect == "openai"
    assert backend.target("projects/p/locations/l/models/1@1", "sft").dialect == "vertex"
    assert backend.target("gemini-99", "sft").dialect == "vertex"


def test_without_a_stand_in_googles_own_address_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a login that is only looked at: nothing is sent."""
    path = tmp_path / "login.json"
    login = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    path.write_text(json.dumps(login))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    found = service.place({**PLACE, "location": "europe-west4"})
    clients = service.connect(found)
    assert found.address == "https://europe-west4-aiplatform.googleapis.com"
    for client in (clients.asks, clients.creates):
        options: Any = client._api_client._http_options
        assert options.base_url == f"{found.address}/"
    assert service.connect(found) is clients
    os.utime(path, ns=(1, 1))  # logged in again
    assert service.connect(found) is not clients
    assert (found.bucket, found.object("tp-x", "train.jsonl")) == ("bucket", "prefix/tp-x/train.jsonl")
