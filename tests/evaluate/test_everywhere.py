"""One comparison over stand-ins for three providers and a model that was really trained here."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.conftest import WriteRows, chat_row

from tuneport import FineTuneJob, Hyperparameters, compare
from tuneport_backends.simulators.bedrock import BedrockSimulator
from tuneport_backends.simulators.openai import OpenAISimulator
from tuneport_backends.simulators.vertex import VertexSimulator

PLACES: dict[str, dict[str, Any]] = {
    "openai:gpt-4.1-mini-2025-04-14": {},
    "bedrock:amazon.nova-lite-v1:0:300k": {
        "bucket": "s3://mine/ft",
        "role": "arn:aws:iam::123456789012:role/tune",
        "region": "us-east-1",
    },
    "vertex:gemini-3.5-flash": {"bucket": "gs://mine/ft", "project": "mine", "location": "us-central1"},
}


@pytest.mark.slow
def test_three_providers_and_this_machine(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_rows: WriteRows
) -> None:
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")
    monkeypatch.setenv("TUNEPORT_POLL_SECONDS", "0.02")
    rows = [chat_row(f"Order {n} of lamps, please.", f'{{"order": {n}, "item": "lamp"}}') for n in range(40)]
    asked = [chat_row(f"Order {n} of lamps please", f'{{"order": {n}, "item": "lamp"}}') for n in range(50, 60)]
    with ExitStack() as stack:
        simulators = [
            stack.enter_context(simulator)
            for simulator in (
                OpenAISimulator(),
                BedrockSimulator(buckets={"mine": "us-east-1"}),
                VertexSimulator(buckets={"mine": "us-central1"}, project="mine"),
            )
        ]
        for simulator in simulators:
            for name, value in simulator.environment().items():
                monkeypatch.setenv(name, value)
        jobs = [
            FineTuneJob.create(model, rows, options=options, hyperparameters=Hyperparameters(epochs=2))
            for model, options in PLACES.items()
        ]
        here = FineTuneJob.create("local:starter", rows, hyperparameters=Hyperparameters(max_steps=4))
        for simulator in simulators:
            simulator.clock.advance(36_000)
        for job in (*jobs, here):
            job.wait(timeout=240)
        jobs[1].deploy()
        simulators[1].clock.advance(3600)
        found = compare([*jobs, here, "base"], write_rows(asked), gpu_per_hour=2.0, calls_per_month=10_000)
    assert [one.backend for one in found.contenders] == ["openai", "bedrock", "vertex", "local", "openai"]
    assert all(one.failed == 0 and one.rows == 10 for one in found.contenders)
    assert all(one.overlap == "none" for one in found.contenders[:4])
    assert found.metrics[0].name == "json_equal"
    assert len([gap for gap in found.differences if gap.metric == "json_equal"]) == 10
    assert found["A"].per_thousand_calls.estimated is not None
    assert found["D"].per_thousand_calls.estimated is not None
    assert found.money.monthly["D"] is not None
    assert found.money.monthly["E"] is None, "what the untuned model costs is not in the catalog"
    assert found["D"].curve
    text = found.to_json()
    for secret in ("sk-tuneport-simulator", "AKIA"):
        assert secret not in text
