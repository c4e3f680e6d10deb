"""From the service's words to ours: states, events, checkpoints, metrics, and what the hyperparameters became."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tuneport.backend import Snapshot
from tuneport.result import Checkpoint, CurvePoint
from tuneport.status import Event, JobStatus
from tuneport_backends.payload import Payload, mapping, number, objects, strings, text, whole
from tuneport_backends.vertex_request import SIZES, TAG

STATES: Mapping[str, JobStatus] = {
    "JOB_STATE_QUEUED": JobStatus.QUEUED,
    "JOB_STATE_PENDING": JobStatus.QUEUED,
    "JOB_STATE_RUNNING": JobStatus.RUNNING,
    "JOB_STATE_SUCCEEDED": JobStatus.SUCCEEDED,
    "JOB_STATE_FAILED": JobStatus.FAILED,
    "JOB_STATE_CANCELLING": JobStatus.CANCELLING,
    "JOB_STATE_CANCELLED": JobStatus.CANCELLED,
    "JOB_STATE_PAUSED": JobStatus.PAUSED,
    "JOB_STATE_EXPIRED": JobStatus.FAILED,
    "JOB_STATE_UPDATING": JobStatus.RUNNING,
    "JOB_STATE_PARTIALLY_SUCCEEDED": JobStatus.SUCCEEDED,
    "JOB_STATE_UNSPECIFIED": JobStatus.UNKNOWN,  # the provider's own word for not saying
}
# What a running job is doing, which Vertex tells beside its state.
PHASES: Mapping[str, JobStatus] = {
    "TUNING_JOB_STATE_WAITING_FOR_QUOTA": JobStatus.QUEUED,
    "TUNING_JOB_STATE_PROCESSING_DATASET": JobStatus.VALIDATING,
    "TUNING_JOB_STATE_WAITING_FOR_CAPACITY": JobStatus.QUEUED,
    "TUNING_JOB_STATE_TUNING": JobStatus.RUNNING,
    "TUNING_JOB_STATE_POST_PROCESSING": JobStatus.RUNNING,
    "TUNING_JOB_STATE_UNSPECIFIED": JobStatus.RUNNING,
}
_SPECS = ("supervisedTuningSpec", "preferenceOptimizationSpec", "reinforcementTuningSpec", "distillationSpec")
_STATS = (
    "supervisedTuningDataStats",
    "preferenceOptimizationDataStats",
    "reinforcementTuningDataStats",
    "distillationDataStats",
)
_OURS = {
    "epochCount": "epochs",
    "learningRateMultiplier": "learning_rate_multiplier",
    "learningRate": "learning_rate",
    "batchSize": "batch_size",
    "beta": "beta",
    "samplesPerPrompt": "samples_per_prompt",
}
# In a metrics file, the names that are seen for each of ours.
_METRICS: Mapping[str, tuple[str, ...]] = {
    "loss": ("train_loss", "train_total_loss", "loss"),
    "validation_loss": ("eval_loss", "eval_total_loss", "validation_loss"),
    "token_accuracy": ("train_fraction_of_correct_next_step_preds", "train_accuracy"),
    "validation_token_accuracy": ("eval_fraction_of_correct_next_step_preds", "eval_accuracy"),
}


def moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def status(job: Mapping[str, Any]) -> tuple[JobStatus, str]:
    """Our state, and the service's own words."""
    raw, phase = job.get("state"), text(job, "tuningJobState")
    word = raw if isinstance(raw, str) else json.dumps(raw)
    ours = STATES.get(word, JobStatus.UNKNOWN)
    if ours is JobStatus.RUNNING and phase is not None:
        ours, word = PHASES.get(phase, JobStatus.RUNNING), f"{word}/{phase}"
    return ours, word


def reason(job: Mapping[str, Any]) -> str | None:
    error = mapping(job.get("error"))
    message, code = text(error, "message"), whole(error.get("code"))
    if message is None:
        return f"google.rpc code {code}" if code else None
    return f"{message} (google.rpc code {code})" if code else message


def outcome(job: Mapping[str, Any]) -> str | None:
    """By what the tuned model is asked for: its endpoint, or where an open model's weights are."""
    tuned = mapping(job.get("tunedModel"))
    return text(tuned, "endpoint") or text(tuned, "model") or text(job, "outputUri")


