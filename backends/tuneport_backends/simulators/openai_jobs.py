"""One job of the simulated OpenAI: a function of the simulator's clock, from validating to its end, with all that it leaves."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuneport_backends.simulators.openai_rows import Refused, Row, inner

_MOST_METRICS = 500  # events; a longer job reports every few steps
_KEPT_CHECKPOINTS = 3  # the service keeps those of the last three epochs


@dataclass(frozen=True)
class Timing:
    """Seconds of the simulator's clock."""

    validating: float = 10.0
    queued: float = 20.0
    step: float = 1.0
    pausing: float = 5.0
    cancelling: float = 0.0  # how long a cancelled job goes on before it says so
    deploying: float = 60.0  # Azure's


@dataclass(frozen=True)
class Happening:
    at: float  # seconds of progress
    message: str
    level: str = "info"
    data: Mapping[str, Any] | None = None  # of metrics


@dataclass
class Job:
    """`asked`: the body that created it. `rows`: what it learns from; `refused`: why its file is not taken."""

    id: str
    asked: Row
    created: float
    epoch: float  # what second 0 of the clock is, as a Unix time
    timing: Timing
    organization: str
    service: str
    rows: Sequence[Row] = ()
    refused: Refused | None = None
    fails: str | None = None
    never_ends: bool = False
    cancelled: float | None = None
    result_file: str | None = None
    pauses: list[list[float | None]] = field(default_factory=list[list[float | None]])
    extra: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def __post_init__(self) -> None:
        method = inner(self.asked.get("method"))
        self.method = str(method.get("type", "supervised"))
        own = inner(inner(method.get(self.method)).get("hyperparameters"))
        given: Row = {**inner(self.asked.get("hyperparameters")), **own}
        self.given = given
        rows = max(1, len(self.rows))
        epochs = given.get("n_epochs", "auto")
        if epochs == "auto":
            epochs = (
                3 if 34 <= rows <= 8333 else (min(25, math.ceil(100 / rows)) if rows < 34 else max(1, 25_000 // rows))
            )
        batch = given.get("batch_size", "auto")
        if batch == "auto":
            batch = max(1, min(256, round(rows * 0.002)))
        rate = given.get("learning_rate_multiplier", "auto")
        self.used: Row = {
            **{name: value for name, value in given.items() if value != "auto"},
            "n_epochs": int(epochs),
            "batch_size": int(batch),
            "learning_rate_multiplier": 2.0 if rate == "auto" else rate,
        }
        if self.method == "dpo":
            self.used["beta"] = 0.1 if given.get("beta", "auto") == "auto" else given["beta"]
        self.per_epoch = math.ceil(rows / int(batch))
        self.steps = self.per_epoch * int(epochs)
        self._begins = self.timing.validating + self.timing.queued
        self._ends = self._begins + self.steps * self.timing.step
        self._happenings = self._schedule()

    # Time

    def progress(self, now: float) -> float:
        """Seconds of work until `now`, pauses left out."""
        until = now if self.cancelled is None else min(now, self.cancelled)
        idle = sum(
            max(0.0, min(until, until if end is None else end) - (start or 0.0))
            for start, end in self.pauses
            if start is not None and start < until
        )
        return max(0.0, until - self.created - idle)

    def when(self, progress: float) -> float:
        """The clock's second at which `progress` was reached."""
        at = self.created + progress
        for start, end in self.pauses:
            if start is not None and start < at and end is not None and end > start:
                at += end - start
        return at

    def status(self, now: float) -> str:
        done = self.progress(now)
        if self.refused is not None and done >= self.timing.validating:
            return "failed"
        if self.fails is not None and done >= self._begins + (self._ends - self._begins) / 2:
            return "failed"
        if done >= self._ends and not self.never_ends and self.fails is None:
            return "succeeded"
        if self.cancelled is not None and now >= self.cancelled:
            return "cancelled"
        if self.pauses and self.pauses[-1][1] is None:
            return "paused" if now >= (self.pauses[-1][0] or 0.0) else "pausing"
        if done < self.timing.validating:
            return "validating_files"
        return "queued" if done < self._begins else "running"

    def ended(self, now: float) -> float | None:
        """The clock's second at which it ended; None while it has not."""
        state = self.status(now)
        if state == "succeeded":
            return self.when(self._ends)
        if state == "failed":
            half = self._begins + (self._ends - self._begins) / 2
            return self.when(self.timing.validating if self.refused is not None else half)
        return self.cancelled if state == "cancelled" else None

    # What the service says of it

    @property
    def code(self) -> str:
        return self.id.rpartition("-")[2][:8]

    @property
    def model(self) -> str:
        base, suffix = str(self.asked["model"]), self.asked.get("suffix") or ""
        if self.service == "azure":
            return f"{base}.ft-{self.id.rpartition('-')[2]}{f'-{suffix}' if suffix else ''}"
        if self.service == "bedrock-openai":
            return f"{base}:ft-{self.code}"
        return f"ft:{base.split(':')[1] if base.startswith('ft:') else base}:{self.organization}:{suffix}:{self.code}"

    def payload(self, now: float) -> Row:
        state, end = self.status(now), self.ended(now)
        validated = self.progress(now) >= self.timing.validating and self.refused is None
        settings = dict(self.used if validated else self.given)
        for name in ("n_epochs", "batch_size", "learning_rate_multiplier"):
            settings.setdefault(name, "auto")
        method: Row = {"hyperparameters": settings}
        if self.method == "reinforcement":
            method["grader"] = self.asked["method"]["reinforcement"]["grader"]
        error: Row | None = None
        if state == "failed" and self.refused is not None:
            error = {"code": self.refused.code, "message": self.refused.message, "param": "training_file"}
        elif state == "failed":
            error = {"code": "server_error", "message": self.fails or "", "param": None}
        running = state == "running" and not self.never_ends
        return {
            "object": "fine_tuning.job",
            "id": self.id,
            "model": self.asked["model"],
            "created_at": self._unix(self.created),
            "finished_at": None if end is None else self._unix(end),
            "fine_tuned_model": self.model if state == "succeeded" else None,
            "organization_id": self.organization,
            "result_files": [self.result_file] if state == "succeeded" and self.result_file else [],
            "status": state,
            "validation_file": self.asked.get("validation_file"),
            "training_file": self.asked["training_file"],
            "hyperparameters": settings if self.method == "supervised" else {},
            "trained_tokens": self.trained_tokens if state == "succeeded" else None,
            "error": error,
            "user_provided_suffix": self.asked.get("suffix"),
            "seed": self.asked.get("seed") if self.asked.get("seed") is not None else 1183442017,
            "estimated_finish": self._unix(self.when(self._ends)) if running else None,
            "integrations": self.asked.get("integrations") or [],
            "metadata": self.asked.get("metadata"),
            "method": {"type": self.method, self.method: method},
        }

    @property
    def trained_tokens(self) -> int:
        return sum(len(str(row)) // 4 for row in self.rows) * int(self.used["n_epochs"])

    def events(self, now: float) -> list[Row]:
        """Newest first, as the service lists them."""
        done = self.progress(now)
        last = self._ends if not self.never_ends and self.fails is None else math.inf
        planned = [
            (self.when(item.at), index, item)
            for index, item in enumerate(self._happenings)
            if item.at <= done and (item.at <= last)
        ]
        told = [
            (at, 10_000_000 + index, Happening(0.0, message))
            for index, (at, message) in enumerate(self.extra)
            if at <= now
        ]
        found: list[Row] = []
        for at, index, item in sorted([*planned, *told], key=lambda entry: entry[:2]):
            event: Row = {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{self.code}{index:08d}",
                "created_at": self._unix(at),
                "level": item.level,
                "message": item.message,
                "type": "message" if item.data is None else "metrics",
            }
            event["data"] = {} if item.data is None else dict(item.data)
            found.append(event)
        return found[::-1]

    def checkpoints(self, now: float) -> list[Row]:
        """Newest first; those of the last epochs."""
        done = self.progress(now)
        found: list[Row] = []
        for step in range(self.per_epoch, self.steps + 1, self.per_epoch):
            at = self._begins + step * self.timing.step
            if at > done or self.refused is not None:
                break
            metrics = {name: value for name, value in self.measured(step).items() if name != "total_steps"}
            found.append(
                {
                    "object": "fine_tuning.job.checkpoint",
                    "id": f"ftckpt_{self.code}{step:08d}",
                    "created_at": self._unix(self.when(at)),
                    "fine_tuned_model_checkpoint": f"{self.model}:ckpt-step-{step}",
                    "fine_tuning_job_id": self.id,
                    "metrics": {**metrics, "step": step},
                    "step_number": step,
                }
            )
        return found[::-1][:_KEPT_CHECKPOINTS]

    def table(self) -> bytes:
        """The result file, as it is sent: base64 over CSV."""
        lines = ["step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"]
        for step in range(1, self.steps + 1):
            metrics = self.measured(step)
            cells = (
                metrics.get("train_loss", ""),
                metrics.get("train_mean_token_accuracy", ""),
                metrics.get("valid_loss", ""),
                metrics.get("valid_mean_token_accuracy", ""),
            )
            lines.append(",".join(map(str, (step, *cells))))
        return base64.b64encode(("\n".join(lines) + "\n").encode())

    def measured(self, step: int) -> Row:
        """A curve that falls, the same for the same job."""
        share = step / self.steps
        wobble = ((step * 2654435761 + int(self.asked.get("seed") or 0)) % 1000) / 1000 - 0.5
        loss = round(0.2 + 1.8 * math.exp(-3 * share) + 0.05 * wobble, 4)
        found: Row = {"step": step, "total_steps": self.steps}
        if self.method == "reinforcement":
            found["train_reward_mean"] = round(min(1.0, 0.2 + 0.7 * share + 0.05 * wobble), 4)
            return found
        found |= {"train_loss": loss, "train_mean_token_accuracy": round(max(0.0, 1 - loss / 3), 4)}
        if self.asked.get("validation_file"):
            valid = round(loss + 0.1, 4)
            if step % max(1, self.per_epoch // 4) == 0:
                found |= {"valid_loss": valid, "valid_mean_token_accuracy": round(max(0.0, 1 - valid / 3), 4)}
            if step % self.per_epoch == 0:
                full = round(valid + 0.02, 4)
                found |= {"full_valid_loss": full, "full_valid_mean_token_accuracy": round(max(0.0, 1 - full / 3), 4)}
        return found

    def _schedule(self) -> list[Happening]:
        files = f"training file: {self.asked['training_file']}"
        if self.asked.get("validation_file"):
            files += f" and validation file: {self.asked['validation_file']}"
        made = [Happening(0.0, f"Created fine-tuning job: {self.id}"), Happening(0.0, f"Validating {files}")]
        if self.refused is not None:
            return [*made, Happening(self.timing.validating, self.refused.message, "error")]
        made.append(Happening(self.timing.validating, "Files validated, moving job to queued state"))
        made.append(Happening(self._begins, "Fine-tuning job started"))
        stride = max(1, math.ceil(self.steps / _MOST_METRICS))
        half = self._begins + (self._ends - self._begins) / 2
        for step in range(1, self.steps + 1):
            at = self._begins + step * self.timing.step
            if self.fails is not None and at > half:
                break
            epoch_end = step % self.per_epoch == 0
            if step % stride == 0 or epoch_end:
                metrics = self.measured(step)
                shown = ", ".join(
                    f"{name.replace('train_', 'training ').replace('valid_', 'validation ')}={metrics[name]:.2f}"
                    for name in ("train_loss", "valid_loss", "train_reward_mean")
                    if name in metrics
                )
                made.append(Happening(at, f"Step {step}/{self.steps}: {shown}", data=metrics))
            if epoch_end and step < self.steps:
                made.append(Happening(at, f"Checkpoint created at step {step}"))
        if self.fails is not None:
            return [*made, Happening(half, self.fails, "error")]
        if self.never_ends:
            return made
        made.append(Happening(self._ends, "New fine-tuned model created"))
        return [*made, Happening(self._ends, "The job has successfully completed")]

    def _unix(self, seconds: float) -> int:
        return int(self.epoch + seconds)
