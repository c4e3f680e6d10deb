"""Every exception that tuneport raises on purpose, in one tree.

    TuneportError
    ├── SpecError (ValueError)                what was asked for is not valid: a field, its value, the rule, the fix
    ├── DatasetError (ValueError)             a dataset cannot be read or used; names file, row and path
    ├── PlanError (ValueError)                the plan found problems; `.problems` holds all of them
    │   └── BudgetExceededError               it would cost more than `budget_usd`
    ├── UnsupportedError (ValueError)         a backend has declared that it cannot do this, with its reason
    ├── NotInstalledError (ImportError)       an extra is missing; says which to install
    ├── ModelError (ValueError)               a model path or id that cannot be used
    ├── StoreError (RuntimeError)             the job database cannot be opened, read or written
    ├── BackendError (RuntimeError)           a backend failed; `.request_id` is the provider's own, if it gave one
    │   ├── DeviceBusyError                   the device is leased to another job
    │   ├── CredentialsError                  none were found, or the provider does not take them
    │   ├── AccessDeniedError                 they are taken, and may not do this
    │   │   └── TrainingClosedError           the provider takes no more fine-tuning jobs from this organisation
    │   ├── RemoteNotFoundError (LookupError) the provider has no such job, file, model or bucket
    │   ├── RejectedError (ValueError)        the provider refused what was sent
    │   ├── RateLimitedError                  too many requests, or a quota is used up; `.retry_after` seconds
    │   ├── UnavailableError (ConnectionError) it could not be reached, or failed on its side; asking again may help
    │   ├── SubmitUnknownError                the reply to a create was lost: the job may exist, and is looked for by its tag
    │   └── NotDeployedError                  the tuned model answers only after it is deployed
    ├── WaitTimeoutError (TimeoutError)       a wait ended before the job did; the job goes on
    └── JobError (RuntimeError)               about one job; `.job_id`, `.metrics` (those so far)
        ├── JobNotFoundError (LookupError)
        ├── JobNotFinishedError
        ├── JobFailedError
        ├── JobInterruptedError
        ├── JobCancelledError
        └── NameTakenError (ValueError)       `name` belongs to another job; `.job_id` is that job

Each also inherits from the standard exception that a caller would reach for, and each survives pickling, so that it can
cross a process pool. A message gives the value, the rule and the fix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self


class TuneportError(Exception):
    """Base of all. Attributes given as keywords survive pickling."""

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.message = message
        self._attributes = attributes
        for key, value in attributes.items():
            setattr(self, key, value)

    def reworded(self, message: str) -> Self:
        """The same error, attributes and all, with another message: a contender's name before it, say."""
        return type(self)(message, **self._attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self._attributes)


def _rebuild(cls: type[TuneportError], message: str, attributes: dict[str, Any]) -> TuneportError:
    return cls(message, **attributes)


class SpecError(TuneportError, ValueError):
    """A field of the job's specification is wrong. `.problems` is one sentence for each."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message, problems=list(problems) or [message])
        self.problems: list[str]


class DatasetError(TuneportError, ValueError):
    """A dataset cannot be read or used. `.row` is the 1-based row (the line, in JSONL) where one is to blame."""

    def __init__(self, message: str, *, source: str | None = None, row: int | None = None) -> None:
        super().__init__(message, source=source, row=row)
        self.source: str | None
        self.row: int | None


class PlanError(TuneportError, ValueError):
    """The plan found problems that stop the job. `.problems` holds every one of them."""

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message, problems=list(problems) or [message])
        self.problems: list[str]


class BudgetExceededError(PlanError):
    """The estimate is above `budget_usd`, or the price is unknown and a budget was set."""


class UnsupportedError(TuneportError, ValueError):
    """A backend has declared that it cannot do this. `.feature` and `.reason` are its own words."""

    def __init__(self, message: str, *, feature: str = "", reason: str = "") -> None:
        super().__init__(message, feature=feature, reason=reason)
        self.feature: str
        self.reason: str


class NotInstalledError(TuneportError, ImportError):
    """A package that this needs is not installed. `.extra` is the tuneport extra that brings it."""

    def __init__(self, message: str, *, extra: str | None = None) -> None:
        super().__init__(message, extra=extra)
        self.extra: str | None


class ModelError(TuneportError, ValueError):
    """A model path or id cannot be used: it is missing, is not a model, or has an unsafe or unknown format."""


class StoreError(TuneportError, RuntimeError):
    """The job database cannot be opened, read or written."""


class BackendError(TuneportError, RuntimeError):
    """A backend failed. `.request_id` is the provider's own, where it gave one."""

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.request_id: str | None


class DeviceBusyError(BackendError):
    """The device is leased to another job or to another process of tuneport."""


class CredentialsError(BackendError):
    """No credentials were found, or the provider does not take them. The message names the variable, never the value."""


class AccessDeniedError(BackendError):
    """The credentials are taken, and may not do this: a role, a policy, a region."""


class TrainingClosedError(AccessDeniedError):
    """The provider takes no more fine-tuning jobs from this organisation; the message says what to do instead."""


class RemoteNotFoundError(BackendError, LookupError):
    """The provider has no such job, file, model or bucket."""


class RejectedError(BackendError, ValueError):
    """The provider refused what was sent; the message has its own words."""


class RateLimitedError(BackendError):
    """Too many requests, or a quota is used up. `.retry_after`: seconds, where the provider said."""

    def __init__(self, message: str, *, request_id: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self._attributes["retry_after"] = retry_after
        self.retry_after = retry_after


class UnavailableError(BackendError, ConnectionError):
    """The provider could not be reached, or failed on its side. Asking again may help."""


class SubmitUnknownError(BackendError):
    """The reply to a create was lost. The job may exist: it is looked for by its tag, and never created again blindly."""


class NotDeployedError(BackendError):
    """The tuned model answers only after it is deployed, which costs: `tuneport deploy ID` says how much first."""


class WaitTimeoutError(TuneportError, TimeoutError):
    """The wait ended before the job did. The job goes on: wait again, or cancel it."""


class JobError(TuneportError, RuntimeError):
    """About one job. `.metrics` are the ones it had produced so far (possibly none)."""

    def __init__(
        self,
        message: str,
        *,
        job_id: str | None = None,
        metrics: Sequence[Mapping[str, Any]] = (),
        resumable: bool = False,
    ) -> None:
        super().__init__(message, job_id=job_id, metrics=list(metrics), resumable=resumable)
        self.job_id: str | None
        self.metrics: list[Mapping[str, Any]]
        self.resumable: bool


class JobNotFoundError(JobError, LookupError):
    """No job has this id or name."""


class JobNotFinishedError(JobError):
    """The job has no result yet."""


class JobFailedError(JobError):
    """The job ended without a result; the message gives the reason."""


class JobInterruptedError(JobError):
    """The machine or the process under the job went away; `resume` may go on from its last checkpoint."""


class JobCancelledError(JobError):
    """Somebody cancelled the job."""


class NameTakenError(JobError, ValueError):
    """`name` already belongs to the job in `.job_id`."""
