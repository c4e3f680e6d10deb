"""What comes back: one schema for every backend. Written once, whole, when a job succeeds."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tuneport.scoring.intervals import Interval

RESULT_VERSION = 1


class _Record(BaseModel):
    # Read back from disk or made from a provider's payload: a key that is not known here is never a reason to fail.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Message(_Record):
    """What a model answered: text, calls of tools, or both."""

    role: str = "assistant"
    content: str = ""
    tool_calls: list[dict[str, Any]] = Field(
        default_factory=list[dict[str, Any]], description="in OpenAI's shape, arguments as JSON text"
    )
    finish_reason: Literal["stop", "length"] = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def __str__(self) -> str:
        return self.content


class ModelRef(_Record):
    """A reference to a tuned model, never the live model: loading a result loads no weights and no torch.

    `backend` and `model` are what `"<backend>:<model>"` says; for a local adapter, `base` is the model under it.
    """

    backend: str
    model: str
    base: str | None = None
    kind: Literal["adapter", "full", "hosted"] = "hosted"
    options: dict[str, Any] = Field(
        default_factory=dict, description="the backend's own: where it was tuned, it answers"
    )

    def __str__(self) -> str:
        return f"{self.backend}:{self.model}"

    def chat(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: list[dict[str, Any]] | None = None,
        seed: int | None = None,
    ) -> Message:
        """Answer `messages` (OpenAI's chat shape). A local model answers from a child process, kept until it is idle."""
        from tuneport import registry

        session = registry.open_model(str(self), self.options)
        return session.chat(messages, temperature=temperature, max_tokens=max_tokens, tools=tools, seed=seed)


class CurvePoint(_Record):
    """One point of the training curve. Losses are natural-log cross-entropy per trained token."""

    step: int
    epoch: float | None = None
    loss: float | None = None
    validation_loss: float | None = None
    token_accuracy: float | None = None
    validation_token_accuracy: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int | None = Field(
        default=None, description="tokens processed since the start of the job, padding excluded"
    )
    tokens_per_second: float | None = None
    attempt: int = 1


class Checkpoint(_Record):
    step: int
    path: str | None = None
    validation_loss: float | None = None
    best: bool = False


class LedgerTotals(_Record):
    """Where every input row went. `used + truncated + dropped == rows`."""

    rows: int
    used: int
    truncated: int = 0
    dropped: int = 0
    tokens: int | None = None
    trainable_tokens: int | None = None
    reasons: dict[str, int] = Field(default_factory=dict, description="reason of a cut or a drop, and how many rows")


class DatasetInfo(_Record):
    source: str
    fingerprint: str = Field(description="sha256 over the canonical rows in order")
    dialect: str = "openai"
    splits: dict[str, int]
    ledger: dict[str, LedgerTotals] = Field(default_factory=dict, description="by split")
    ledger_path: str | None = None


class HyperparameterNote(_Record):
    """One hyperparameter: what was asked for, what was used, and why where they differ."""

    name: str
    requested: Any = None
    effective: Any = None
    reason: str = ""


class Usage(_Record):
    wall_seconds: float | None = None
    queue_seconds: float | None = None
    device_seconds: float | None = None
    peak_memory_bytes: int | None = Field(default=None, description="of the training process; of the device on a GPU")
    devices: list[str] = Field(default_factory=list)


class Cost(_Record):
    estimated: float | None = None
    actual: float | None = None
    currency: str = "USD"
    price_source: str | None = None
    price_date: str | None = None


class MetricComparison(_Record):
    """One metric on the held-out test rows, for the base and for the tuned model, paired by row."""

    name: str
    base: float | None
    tuned: float | None
    difference: Interval | None = None
    higher_is_better: bool = True
    rows: int


class TestScores(_Record):
    __test__ = False  # not a test class, whatever pytest makes of its name

    rows: int
    metrics: list[MetricComparison]
    rows_path: str | None = None
    decoding: dict[str, Any] = Field(default_factory=dict)


class Artifact(_Record):
    kind: Literal[
        "adapter", "weights", "config", "tokenizer", "template", "model-card", "report", "metrics", "ledger", "log"
    ]
    path: str
    bytes: int | None = None
    sha256: str | None = None


class Provenance(_Record):
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    hardware: dict[str, Any] = Field(default_factory=dict)
    base_fingerprint: str | None = Field(default=None, description="sha256 over the base's weight files")
    chat_template: str | None = Field(default=None, description="where the chat template came from, by name")


class FineTuneResult(_Record):
    """The one format. `raw` is the provider's own payload, kept as it came."""

    schema_version: int = RESULT_VERSION
    job_id: str
    backend: str
    provider_id: str | None = None
    base_model: str
    model: ModelRef
    objective: dict[str, Any]
    method: dict[str, Any]
    hyperparameters: list[HyperparameterNote]
    dataset: DatasetInfo
    metrics: dict[str, float] = Field(default_factory=dict)
    curve: list[CurvePoint] = Field(default_factory=list[CurvePoint])
    checkpoints: list[Checkpoint] = Field(default_factory=list[Checkpoint])
    trained_tokens: int | None = None
    test: TestScores | None = None
    usage: Usage = Field(default_factory=Usage)
    cost: Cost = Field(default_factory=Cost)
    timeline: dict[str, datetime] = Field(default_factory=dict)
    artifacts: list[Artifact] = Field(default_factory=list[Artifact])
    provenance: Provenance = Field(default_factory=Provenance)
    warnings: list[str] = Field(default_factory=list)
    raw: dict[str, Any] = Field(default_factory=dict)
