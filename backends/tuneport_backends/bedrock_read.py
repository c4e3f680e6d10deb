"""From Bedrock's words to ours: states, times, the step-wise tables, the curve, and what the hyperparameters became."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tuneport import catalog
from tuneport.backend import Snapshot
from tuneport.result import CurvePoint
from tuneport.status import Event, JobStatus
from tuneport_backends.payload import mapping, number, text

STATES: Mapping[str, JobStatus] = {
    "InProgress": JobStatus.RUNNING,
    "Completed": JobStatus.SUCCEEDED,
    "Failed": JobStatus.FAILED,
    "Stopping": JobStatus.CANCELLING,
    "Stopped": JobStatus.CANCELLED,
}
# The stages of a job in progress, the last first, and what a job is in whose stage has begun.
STAGES: Mapping[str, JobStatus] = {
    "trainingDetails": JobStatus.RUNNING,
    "dataProcessingDetails": JobStatus.PREPARING,
    "validationDetails": JobStatus.VALIDATING,
}
TRAINING = "training_artifacts/step_wise_training_metrics.csv"
VALIDATION = "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"
_COLUMNS = {"training_loss": "loss", "validation_loss": "validation_loss"}


def status(job: Mapping[str, Any]) -> tuple[JobStatus, str]:
    """Ours, and the service's own word. A job in progress is in the last stage that has begun; older models tell none."""
    word = text(job, "status") or ""
    ours = STATES.get(word, JobStatus.UNKNOWN)
    stages = stages_of(job)
    if ours is not JobStatus.RUNNING or not stages:
        return ours, word
    for stage, means in STAGES.items():
        if stages.get(stage, "NotStarted") != "NotStarted":
            return means, word
    return JobStatus.QUEUED, word


def stages_of(job: Mapping[str, Any]) -> dict[str, str]:
    details = mapping(job.get("statusDetails"))
    return {stage: said for stage in STAGES if (said := text(mapping(details.get(stage)), "status")) is not None}


def snapshot(job: Mapping[str, Any]) -> Snapshot:
    ours, word = status(job)
    stages = stages_of(job)
    reason = text(job, "failureMessage")
    if reason is None and ours is JobStatus.FAILED:
        failed = [stage.removesuffix("Details") for stage, said in stages.items() if said == "Failed"]
        reason = f"failed in {failed[0]}; the service gives no reason" if failed else "the service gives no reason"
    return Snapshot(ours, raw=word, reason=reason, detail=stages)


def moment(value: Any) -> datetime | None:
    """ISO 8601, or seconds since 1970."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    seconds = number(value)
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def timeline(job: Mapping[str, Any]) -> dict[str, datetime | None]:
    details = mapping(job.get("statusDetails"))
    return {
        "created": moment(job.get("creationTime")),
        "started": moment(mapping(details.get("trainingDetails")).get("creationTime")),
        "ended": moment(job.get("endTime")),
    }


def table(raw: bytes) -> list[dict[str, float]]:
    """The numbers of a CSV, by our names: step, epoch, loss, validation_loss. What is no number is left out."""
    rows: list[dict[str, float]] = []
    for line in csv.DictReader(io.StringIO(raw.decode("utf-8", errors="replace"), newline="")):
        row: dict[str, float] = {}
        for name, value in line.items():
            ours = {"step_number": "step", "epoch_number": "epoch", **_COLUMNS}.get(str(name).strip().lower())
            if ours is not None and (found := number(value)) is not None:
                row[ours] = found
        if "step" in row:
            rows.append(row)
    return rows


def metric_events(rows: Iterable[Mapping[str, float]], kind: str) -> list[Event]:
    """One for each step, keyed by it, so that a table that has grown adds only what is new."""
    events: list[Event] = []
    for row in rows:
        step = int(row["step"])
        data = {**row, "step": step}
        said = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in {"step", "epoch"})
        message = f"step {step}: {said}" if said else f"step {step}"
        events.append(Event(seq=0, type="metrics", message=message, data=data, key=f"{kind}:{step}"))
    return events


def curve(training: Iterable[Mapping[str, float]], validation: Iterable[Mapping[str, float]]) -> list[CurvePoint]:
    points: dict[int, dict[str, float]] = {}
    for row in [*training, *validation]:
        points.setdefault(int(row["step"]), {}).update(row)
    return [
        CurvePoint(
            step=step,
            epoch=point.get("epoch"),
            loss=point.get("loss"),
            validation_loss=point.get("validation_loss"),
        )
        for step, point in sorted(points.items())
    ]


def metrics(job: Mapping[str, Any], points: Iterable[CurvePoint]) -> dict[str, float]:
    """The service's own final numbers, else the last ones of the curve."""
    found: dict[str, float] = {}
    for point in points:
        if point.loss is not None:
            found["train_loss"] = point.loss
        if point.validation_loss is not None:
            found["validation_loss"] = point.validation_loss
    if (loss := number(mapping(job.get("trainingMetrics")).get("trainingLoss"))) is not None:
        found["train_loss"] = loss
    listed = job.get("validationMetrics")
    for item in listed if isinstance(listed, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if (loss := number(mapping(item).get("validationLoss"))) is not None:
            found["validation_loss"] = loss
            break
    return found


def effective(job: Mapping[str, Any], model: str, objective: str) -> dict[str, Any]:
    """What each hyperparameter was, by our names. Bedrock writes them all as text."""
    entry = catalog.find(model)
    known = entry.knobs_for(objective) if entry is not None and objective in entry.objectives else {}
    ours = {knob.name: (name.rpartition(".")[2], knob) for name, knob in known.items()}
    config = mapping(mapping(job.get("customizationConfig")).get("rftConfig"))
    said = {**mapping(job.get("hyperParameters")), **mapping(config.get("hyperParameters"))}
    found: dict[str, Any] = {}
    for name, value in said.items():
        amount = number(value)
        if amount is None:
            continue
        mine, knob = ours.get(name, (name, None))
        found[mine] = int(amount) if (knob is None or knob.kind == "int") and amount.is_integer() else amount
    return found
