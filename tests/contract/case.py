"""What a backend brings to the suite: a stand-in for its provider. docs/adding-a-backend.md has a whole one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from tuneport.status import JobStatus


class Case(Protocol):
    """Made with an empty folder of its own: `Case(folder)`. Nothing of it is asked before `environment` is in place."""

    name: str
    model: str  # "<backend>:<model>"
    rows: Sequence[Mapping[str, Any]]
    fields: Mapping[str, Any]  # what `create` is given besides
    states: Sequence[JobStatus]  # those that a job is seen in, in order, when nobody disturbs it; the end is not named
    credentials: Sequence[str]  # removed, it must refuse before anything is sent, and name the first
    question: str
    answer: str | None  # what the tuned model must say; None: it need only answer

    def environment(self) -> Mapping[str, str]: ...

    def step(self) -> None:
        """Some of the provider's time passes."""
        ...

    def jobs(self, tag: str) -> int:
        """How many jobs of this tag were ever created, by the provider's own books."""
        ...

    def made(self) -> int:
        """How many jobs were ever created."""
        ...

    def fail(self, reason: str | None) -> Mapping[str, Any]:
        """From now on jobs fail for this reason (None: no more), or with what is returned among `create`'s fields."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Faulty(Protocol):
    """A case whose stand-in runs fault scripts and keeps a log of requests."""

    create: str  # the operation that creates a job, as faults name it
    looks: Sequence[str]  # the operations that tell how a job stands

    def fault(self, **fault: Any) -> None:
        """Add to the script."""
        ...

    def heal(self) -> None:
        """Forget the script."""
        ...

    def log(self) -> Sequence[str]:
        """The operation of every request so far."""
        ...

    def advance(self, seconds: float) -> None: ...
