"""Jobs for the trainer: `make_job(family, …)` writes a job's directory as the local backend would."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
CITIES = ["Paris", "Lima", "Tokyo", "Oslo"]


def conversation(index: int) -> list[dict[str, str]]:
    """One of four facts in rows of uneven length: learnable, and a batch of them needs padding."""
    return [
        {"role": "user", "content": f"What is the capital of number {index % 4}?" + " please" * (index * 7 % 6)},
        {"role": "assistant", "content": CITIES[index % 4] + " is the capital" * (index % 3)},
    ]


def write_rows(path: Path, conversations: list[list[dict[str, Any]]]) -> None:
    rows = [{"row": n, "messages": messages, "hash": str(n)} for n, messages in enumerate(conversations, 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Callable[..., Path]:
    def make(
        family: str = "llama",
        *,
        name: str = "job",
        train: int = 16,
        validation: int = 0,
        test: int = 0,
        **settings: Any,
    ) -> Path:
        from tuneport_local.config import RunConfig

        job = tmp_path / name
        job.mkdir()
        for split, count in (("train", train), ("validation", validation), ("test", test)):
            if count:
                write_rows(job / f"{split}.jsonl", [conversation(i) for i in range(count)])
        values: dict[str, Any] = {
            "job_id": name,
            "model_path": str(settings.pop("model_path", None) or tiny_model(family)),
            "objective": {"kind": "sft"},
            "method": {"kind": "lora", "rank": 4},
            "max_steps": 4,
            "batch_size": 8,
            "micro_batch_size": 8,
            "learning_rate": 2e-2,
            "warmup_ratio": 0.0,
            "max_length": 256,
            "threads": 1,
            "test_max_new_tokens": 8,
        }
        RunConfig(**{**values, **settings}).save(job / "config.json")
        return job

    return make
