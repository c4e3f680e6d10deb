"""What a job that succeeded leaves behind: the curve from its events and result files, checkpoints, times, artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tuneport.errors import AccessDeniedError, RejectedError, RemoteNotFoundError
from tuneport.result import Artifact, Checkpoint, CurvePoint
from tuneport_backends import common
from tuneport_backends import openai_read as read
from tuneport_backends.openai_wire import Wire
from tuneport_backends.payload import Payload, number, strings

_STARTED = "fine-tuning job started"


@dataclass
class Results:
    raw: dict[str, Any]
    metrics: Mapping[str, float]
    curve: Sequence[CurvePoint]
    checkpoints: Sequence[Checkpoint]
    trained_tokens: int | None
    timeline: Mapping[str, datetime | None]
    artifacts: list[Artifact] = field(default_factory=list[Artifact])
    warnings: list[str] = field(default_factory=list[str])


def gather(wire: Wire, job: Payload, events: Sequence[Payload], directory: Path) -> Results:
    """A part that is gone or refused is a warning; a service that cannot be reached is an error, as it can be asked again."""
    warnings: list[str] = []
    name = str(job.get("id"))
    rows: list[dict[str, Any]] = []
    artifacts: list[Artifact] = []
    for file in strings(job.get("result_files")):
        try:
            table = read.decoded(wire.content(file))
            rows += read.results(table)
        except (RemoteNotFoundError, RejectedError, AccessDeniedError, ValueError) as error:
            warnings.append(f"the result file {file} is not in the curve: {error}")
            continue
        artifacts.append(common.kept(directory, _file_name(file), table))
    told = [read.event(item) for item in events]
    rows += [event.data for event in told if event.type == "metrics"]
    payloads: list[Payload] = []
    try:
        payloads = wire.checkpoints(name)
    except (RemoteNotFoundError, RejectedError, AccessDeniedError) as error:
        warnings.append(f"the checkpoints cannot be listed: {error}")
    checkpoints = [made for item in payloads if (made := read.checkpoint(item)) is not None]
    points = read.curve(rows, number(read.effective(job).get("epochs")))
    tokens = number(job.get("trained_tokens"))
    return Results(
        raw={"job": job, "checkpoints": payloads},
        metrics=read.final(points, rows),
        curve=points,
        checkpoints=sorted(checkpoints, key=lambda item: item.step),
        trained_tokens=int(tokens) if tokens is not None else None,
        timeline={
            "created": read.moment(job.get("created_at")),
            "started": next((event.at for event in told if event.message.lower().startswith(_STARTED)), None),
            "ended": read.moment(job.get("finished_at")),
        },
        artifacts=artifacts,
        warnings=warnings,
    )


def _file_name(file: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in file) + ".csv"