def snapshot(job: Mapping[str, Any], *, cancelling: bool = False) -> Snapshot:
    """`cancelling`: a cancel was accepted; until the service says how the job ended, that is how it stands."""
    ours, word = status(job)
    why = reason(job)
    if ours is JobStatus.SUCCEEDED and outcome(job) is None:
        ours, why = JobStatus.UNKNOWN, f"the provider calls it {word!r}, but names no tuned model yet"
    elif ours is JobStatus.UNKNOWN and why is None:
        why = f"the provider calls it {word!r}, a state that this version of tuneport does not know"
    elif word == "JOB_STATE_EXPIRED" and why is None:
        why = "it expired at the provider before it ended"
    if cancelling and not ours.terminal:
        ours = JobStatus.CANCELLING
    done = mapping(job.get("tuningJobMetadata"))
    detail: dict[str, Any] = {
        "steps": whole(done.get("completedStepCount")),
        "epochs": whole(done.get("completedEpochCount")),
        "model": outcome(job),
        "experiment": text(job, "experiment"),
    }
    return Snapshot(
        status=ours, raw=word, reason=why, detail={name: value for name, value in detail.items() if value is not None}
    )


def is_of(job: Mapping[str, Any], tag: str) -> bool:
    return mapping(job.get("labels")).get(TAG) == tag or job.get("tunedModelDisplayName") == tag


# Events: Vertex has none, so they are made of what a look at the job shows. The same look gives the same events, by key.


def events(job: Mapping[str, Any]) -> list[Event]:
    made: list[Event] = []
    now = moment(job.get("updateTime")) or moment(job.get("createTime")) or datetime.fromtimestamp(0, UTC)
    created, started = moment(job.get("createTime")), moment(job.get("startTime"))
    if created is not None:
        said = f"created as {text(job, 'name') or 'a job without a name'}"
        made.append(Event(seq=0, at=created, message=said, key="created"))
    if started is not None:
        made.append(Event(seq=0, at=started, message="the provider began to work on it", key="started"))
    if (stats := _stats(job)) is not None:
        made.append(_data(stats, now))
    phase = text(job, "tuningJobState")
    if phase is not None and STATES.get(str(job.get("state"))) is JobStatus.RUNNING:
        said = phase.removeprefix("TUNING_JOB_STATE_").replace("_", " ").lower()
        made.append(Event(seq=0, at=now, message=said, data={"raw": phase}, key=f"phase:{phase}"))
    done = mapping(job.get("tuningJobMetadata"))
    step, epoch = whole(done.get("completedStepCount")), whole(done.get("completedEpochCount"))
    if step or epoch:
        progress = {name: value for name, value in (("step", step), ("epoch", epoch)) if value}
        said = " and ".join(f"{value} {name}{'' if value == 1 else 's'}" for name, value in progress.items())
        made.append(
            Event(
                seq=0,
                at=now,
                type="metrics",
                message=f"completed {said}",
                data=progress,
                key=f"progress:{step}:{epoch}",
            )
        )
    for item in objects(mapping(job.get("tunedModel")).get("checkpoints")):
        found = checkpoint(item)
        if found is not None:
            data = {"step": found.step, "epoch": whole(item.get("epoch")), "path": found.path}
            identity = text(item, "checkpointId") or str(found.step)
            said = f"checkpoint {identity} at step {found.step}"
            made.append(Event(seq=0, at=now, type="checkpoint", message=said, data=data, key=f"checkpoint:{identity}"))
    if (why := reason(job)) is not None:
        made.append(Event(seq=0, at=now, level="error", message=why, key="error"))
    return made


def _stats(job: Mapping[str, Any]) -> Payload | None:
    stats = mapping(job.get("tuningDataStats"))
    return next((found for name in _STATS if (found := mapping(stats.get(name)))), None)


