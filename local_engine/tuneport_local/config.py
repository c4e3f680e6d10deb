"""What one run needs, flat and versioned, and the names of every file in a job's directory.

The application (through its local backend) writes `config.json` once; the supervisor and the trainer read it. Nothing here
loads torch. Everything is resolved: the trainer decides no default, it only carries out.

    <job>/
        spec.json                what was asked (the application's)
        config.json              `RunConfig`, written once
        train.jsonl  validation.jsonl  test.jsonl
                                 canonical rows, a line each: {"row": 12, "messages": [...], "tools": [...], "hash": "…"}
                                 `row` is the 1-based input row; validation and test may be absent
        state.json               `State`, the supervisor's, replaced whole
        events.jsonl             appended by supervisor and trainer, one `Event` a line; its seq is its line number
        cancel                   exists once somebody asked to cancel
        ledger.jsonl             one line for each input row: where it went
        checkpoints/step-00000012/      whole, or still named with a leading dot and ignored
        base_scores.jsonl  tuned_scores.jsonl    one line for each test row
        artifacts/               adapter or full weights as safetensors, tokenizer, template, README.md
        report.json              `RunReport`, the trainer's, written last
        failure.json             why the trainer gave up, where it could still say so
        trainer.log  supervisor.log
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from tuneport.result import Artifact, Checkpoint, CurvePoint, LedgerTotals, Provenance, TestScores
from tuneport.status import Event, JobStatus

CONFIG_VERSION = 1
STATE_VERSION = 1
REPORT_VERSION = 1

SPEC, CONFIG, STATE, EVENTS, CANCEL = "spec.json", "config.json", "state.json", "events.jsonl", "cancel"
LEDGER, CHECKPOINTS, ARTIFACTS, REPORT, FAILURE = (
    "ledger.jsonl",
    "checkpoints",
    "artifacts",
    "report.json",
    "failure.json",
)
BASE_SCORES, TUNED_SCORES = "base_scores.jsonl", "tuned_scores.jsonl"
TRAINER_LOG, SUPERVISOR_LOG = "trainer.log", "supervisor.log"


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.model_validate_json(path.read_bytes())

    def save(self, path: Path) -> None:
        write_atomic(path, self.model_dump_json(indent=2).encode() + b"\n")


class RunConfig(_File):
    """One local training run. Lengths in tokens, steps in optimiser steps, rates per step."""

    version: int = CONFIG_VERSION
    job_id: str
    model_path: str = Field(description="a directory in Hugging Face layout")
    objective: dict[str, Any] = Field(description="a dumped `tuneport.objectives.Objective`")
    method: dict[str, Any] = Field(description="a dumped `tuneport.methods.Method`")
    seed: int = 42
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 8
    micro_batch_size: int = 8
    learning_rate: float = 2e-4
    scheduler: Literal["linear", "cosine", "constant"] = "cosine"
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    truncation: Literal["drop", "left"] = "drop"
    eval_steps: int | None = Field(default=None, description="None: once an epoch")
    checkpoint_steps: int | None = Field(default=None, description="None: once an epoch")
    keep_checkpoints: int = Field(default=2, ge=1, description="the newest, beside the best")
    early_stopping_patience: int | None = None
    early_stopping_threshold: float = 0.0
    gradient_checkpointing: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    devices: list[str] = Field(
        default_factory=lambda: ["cpu"], description='"cpu", or "cuda:0", …; leased in this order'
    )
    threads: int | None = Field(default=None, description="torch's CPU threads; None: torch's own choice")
    trust_remote_code: bool = False
    test_max_new_tokens: int = 256
    test_batch_size: int = 16


class State(_File):
    """How the run stands, in the supervisor's words."""

    version: int = STATE_VERSION
    status: JobStatus
    attempt: int = 1
    host: str
    boot_id: str = Field(description="changes when the machine restarts")
    supervisor_pid: int
    supervisor_started: float = Field(description="the process's start, seconds since the epoch: a pid alone is reused")
    trainer_pid: int | None = None
    devices: list[str] = Field(default_factory=list)
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    signal: str | None = Field(default=None, description="the signal that ended the trainer, by name")
    out_of_memory: bool = False
    reason: str | None = None
    resumable: bool = False


class RunReport(_File):
    """What the trainer has to say at the end; the backend makes a `FineTuneResult` of it."""

    version: int = REPORT_VERSION
    kind: Literal["adapter", "full"]
    metrics: dict[str, float]
    curve: list[CurvePoint]
    checkpoints: list[Checkpoint]
    ledger: dict[str, LedgerTotals]
    trained_tokens: int
    steps: int
    test: TestScores | None = None
    artifacts: list[Artifact]
    peak_memory_bytes: int | None = None
    train_seconds: float
    provenance: Provenance
    effective: dict[str, Any] = Field(
        default_factory=dict, description="hyperparameters that the trainer had to change"
    )
    warnings: list[str] = Field(default_factory=list)


class Failure(_File):
    """Written by the trainer where it could still speak. `user_error` means the message alone is enough."""

    # What a second attempt would meet again (bad rows, a wrong model) is not resumable; a full disk is.

    error: str
    message: str
    user_error: bool = False
    resumable: bool = True
    out_of_memory: bool = False


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside `path` and rename: a reader sees the old file or the new one, never a half."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def append_event(job: Path, event: Event) -> None:
    """Append one line in a single O_APPEND write, so that two processes' lines never mix."""
    line = json.dumps(event.model_dump(mode="json", exclude={"seq"}), separators=(",", ":"), ensure_ascii=False)
    handle = os.open(job / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode() + b"\n")
    finally:
        os.close(handle)


def read_events(job: Path, after: int = 0) -> list[Event]:
    """Events with seq > `after`; the seq is the line number. A last line without its newline is still being written."""
    try:
        data = (job / EVENTS).read_bytes()
    except FileNotFoundError:
        return []
    lines = data.split(b"\n")[:-1]
    return [_event(line, n) for n, line in enumerate(lines[after:], after + 1)]


def _event(line: bytes, seq: int) -> Event:
    try:
        return Event.model_validate({**json.loads(line), "seq": seq})
    except (ValueError, TypeError):  # a disk that was full kept half of it
        return Event(seq=seq, level="warning", message=f"event {seq} was not written whole and cannot be read")


def read_rows(job: Path, split: str) -> list[dict[str, Any]]:
    """Canonical rows of one split, in order; empty where the split has no file."""
    path = job / f"{split}.jsonl"
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
