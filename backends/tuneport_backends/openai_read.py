"""From the service's words to ours: states, events, metrics, the curve, and what the hyperparameters became."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from tuneport.backend import Snapshot
from tuneport.result import Checkpoint, CurvePoint
from tuneport.status import Event, JobStatus
from tuneport_backends.payload import Payload, mapping, number, objects, text

# Those of OpenAI's API, its documented pausing and paused, and the words of Azure's older versions.
STATES: Mapping[str, JobStatus] = {
    "validating_files": JobStatus.VALIDATING,
    "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING,
    "pausing": JobStatus.PAUSING,
    "paused": JobStatus.PAUSED,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "cancelling": JobStatus.CANCELLING,
    "created": JobStatus.QUEUED,
    "pending": JobStatus.QUEUED,
    "notRunning": JobStatus.QUEUED,
    "resuming": JobStatus.QUEUED,
    "canceled": JobStatus.CANCELLED,
    "canceling": JobStatus.CANCELLING,
}
_BEFORE_THE_END = frozenset(
    {JobStatus.VALIDATING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.PAUSED, JobStatus.UNKNOWN}
)
# The service's names, the better one for each of ours first: `full_valid_*` is over all validation rows, `valid_*` over few.
_METRICS: Mapping[str, tuple[str, ...]] = {
    "loss": ("train_loss",),
    "token_accuracy": ("train_mean_token_accuracy", "train_accuracy"),
    "validation_loss": ("full_valid_loss", "valid_loss"),
    "validation_token_accuracy": ("full_valid_mean_token_accuracy", "valid_mean_token_accuracy"),
}
_HYPERPARAMETERS = {"n_epochs": "epochs"}
_CHECKPOINT = re.compile(r"\bcheckpoint created at step (\d+)", re.IGNORECASE)
_LEVELS: Mapping[str, Literal["info", "warning", "error"]] = {"warn": "warning", "warning": "warning", "error": "error"}


def moment(value: Any) -> datetime | None:
    seconds = number(value)
    if not seconds:  # some replies write 0 for "not yet"
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def status(job: Mapping[str, Any]) -> tuple[JobStatus, str]:
    """Our state, and the service's own word."""
    raw = job.get("status")
    word = raw if isinstance(raw, str) else json.dumps(raw)
    return STATES.get(word, JobStatus.UNKNOWN), word


def reason(job: Mapping[str, Any]) -> str | None:
    error = mapping(job.get("error"))
    message, code, param = text(error, "message"), text(error, "code"), text(error, "param")
    known = ", ".join(part for part in (code, param) if part)
    if message is None:
        return known or None
    return f"{message} ({known})" if known else message


def snapshot(job: Mapping[str, Any], *, cancelling: bool = False) -> Snapshot:
    """`cancelling`: a cancel was accepted; until the service says how the job ended, that is how it stands."""
    ours, word = status(job)
    if cancelling and ours in _BEFORE_THE_END:
        ours = JobStatus.CANCELLING
    names = ("trained_tokens", "fine_tuned_model", "estimated_finish", "finished_at")
    why = reason(job)
    if ours is JobStatus.SUCCEEDED and not text(job, "fine_tuned_model"):
        ours, why = JobStatus.UNKNOWN, f"the provider calls it {word!r}, but names no tuned model yet"
    elif ours is JobStatus.UNKNOWN and why is None:
        why = f"the provider calls it {word!r}, a state that this version of tuneport does not know"
    return Snapshot(
        status=ours,
        raw=word,
        reason=why,
        detail={name: value for name in names if isinstance(value := job.get(name), (str, int, float)) and value},
    )


# Events


def event(payload: Mapping[str, Any]) -> Event:
    message = text(payload, "message") or ""
    data = mapping(payload.get("data"))
    kind: Literal["metrics", "checkpoint", "message"] = "message"
    ours: dict[str, Any] = dict(data)
    if payload.get("type") == "metrics" and data:
        kind, ours = "metrics", measured(data)
    elif found := _CHECKPOINT.search(message):
        kind, ours = "checkpoint", {**data, "step": int(found[1])}
    return Event(
        seq=0,
        at=moment(payload.get("created_at")) or datetime.fromtimestamp(0, UTC),
        level=_LEVELS.get(str(payload.get("level")), "info"),
        type=kind,
        message=message,
        data=ours,
        key=key(payload),
    )