def dropped(job: Mapping[str, Any]) -> str | None:
    """How many rows the service left out, and why, where it did."""
    stats = _stats(job) or {}
    indices = stats.get("droppedExampleIndices") or stats.get("truncatedExampleIndices")
    named = [str(index) for index in indices] if isinstance(indices, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    count = whole(stats.get("totalTruncatedExampleCount")) or len(named)
    if not count:
        return None
    why = "; ".join(dict.fromkeys(strings(stats.get("droppedExampleReasons"))))
    rows = f" (rows {', '.join(named[:10])}{', …' if len(named) > 10 else ''})" if named else ""
    return f"the provider left out {count} of the rows{rows}{f': {why}' if why else ''}"


def _data(stats: Mapping[str, Any], at: datetime) -> Event:
    names = {
        "tuningDatasetExampleCount": "rows",
        "totalBillableTokenCount": "billable_tokens",
        "tuningStepCount": "steps",
        "totalTruncatedExampleCount": "dropped",
    }
    data = {ours: found for theirs, ours in names.items() if (found := whole(stats.get(theirs))) is not None}
    said = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in data.items())
    why = "; ".join(dict.fromkeys(strings(stats.get("droppedExampleReasons"))))
    return Event(
        seq=0,
        at=at,
        level="warning" if data.get("dropped") or why else "info",
        message=f"the data was read: {said or 'no counts were given'}{f' ({why})' if why else ''}",
        data=data,
        key="data",
    )


# What came of it


def checkpoint(item: Mapping[str, Any]) -> Checkpoint | None:
    """`path` holds the endpoint by which the checkpoint is asked, as a tuned model is."""
    step = whole(item.get("step"))
    return None if step is None else Checkpoint(step=step, path=text(item, "endpoint"))


def checkpoints(job: Mapping[str, Any]) -> list[Checkpoint]:
    found = [checkpoint(item) for item in objects(mapping(job.get("tunedModel")).get("checkpoints"))]
    return sorted((item for item in found if item is not None), key=lambda item: item.step)


def effective(job: Mapping[str, Any]) -> dict[str, Any]:
    """What each hyperparameter was, by our names, where the service says."""
    found: dict[str, Any] = {}
    for name in _SPECS:
        said = mapping(mapping(job.get(name)).get("hyperParameters"))
        for theirs, ours in _OURS.items():
            value = number(said.get(theirs))
            if value is not None:
                found[ours] = int(value) if value.is_integer() and ours != "learning_rate" else value
        size = {word: rank for rank, word in SIZES.items()}.get(str(said.get("adapterSize")))
        if size is not None:
            found["rank"] = size
    return found


def trained_tokens(job: Mapping[str, Any]) -> int | None:
    """The data set's billable tokens times the epochs, as tuning is billed; None where either is not said."""
    tokens = whole((_stats(job) or {}).get("totalBillableTokenCount"))
    epochs = effective(job).get("epochs") or whole(mapping(job.get("tuningJobMetadata")).get("completedEpochCount"))
    return None if tokens is None or not epochs else tokens * int(epochs)


def measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics by our names; what we have no name for stays under the service's."""
    found: dict[str, Any] = {}
    step = whole(row.get("step"))
    if step is not None:
        found["step"] = step
    used = {"step", "epoch"}
    for ours, theirs in _METRICS.items():
        used.update(theirs)
        value = next((value for name in theirs if (value := number(row.get(name))) is not None), None)
        if value is not None:
            found[ours] = value
    for name, value in row.items():
        if name not in used and not isinstance(value, str) and (plain := number(value)) is not None:
            found[name] = plain
    return found


def rows(texts: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of the metrics files that have a step: JSON by lines, or one array. ValueError where a file is neither."""
    found: list[dict[str, Any]] = []
    for content in texts:
        stripped = content.strip()
        read: list[Any] = (
            json.loads(stripped)
            if stripped.startswith("[")
            else [json.loads(line) for line in stripped.splitlines() if line.strip()]
        )
        found += [row for item in objects(read) if "step" in (row := measured(item))]
    return sorted(found, key=lambda row: int(row["step"]))


def curve(points: Iterable[Mapping[str, Any]], epochs: int | None) -> list[CurvePoint]:
    """One point a step; a later row adds to an earlier one of its step."""
    steps: dict[int, dict[str, Any]] = {}
    for row in points:
        steps.setdefault(int(row["step"]), {}).update(row)
    total = max(steps, default=0)
    return [
        CurvePoint(
            step=step,
            epoch=round(epochs * step / total, 4) if epochs and total else None,
            loss=values.get("loss"),
            validation_loss=values.get("validation_loss"),
            token_accuracy=values.get("token_accuracy"),
            validation_token_accuracy=values.get("validation_token_accuracy"),
        )
        for step, values in sorted(steps.items())
    ]


def final(points: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The last value of each metric, by the names that a local job has too."""
    found: dict[str, float] = {}
    for row in points:
        for name, value in row.items():
            if name == "step":
                continue
            ours = name if name.startswith("validation") or name not in _METRICS else f"train_{name}"
            found[ours] = float(value)
    return found
