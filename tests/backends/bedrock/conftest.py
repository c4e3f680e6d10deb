"""The simulated Bedrock, the real boto3 pointed at it, and rows to tune on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")

from tuneport import FineTuneJob, registry
from tuneport_backends.bedrock import BedrockBackend
from tuneport_backends.simulators.bedrock import BedrockSimulator

MODEL = "bedrock:amazon.nova-lite-v1:0:300k"


def row(question: str, answer: str, system: str | None = None) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [{"role": "system", "content": system}, *turns] if system else turns}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    monkeypatch.setenv("TUNEPORT_HOME", str(path))
    monkeypatch.setenv("TUNEPORT_POLL_SECONDS", "0.02")
    monkeypatch.setenv("TUNEPORT_NOW", "2026-09-01")  # before Claude 3 Haiku ends
    monkeypatch.delenv("TUNEPORT_DATABASE_URL", raising=False)
    return path


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> BedrockBackend:
    """As its entry point gives it, whatever this checkout's installed metadata says."""
    point = EntryPoint("bedrock", "tuneport_backends.bedrock:BedrockBackend", registry.GROUP)
    known = {**registry.available(), "bedrock": point}
    monkeypatch.setattr(registry, "available", lambda: known)
    made = BedrockBackend()
    monkeypatch.setitem(registry._loaded, "bedrock", made)
    return made


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No AWS of this machine's own: no variable, no file, no instance."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TUNEPORT_BEDROCK"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def simulate(
    aws: pytest.MonkeyPatch, backend: BedrockBackend, home: Path, launch: Callable[..., Any]
) -> Iterator[Callable[..., BedrockSimulator]]:
    """`simulate(faults=[...])` starts one and points boto3 at it."""
    yield partial(launch, BedrockSimulator)
    registry.close_models()


@pytest.fixture
def simulator(simulate: Callable[..., BedrockSimulator]) -> BedrockSimulator:
    return simulate()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return written(
        tmp_path / "rows.jsonl",
        [
            row(f"What is the capital of country {n}?", f"Its capital is town {n * 7}.", "Answer briefly.")
            for n in range(40)
        ],
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """`write(pairs)` makes a file of questions and answers, without a system turn; `write(rows=…)` one of rows."""

    def make(pairs: list[tuple[str, str]] | None = None, rows: list[dict[str, Any]] | None = None) -> str:
        return str(written(tmp_path / "written.jsonl", rows or [row(*pair) for pair in pairs or []]))

    return make


@pytest.fixture
def create(rows: Path) -> Callable[..., FineTuneJob]:
    def make(**settings: Any) -> FineTuneJob:
        return FineTuneJob.create(**{"model": MODEL, "dataset": str(rows), "privacy": "allow", **settings})

    return make
