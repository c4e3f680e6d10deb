"""A simulator of the test's own, Google's real SDKs pointed at it, and a job's directory as the job layer leaves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport import registry
from tuneport.backend import Prepared
from tuneport.spec import FineTuneSpec
from tuneport_backends import vertex_service
from tuneport_backends.simulators.vertex import VertexSimulator
from tuneport_backends.vertex import VertexBackend

TAG = "tp-01kb0000000000000000000000"
GRADER = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "eq",
}
VARIABLES = (
    "TUNEPORT_VERTEX_BASE_URL",
    "TUNEPORT_VERTEX_BUCKET",
    "GOOGLE_VERTEX_BASE_URL",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "STORAGE_EMULATOR_HOST",
)
Simulate = Callable[..., VertexSimulator]
Prepare = Callable[..., Prepared]


def chat_rows(count: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "system", "content": "Count."},
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
    return SimpleNamespace(chat=chat_rows, preference=preference_rows, graded=graded_rows, grader=GRADER, tag=TAG)


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variable and no login of the machine's own, and a day on which the models still take jobs."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")
    monkeypatch.setenv("TUNEPORT_POLL_SECONDS", "0.02")
    yield
    vertex_service.close()


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulate]:
    """`simulate(faults=[…])` starts one and points the environment at it."""
    started: list[VertexSimulator] = []

    def start(**given: Any) -> VertexSimulator:
        simulator = VertexSimulator(**given).start()
        started.append(simulator)
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        return simulator

    yield start
    for simulator in started:
        simulator.stop()
    assert [failure for simulator in started for failure in simulator.failures] == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is repeated by the SDK, so that a fault is seen at once."""
    monkeypatch.setattr(vertex_service, "ATTEMPTS", 1)
    vertex_service.close()


@pytest.fixture
def backend() -> VertexBackend:
    return VertexBackend()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The backend under its name, whether or not the installed package has its entry point."""
    point = EntryPoint("vertex", "tuneport_backends.vertex:VertexBackend", registry.GROUP)
    known = registry.available()
    monkeypatch.setattr(registry, "available", lambda: {**known, "vertex": point})
    monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.setattr(registry, "_sessions", {})


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """`prepare(backend, model=…)`: a job that is ready to submit, with the files that the job layer writes."""

    def made(
        backend: VertexBackend,
        *,
        model: str = "gemini-3.5-flash",
        tag: str = TAG,
        rows: list[dict[str, Any]] | None = None,
        validation: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Prepared:
        objective: Mapping[str, Any] = fields.setdefault("objective", {"kind": "sft"})
        spec = FineTuneSpec.parse({"model": f"vertex:{model}", "dataset": "rows.jsonl", **fields})
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
