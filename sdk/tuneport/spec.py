"""What is asked for: one `FineTuneSpec`, the same for every backend.

Fields that are None were not set; the plan resolves them and records the resolved value beside the requested one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from tuneport.errors import SpecError
from tuneport.methods import Method
from tuneport.objectives import SFT, Objective
from tuneport.strict import Strict

SPEC_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTENDER_WORDS = frozenset({"base", "few-shot", "file", "system"})  # taken by the command line of `compare`


class Hyperparameters(Strict):
    """How the optimisation runs. Unset fields are resolved by the plan, for the model, the method and the data."""

    epochs: float | None = Field(default=None, gt=0, le=1000, description="passes over the training rows")
    max_steps: int | None = Field(default=None, ge=1, description="optimiser steps; ends the run before `epochs` would")
    batch_size: int | None = Field(default=None, ge=1, description="rows in one optimiser step, over all devices")
    micro_batch_size: int | None = Field(default=None, ge=1, description="rows in one forward pass on one device")
    learning_rate: float | None = Field(default=None, gt=0, le=1, description="peak learning rate")
    learning_rate_multiplier: float | None = Field(
        default=None, gt=0, description="providers that scale their own rate"
    )
    scheduler: Literal["linear", "cosine", "constant"] | None = None
    warmup_ratio: float | None = Field(default=None, ge=0, lt=1, description="fraction of the steps spent warming up")
    weight_decay: float | None = Field(default=None, ge=0, lt=1)
    max_grad_norm: float | None = Field(default=None, gt=0, description="gradients are clipped to this norm")
    max_length: int | None = Field(default=None, ge=8, description="tokens of a row; what is beyond is cut and said")
    truncation: Literal["drop", "left"] | None = Field(
        default=None,
        description="a row whose whole answer would be cut off: drop it (default), or cut its beginning (left)",
    )
    eval_steps: int | None = Field(default=None, ge=1, description="optimiser steps between validations")
    checkpoint_steps: int | None = Field(default=None, ge=1, description="optimiser steps between checkpoints")
    early_stopping_patience: int | None = Field(
        default=None, ge=1, description="validations without improvement before the run ends and the best is restored"
    )
    early_stopping_threshold: float | None = Field(default=None, ge=0, description="what counts as an improvement")
    gradient_checkpointing: bool | None = Field(default=None, description="less memory, about a third more compute")
    precision: Literal["fp32", "bf16"] | None = None

    @model_validator(mode="after")
    def _one_rate(self) -> Hyperparameters:
        if self.learning_rate is not None and self.learning_rate_multiplier is not None:
            raise ValueError("set learning_rate or learning_rate_multiplier, not both: a rate is not a multiplier")
        if self.batch_size and self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self


class Mix(Strict):
    """General data mixed into the training rows at a fraction, against forgetting: `Mix("general.jsonl", fraction=0.1)`."""

    source: str
    fraction: float = Field(default=0.1, gt=0, lt=1, description="share of the mixed rows in the training set")

    def __init__(self, source: str, fraction: float = 0.1, **unknown: Any) -> None:
        super().__init__(**{"source": source, "fraction": fraction, **unknown})


class Resources(Strict):
    """Where it runs: `devices` is "auto", "cpu", a count of GPUs, or their indices."""

    devices: Literal["auto", "cpu"] | int | list[int] = "auto"
    processes: int = Field(default=1, ge=1)

    @field_validator("devices")
    @classmethod
    def _devices(cls, value: Any) -> Any:
        if isinstance(value, int) and value < 1:
            raise ValueError("a count of devices is at least 1; use devices='cpu' for none")
        if isinstance(value, list):
            indices = cast("list[int]", value)
            if not indices or min(indices) < 0 or len(set(indices)) != len(indices):
                raise ValueError("device indices are distinct, from 0 up")
        return cast("Any", value)


class ModelId(Strict):
    """`<backend>:<model>`, split at the first colon."""

    backend: str
    model: str

    @classmethod
    def split(cls, text: str) -> ModelId:
        backend, colon, model = str(text).partition(":")
        if not colon or not backend or not model:
            hint = ""
            if not colon and (text.startswith((".", "/", "~")) or Path(text).expanduser().exists()):
                hint = f" For a model on this machine: 'local:{text}'."
            raise SpecError(
                f"model {text!r} has no backend: write '<backend>:<model>', as in 'local:starter' or "
                f"'openai:gpt-4.1-mini-2025-04-14'.{hint}"
            )
        if backend in _CONTENDER_WORDS:
            raise SpecError(f"model {text!r}: {backend!r} names a contender of `compare`, not a backend")
        return cls(backend=backend, model=model)

    def __str__(self) -> str:
        return f"{self.backend}:{self.model}"


class FineTuneSpec(Strict):
    """Everything that a job was asked to do. `dataset`, `validation` and `test` are descriptions, never the data itself."""

    schema_version: int = SPEC_VERSION
    model: str
    dataset: str = Field(description="where the rows came from, in words or as a path")
    objective: Objective = Field(default_factory=SFT)
    method: Method | None = None
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    validation: float | str | None = Field(default=None, description="a fraction of the rows, or where they came from")
    test: float | str | None = None
    group_by: str | None = Field(
        default=None, description="a key of the rows, as in metadata.customer: no group stands in two splits"
    )
    mix: Mix | None = None
    resources: Resources = Field(default_factory=Resources)
    options: dict[str, Any] = Field(default_factory=dict, description="the backend's own options")
    privacy: Literal["block", "redact", "allow"] = "block"
    budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    name: str | None = None
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    metadata: dict[str, str] = Field(default_factory=dict)
    webhook: str | None = Field(
        default=None, description="a URL that is told when the job has ended, signed with TUNEPORT_WEBHOOK_SECRET"
    )
    integrations: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        ModelId.split(value)
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError("a name is 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit")
        return value

    @field_validator("validation", "test")
    @classmethod
    def _fraction(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, (int, float)) and not 0 < value < 1:
            raise ValueError("a fraction is above 0 and below 1; give a path for a file of its own")
        return value

    @model_validator(mode="after")
    def _room(self) -> FineTuneSpec:
        held = sum(v for v in (self.validation, self.test) if isinstance(v, float))
        if held >= 0.9:
            raise ValueError(
                f"validation and test together take {held:.0%} of the rows: leave at least 10% for training"
            )
        return self

    @property
    def model_id(self) -> ModelId:
        return ModelId.split(self.model)
