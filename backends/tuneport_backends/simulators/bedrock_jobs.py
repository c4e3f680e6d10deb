"""One customization job of the simulated Bedrock: a function of the simulator's clock, and the artifacts that it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from tuneport_backends.simulators.bedrock_rows import Taught
from tuneport_backends.simulators.bedrock_wire import Row, inner

_MOST_STEPS = 2000  # rows of a CSV; more steps are thinned
_STAGES = ("validationDetails", "dataProcessingDetails", "trainingDetails")


@dataclass(frozen=True)
class Timing:
    """Seconds of the simulator's clock. `metrics`: while training, how often the step-wise CSV is written; 0: at the end."""

    validation: float = 30.0
    processing: float = 30.0
    training: float = 300.0
    stopping: float = 20.0
    deploying: float = 60.0
    importing: float = 60.0
    metrics: float = 0.0


@dataclass
class Job:
    """`asked`: the request that created it. `refused`: why its rows are not taken. `learnt`: what they teach."""

    id: str  # the last 12 characters of its ARN
    arn: str
    model_arn: str
    base_arn: str
    asked: Row
    created: float
    moment: Callable[[float], datetime]
    timing: Timing
    region: str
    learnt: dict[str, Taught] = field(default_factory=dict[str, Taught])
    rows: int = 0
    refused: str | None = None
    fails: str | None = None
    never_ends: bool = False
    stopped: float | None = None
    written: int = 0  # steps in the CSV
    finished: bool = False  # its model and artifacts are there

    @property
    def hyperparameters(self) -> dict[str, str]:
        return dict(inner(self.asked, "hyperParameters"))

    @property
    def steps(self) -> int:
        epochs, batch = float(self.hyperparameters.get("epochCount", 2)), int(self.hyperparameters.get("batchSize", 8))
        return min(_MOST_STEPS, max(1, math.ceil(self.rows / batch) * math.ceil(epochs)))

    def _ends(self) -> list[float]:
        first = self.created + self.timing.validation
        second = first + self.timing.processing
        return [first, second, second + self.timing.training]

    def status(self, now: float) -> str:
        if self.stopped is not None:
            return "Stopping" if now < self.stopped + self.timing.stopping else "Stopped"
        ends = self._ends()
        if self.refused is not None and now >= ends[0]:
            return "Failed"
        if self.fails is not None and now >= (ends[1] + ends[2]) / 2:
            return "Failed"
        return "Completed" if now >= ends[2] and not self.never_ends else "InProgress"

    def done(self, now: float) -> int:
        """Steps of training that are over."""
        begin, end = self._ends()[1:]
        until = min(now, self.stopped) if self.stopped is not None else now
        share = 1.0 if end <= begin else (until - begin) / (end - begin)
        return max(0, min(self.steps, math.floor(self.steps * share + 1e-9)))

    def _stages(self, now: float) -> Row:
        status = self.status(now)
        until = now if self.stopped is None else min(now, self.stopped)
        details: Row = {}
        begins = self.created
        for number, (name, ends) in enumerate(zip(_STAGES, self._ends(), strict=True)):
            if until < begins or (self.refused is not None and number > 0):
                details[name] = {"status": "NotStarted"}
            else:
                over = until >= ends and not (self.never_ends and number == 2)
                details[name] = {
                    "status": "Completed" if over else "InProgress",
                    "creationTime": self._time(begins),
                    "lastModifiedTime": self._time(min(until, ends)),
                }
                failed = status == "Failed" and (number == 0 if self.refused is not None else number == 2)
                if failed or (not over and status in {"Stopping", "Stopped"}):
                    details[name]["status"] = status
            begins = ends
        return details

    def ended(self, now: float) -> float | None:
        status = self.status(now)
        if status == "Stopped" and self.stopped is not None:
            return self.stopped + self.timing.stopping
        ends = self._ends()
        if status == "Failed":
            return ends[0] if self.refused is not None else (ends[1] + ends[2]) / 2
        return ends[2] if status == "Completed" else None

    def summary(self, now: float) -> Row:
        ended = self.ended(now)
        found: Row = {
            "jobArn": self.arn,
            "baseModelArn": self.base_arn,
            "jobName": self.asked["jobName"],
            "status": self.status(now),
            "statusDetails": self._stages(now),
            "creationTime": self._time(self.created),
            "lastModifiedTime": self._time(now if ended is None else ended),
            "customModelName": self.asked["customModelName"],
            "customizationType": self.asked.get("customizationType", "FINE_TUNING"),
        }
        if ended is not None:
            found["endTime"] = self._time(ended)
        if found["status"] == "Completed":
            found["customModelArn"] = self.model_arn
        return found

    def payload(self, now: float) -> Row:
        found = self.summary(now)
        found["outputModelName"] = found.pop("customModelName")
        kept = (
            *("roleArn", "clientRequestToken", "trainingDataConfig", "outputDataConfig"),
            "customizationConfig",
            "vpcConfig",
        )
        found |= {name: self.asked[name] for name in kept if name in self.asked}
        found["hyperParameters"] = self.hyperparameters
        found["validationDataConfig"] = self.asked.get("validationDataConfig") or {"validators": []}
        if (model := found.pop("customModelArn", None)) is not None:
            found["outputModelArn"] = model
            found["trainingMetrics"] = {"trainingLoss": round(self.loss(self.steps), 6)}
            count = len(cast("list[Any]", inner(found, "validationDataConfig")["validators"]))
            found["validationMetrics"] = [{"validationLoss": round(self.loss(self.steps) + 0.05, 6)}] * count
        if found["status"] == "Failed":
            found["failureMessage"] = self.refused or self.fails or ""
        return found

    def loss(self, step: int) -> float:
        return 0.2 + 1.8 * math.exp(-3.0 * step / self.steps)

    def training_csv(self, steps: int) -> str:
        lines = ["step_number,epoch_number,training_loss,perplexity"]
        for step in range(1, steps + 1):
            loss = self.loss(step)
            lines.append(f"{step},{self._epoch(step)},{loss:.6f},{math.exp(loss):.6f}")
        return "\n".join(lines) + "\n"

    def validation_csv(self) -> str:
        lines = ["step_number,epoch_number,validation_loss,validation_perplexity"]
        last = self._epoch(self.steps)
        for epoch in range(last + 1):
            step = math.ceil(self.steps * (epoch + 1) / (last + 1))
            loss = self.loss(step) + 0.05
            lines.append(f"{step},{epoch},{loss:.6f},{math.exp(loss):.6f}")
        return "\n".join(lines) + "\n"

    def _epoch(self, step: int) -> int:
        epochs = math.ceil(float(self.hyperparameters.get("epochCount", 2)))
        return min(epochs - 1, (step - 1) * epochs // self.steps)

    def _time(self, seconds: float) -> str:
        return stamp(self.moment(seconds))


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
