"""What state a job is in, and what happened to it along the way."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class JobStatus(StrEnum):
    """The one set of states. Every provider's own states map into it; one that is not known maps to UNKNOWN."""

    PREPARING = "preparing"
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        """True where the job will not change again unless somebody resumes it."""
        return self in TERMINAL


TERMINAL: frozenset[JobStatus] = frozenset(
    {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED}
)


def utcnow() -> datetime:
    """Now, in UTC, to the millisecond (what JSON and both databases keep alike)."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Event(BaseModel):
    """One thing that happened to a job. `seq` rises by one within a job, so `after=seq` continues a stream exactly.

    `type` is "status" (data: status), "metrics" (data: step, epoch, loss, …), "checkpoint" (data: step, path) or
    "message". `attempt` counts from 1; a resumed job has several.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    seq: int
    at: datetime = Field(default_factory=utcnow)
    level: Literal["info", "warning", "error"] = "info"
    type: Literal["status", "metrics", "checkpoint", "message"] = "message"
    message: str = ""
    attempt: int = 1
    data: dict[str, Any] = Field(default_factory=dict)
    key: str | None = Field(
        default=None, description="the provider's own id of the event: seen again, it is the same one"
    )