def key(payload: Mapping[str, Any]) -> str:
    """The event's own id; else a digest of all that it says, which is the same when it is read again."""
    own = text(payload, "id")
    said = json.dumps(payload, sort_keys=True, default=str).encode()
    return own if own is not None else f"sha256:{hashlib.sha256(said).hexdigest()[:32]}"


def measured(data: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics by our names; what we have no name for (rewards, say) stays under the service's."""
    found: dict[str, Any] = {}
    step = number(data.get("step"))
    if step is not None:
        found["step"] = int(step)
    used = {"step"}
    for ours, theirs in _METRICS.items():
        used.update(theirs)
        value = next((value for name in theirs if (value := number(data.get(name))) is not None), None)
        if value is not None:
            found[ours] = value
    for name, value in data.items():
        if name not in used and (plain := number(value)) is not None:
            found[name] = value if isinstance(value, int) else plain
    return found


# The curve


def decoded(content: bytes) -> bytes:
    """A result file's CSV: the service sends it as base64, and used to send it plain. ValueError where it is neither."""
    body = content.strip().strip(b'"')
    if b"," in body[:200]:
        return body
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ValueError("it is neither CSV nor base64") from None


def results(table: bytes) -> list[dict[str, Any]]:
    """The rows of a result file's CSV, by our names; ValueError where it has no steps."""
    rows = csv.DictReader(io.StringIO(table.decode("utf-8", "replace").lstrip("\ufeff"), newline=""))
    try:
        if "step" not in (rows.fieldnames or []):
            raise ValueError("its header names no step")
        return [found for row in rows if "step" in (found := measured(row))]
    except csv.Error as error:
        raise ValueError(f"its table is damaged: {error}") from None


def curve(rows: Iterable[Mapping[str, Any]], epochs: float | None = None) -> list[CurvePoint]:
    """One point a step, from metrics by our names; a later row adds to an earlier one of its step."""
    steps: dict[int, dict[str, Any]] = {}
    total = 0
    for row in rows:
        step = row.get("step")
        if isinstance(step, int):
            steps.setdefault(step, {}).update(row)
            total = max(total, step, int(number(row.get("total_steps")) or 0))
    return [
        CurvePoint(
            step=step,
            epoch=round(epochs * step / total, 4) if epochs is not None and total else None,
            loss=values.get("loss"),
            token_accuracy=values.get("token_accuracy"),
            validation_loss=values.get("validation_loss"),
            validation_token_accuracy=values.get("validation_token_accuracy"),
        )
        for step, values in sorted(steps.items())
    ]


def final(points: Iterable[CurvePoint], rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The last value of each metric, by the names that a local job has too; and of those that only the service has."""
    found: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: int(row.get("step", 0))):
        found |= {
            name: value
            for name, value in row.items()
            if name not in {"step", "total_steps", *_METRICS} and isinstance(value, (int, float))
        }
    for point in points:
        for name in _METRICS:
            value = getattr(point, name)
            if value is not None:
                found[name if name.startswith("validation") else f"train_{name}"] = value
    return found


def checkpoint(payload: Mapping[str, Any]) -> Checkpoint | None:
    """`path` holds the name by which the checkpoint is asked, as a tuned model is."""
    metrics = mapping(payload.get("metrics"))
    step = number(payload.get("step_number"))
    if step is None:
        step = number(metrics.get("step"))
    if step is None:
        return None
    return Checkpoint(
        step=int(step),
        path=text(payload, "fine_tuned_model_checkpoint"),
        validation_loss=measured(metrics).get("validation_loss"),
    )


def effective(job: Mapping[str, Any]) -> dict[str, Any]:
    """What each hyperparameter was, by our names: what "auto" became, where the service says."""
    method = mapping(job.get("method"))
    inner = mapping(mapping(method.get(text(method, "type") or "")).get("hyperparameters"))
    found: dict[str, Any] = {}
    for source in (mapping(job.get("hyperparameters")), inner):
        for name, value in source.items():
            if value is None or value == "auto" or not isinstance(value, (int, float, str)):
                continue
            found[_HYPERPARAMETERS.get(name, name)] = value
    return found


def oldest_first(payloads: Iterable[Payload]) -> list[Payload]:
    """The service lists events newest first; those of one second keep that order, turned round."""
    turned = objects(list(payloads))[::-1]
    return sorted(turned, key=lambda item: number(item.get("created_at")) or 0.0)
