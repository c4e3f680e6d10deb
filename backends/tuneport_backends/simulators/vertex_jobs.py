"""One tuning job of the simulated Vertex AI: a function of the simulator's clock, from pending to its end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tuneport_backends.simulators.vertex_requests import Row, inner
from tuneport_backends.simulators.vertex_rows import Kind, Read

SPECS: Mapping[str, Kind] = {
    "supervisedTuningSpec": "supervised",
    "preferenceOptimizationSpec": "preference",
    "reinforcementTuningSpec": "reinforcement",
}
_STATS = {
    "supervised": "supervisedTuningDataStats",
    "open": "supervisedTuningDataStats",
    "preference": "preferenceOptimizationDataStats",
    "reinforcement": "reinforcementTuningDataStats",
}
_BATCH = 8  # rows in a step of Gemini's
ENDED = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"})


@dataclass(frozen=True)
class Timing:
    """Seconds of the simulator's clock."""

    pending: float = 10.0
    quota: float = 5.0
    processing: float = 20.0
    capacity: float = 5.0
    step: float = 1.0
    post_processing: float = 15.0
    cancelling: float = 0.0  # how long a cancelled job goes on before it says so
    deploying: float = 600.0  # of an open model


@dataclass
class Job:
    """`asked`: the body that created it, in camelCase. `read`: what it learns from; `refused`: why its data is not taken."""

    name: str
    asked: Row
    created: float
    start: datetime  # what second 0 of the clock is
    timing: Timing
    kind: Kind
    base: str
    read: Read | None = None
    refused: str | None = None
    fails: str | None = None
    never_ends: bool = False
    cancelled: float | None = None

    def __post_init__(self) -> None:
        self.spec = next(name for name in SPECS if name in self.asked)
        given = inner(inner(self.asked[self.spec]).get("hyperParameters"))
        rows = max(1, len(self.read.rows) if self.read else 1)
        self.epochs = int(given.get("epochCount") or 3)
        self.per_epoch = math.ceil(rows / int(given.get("batchSize") or _BATCH))
        self.steps = self.per_epoch * self.epochs
        self.used: Row = {
            **given,
            "epochCount": self.epochs,
            "adapterSize": given.get("adapterSize", "ADAPTER_SIZE_FOUR"),
        }
        if self.kind != "open" and "learningRateMultiplier" not in given:
            self.used["learningRateMultiplier"] = 1.0
        timing = self.timing
        self._validates = timing.pending + timing.quota
        self._validated = self._validates + timing.processing
        self._begins = self._validated + timing.capacity
        self._tuned = self._begins + self.steps * timing.step
        self._ends = self._tuned + timing.post_processing

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def parent(self) -> str:
        return self.name.partition("/tuningJobs/")[0]

    @property
    def model(self) -> str:
        return f"{self.parent}/models/{self.id}"

    @property
    def metrics_uri(self) -> str:
        uri = str(inner(self.asked[self.spec])["trainingDatasetUri"])
        return f"{uri.rpartition('/')[0]}/metrics/"

    def endpoint(self, checkpoint: int) -> str:
        """Each checkpoint, one an epoch, is deployed to an endpoint of its own; the last is the tuned model's."""
        return f"{self.parent}/endpoints/{self.id[:-2]}{checkpoint:02d}"

    def state(self, now: float) -> tuple[str, str | None]:
        """The job's state, and what it is doing while it runs."""
        done = now - self.created
        stopped = None if self.cancelled is None else self.cancelled - self.created
        if stopped is not None and done >= stopped and stopped < self._ends:
            return "JOB_STATE_CANCELLED" if done >= stopped + self.timing.cancelling else "JOB_STATE_CANCELLING", None
        if self.refused is not None and done >= self._validated:
            return "JOB_STATE_FAILED", None
        if self.fails is not None and done >= (self._begins + self._tuned) / 2:
            return "JOB_STATE_FAILED", None
        if done >= self._ends and not self.never_ends:
            return "JOB_STATE_SUCCEEDED", None
        if done < self.timing.pending:
            return "JOB_STATE_PENDING", None
        phases = [
            (self._validates, "WAITING_FOR_QUOTA"),
            (self._validated, "PROCESSING_DATASET"),
            (self._begins, "WAITING_FOR_CAPACITY"),
            (math.inf if self.never_ends else self._tuned, "TUNING"),
        ]
        phase = next((name for until, name in phases if done < until), "POST_PROCESSING")
        return "JOB_STATE_RUNNING", f"TUNING_JOB_STATE_{phase}"

    def completed(self, now: float) -> int:
        """Steps."""
        until = now if self.cancelled is None else min(now, self.cancelled)
        if self.refused is not None:
            return 0
        done = (until - self.created - self._begins) / self.timing.step if self.timing.step else math.inf
        if self.timing.step == 0 and until - self.created < self._begins:
            return 0
        half = self.steps // 2 if self.fails is not None else self.steps
        return int(max(0, min(done, half)))

    def ended(self, now: float) -> float | None:
        """The clock's second at which it ended; None while it has not."""
        state, _ = self.state(now)
        if state == "JOB_STATE_CANCELLED" and self.cancelled is not None:
            return self.cancelled + self.timing.cancelling
        if state == "JOB_STATE_FAILED":
            return self.created + (self._validated if self.refused is not None else (self._begins + self._tuned) / 2)
        return self.created + self._ends if state == "JOB_STATE_SUCCEEDED" else None

    def payload(self, now: float) -> Row:
        """As the service shows it. 64-bit integers are texts in Google's JSON."""
        state, phase = self.state(now)
        end = self.ended(now)
        made: Row = {
            "name": self.name,
            "state": state,
            "createTime": self._time(self.created),
            "updateTime": self._time(now if end is None else end),
            **{key: value for key, value in self.asked.items() if key != self.spec},
            self.spec: {**inner(self.asked[self.spec]), "hyperParameters": _texts(self.used)},
        }
        if "preTunedModel" in made:
            made["preTunedModel"] = {**made["preTunedModel"], "baseModel": self.base}
        if phase is not None:
            made["tuningJobState"] = phase
        if now - self.created >= self.timing.pending and state != "JOB_STATE_PENDING":
            made["startTime"] = self._time(self.created + self.timing.pending)
        if end is not None:
            made["endTime"] = self._time(end)
        steps = self.completed(now)
        if steps:
            made["tuningJobMetadata"] = _texts(
                {"completedStepCount": steps, "completedEpochCount": steps // self.per_epoch}
            )
        if self.read is not None and self.refused is None and now - self.created >= self._validated:
            made["tuningDataStats"] = {_STATS[self.kind]: self._stats(self.read)}
        checkpoints = self._checkpoints(steps)
        if state == "JOB_STATE_SUCCEEDED":
            made["tunedModel"] = self._tuned_model(checkpoints)
            made["gcsMetricsUri"] = self.metrics_uri
            made["experiment"] = f"{self.parent}/metadataStores/default/contexts/tuning-experiment-{self.id}"
        elif checkpoints and self.kind != "open":
            made["tunedModel"] = {"checkpoints": checkpoints}
        if state == "JOB_STATE_FAILED":
            made["error"] = {"code": 3 if self.refused else 13, "message": self.refused or self.fails}
        elif state == "JOB_STATE_CANCELLED":
            made["error"] = {"code": 1, "message": "The tuning job was cancelled."}
        return made

    def _tuned_model(self, checkpoints: list[Row]) -> Row:
        named: Row = {"model": f"{self.model}@1"}
        if self.kind != "open":  # an open model's weights are in a bucket, and nothing answers yet
            named |= {"endpoint": self.endpoint(self.epochs), "checkpoints": checkpoints}
        return named

    def _checkpoints(self, steps: int) -> list[Row]:
        if inner(self.asked[self.spec]).get("exportLastCheckpointOnly"):
            return []
        return [
            {"checkpointId": str(n), "epoch": str(n), "step": str(n * self.per_epoch), "endpoint": self.endpoint(n)}
            for n in range(1, steps // self.per_epoch + 1)
        ]

    def _stats(self, read: Read) -> Row:
        made: Row = _texts(
            {
                "tuningDatasetExampleCount": len(read.rows) + len(read.dropped),
                "totalBillableTokenCount": read.tokens,
                "tuningStepCount": self.steps,
            }
        )
        if read.dropped:
            named = {"supervised": "truncatedExampleIndices"}.get(self.kind, "droppedExampleIndices")
            made[named] = [str(number) for number in read.dropped]
            made["droppedExampleReasons"] = list(read.dropped.values())
            if self.kind == "supervised":
                made["totalTruncatedExampleCount"] = str(len(read.dropped))
        return made

    def metrics(self) -> bytes:
        """A curve that falls, the same for the same job, as lines of JSON."""
        lines: list[str] = []
        validated = "validationDatasetUri" in inner(self.asked[self.spec])
        for step in range(1, self.steps + 1):
            loss = round(0.2 + 1.8 * math.exp(-3 * step / self.steps), 4)
            row: Row = {"step": step, "train_total_loss": loss}
            if self.kind == "reinforcement":
                row = {"step": step, "reward_mean": round(min(1.0, 0.2 + 0.7 * step / self.steps), 4)}
            elif validated and step % self.per_epoch == 0:
                row["eval_total_loss"] = round(loss + 0.1, 4)
            lines.append(json.dumps(row))
        return ("\n".join(lines) + "\n").encode()

    def _time(self, seconds: float) -> str:
        return (self.start + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def _texts(values: Mapping[str, Any]) -> Row:
    return {
        name: str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in values.items()
    }
