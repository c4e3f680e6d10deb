"""For the local engine: a tiny model of a real family, and jobs that are followed to their end by looking, never by the clock.
For the hosted backends: simulators of a test's own, and a job's directory as the job layer leaves it."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.backend import Prepared
from tuneport.spec import FineTuneSpec

TAG = "tp-01kb0000000000000000000000"
GRADER = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "eq",
}
MODELS = {"vertex": "gemini-3.5-flash"}  # that `prepare` tunes where a test names none; the others speak OpenAI's wire
FAMILIES = Path(__file__).parents[1] / "local_engine" / "families.py"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`local:<directory>` of a tiny Llama with random weights."""
    spec = importlib.util.spec_from_file_location("families_for_backends", FAMILIES)
    assert spec is not None
    assert spec.loader is not None
    families = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = families
    spec.loader.exec_module(families)
    return f"local:{families.tiny_model_dir('llama', tmp_path_factory.mktemp('models') / 'llama')}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One TUNEPORT_HOME for all tests of a file."""
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEPORT_HOME", str(path))
        patch.delenv("TUNEPORT_DATABASE_URL", raising=False)
        yield path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 rows; a later one is too long for a limit of 96 tokens."""
    rows: list[dict[str, Any]] = []
    for n in range(60):
        turns = [
            {"role": "user", "content": f"What comes after {n}?"},
            {"role": "assistant", "content": f"After {n}: {n + 1}."},
        ]
        rows.append({"messages": turns})
    rows[30]["messages"][0]["content"] = "long " * 300
    path = tmp_path_factory.mktemp("data") / "count.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    def wait(condition: Callable[[], object], what: str, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
            time.sleep(0.1)

    return wait


def chat_rows(count: int = 12, system: str | None = None) -> list[dict[str, Any]]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return [
        {
            "messages": [
                *first,
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


@pytest.fixture
def samples() -> SimpleNamespace:
    """Rows of each objective, a grader, and the tag."""
    return SimpleNamespace(chat=chat_rows, preference=preference_rows, graded=graded_rows, grader=GRADER, tag=TAG)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`launch(VertexSimulator, faults=[…])` starts one and points the environment at it. None may have failed by itself."""
    started: list[Any] = []

    def start(kind: Callable[..., Any], **given: Any) -> Any:
        simulator = kind(**given).start()
        started.append(simulator)
        for name in simulator.blank:
            monkeypatch.delenv(name, raising=False)
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        return simulator

    yield start
    for simulator in started:
        simulator.stop()
    assert [failure for simulator in started for failure in simulator.failures] == []


@pytest.fixture
def prepare(tmp_path: Path, samples: SimpleNamespace) -> Callable[..., Prepared]:
    """`prepare(backend, model=…)`: a job that is ready to submit, with the files that the job layer writes."""
    of_kind = {"sft": samples.chat, "dpo": samples.preference, "reinforcement": samples.graded}

    def made(
        backend: Any,
        *,
        model: str | None = None,
        tag: str = TAG,
        rows: list[dict[str, Any]] | None = None,
        validation: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Prepared:
        objective: Mapping[str, Any] = fields.setdefault("objective", {"kind": "sft"})
        chosen = model or MODELS.get(backend.name, "gpt-4.1-mini-2025-04-14")
        spec = FineTuneSpec.parse({"model": f"{backend.name}:{chosen}", "dataset": "rows.jsonl", **fields})
        splits = {"train": of_kind[objective["kind"]]() if rows is None else rows, "validation": validation or []}
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
