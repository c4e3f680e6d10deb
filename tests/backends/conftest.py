"""A tiny model of a real family, and jobs that are followed to their end by looking, never by the clock."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
