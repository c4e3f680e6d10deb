"""What the tests of comparisons share: rows, a simulator of OpenAI's, and the local starter model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneport import registry

WriteRows = Callable[..., Path]


def chat_row(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    def write(rows: list[dict[str, Any]], name: str = "test.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def sums() -> list[dict[str, Any]]:
    return [chat_row(f"What is {n} plus {n + 1}?", str(2 * n + 1)) for n in range(20)]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    registry.close_models()
