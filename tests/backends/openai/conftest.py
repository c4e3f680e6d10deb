"""A simulator of the test's own, the real SDK pointed at it, and a job's directory as the job layer leaves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.backend import Prepared
from tuneport.spec import FineTuneSpec
from tuneport_backends.openai import AzureBackend, BedrockOpenAIBackend, OpenAIBackend
from tuneport_backends.openai_service import AZURE, BEDROCK, OPENAI
from tuneport_backends.simulators.openai import OpenAISimulator

TAG = "tp-01kb0000000000000000000000"
GRADER = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "eq",
}
LAMBDA = {"type": "lambda", "lambda": {"function": "arn:aws:lambda:us-west-2:123456789012:function:reward"}}
Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]


def chat_rows(count: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What comes after {n}?"},
                {"role": "assistant", "content": f"After {n} comes {n + 1}."},
            ]
        }
        for n in range(count)
    ]


def preference_rows(count: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "input": {"messages": [{"role": "user", "content": f"Say {n}."}]},
            "preferred_output": [{"role": "assistant", "content": f"{n}, with pleasure."}],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        }
        for n in range(count)
    ]


def graded_rows(count: int = 12) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": f"What is {n} + 1?"}], "reference_answer": str(n + 1)}
        for n in range(count)
    ]


ROWS = {"sft": chat_rows, "dpo": preference_rows, "reinforcement": graded_rows}


@pytest.fixture
def samples() -> SimpleNamespace:
    """Rows of each objective, the graders, and the tag."""
    return SimpleNamespace(
        chat=chat_rows, preference=preference_rows, graded=graded_rows, grader=GRADER, grader_lambda=LAMBDA, tag=TAG
    )


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine's own, and a day on which the providers still take jobs."""
    for service in (OPENAI, AZURE, BEDROCK):
        for name in (*service.keys, *service.places):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulate]:
    """`simulate(faults=[…])` starts one and points the environment at it."""
    started: list[OpenAISimulator] = []

    def start(**given: Any) -> OpenAISimulator:
        simulator = OpenAISimulator(**given).start()
        started.append(simulator)
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        return simulator

    yield start
    for simulator in started:
        simulator.stop()
    assert [failure for simulator in started for failure in simulator.failures] == []


@pytest.fixture
def backend() -> OpenAIBackend:
    return OpenAIBackend()


@pytest.fixture
def azure() -> AzureBackend:
    return AzureBackend()


@pytest.fixture
def bedrock() -> BedrockOpenAIBackend:
    return BedrockOpenAIBackend()


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """`prepare(backend, model=…)`: a job that is ready to submit, with the files that the job layer writes."""

    def made(
        backend: OpenAIBackend,
        *,
        model: str = "gpt-4.1-mini-2025-04-14",
        tag: str = TAG,
        rows: list[dict[str, Any]] | None = None,
        validation: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Prepared:
        objective: Mapping[str, Any] = fields.setdefault("objective", {"kind": "sft"})
        spec = FineTuneSpec.parse({"model": f"{backend.name}:{model}", "dataset": "rows.jsonl", **fields})
        splits = {"train": ROWS[objective["kind"]]() if rows is None else rows, "validation": validation or []}
        directory = tmp_path / tag
        directory.mkdir(exist_ok=True)
        counts: dict[str, int] = {}
        for name, items in splits.items():
            if items:
                counts[name] = len(items)
                lines = (json.dumps({**row, "row": n, "hash": f"h{n}"}) for n, row in enumerate(items, 1))
                (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        resolved = backend.resolve(spec, counts)
        (directory / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")
        plan = {
            "fingerprint": "f" * 64,
            "dialect": "openai",
            "splits": counts,
            "method": {},
            "hyperparameters": [note.model_dump(mode="json") for note in resolved.notes],
            "warnings": [],
        }
        (directory / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        return Prepared(job_id=tag, tag=tag, spec=spec, resolved=resolved, directory=directory, splits=counts)

    return made
