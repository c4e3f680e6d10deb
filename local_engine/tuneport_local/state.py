"""How a job stands: what `state.json` says, corrected by what can be seen.

The supervisor holds `supervisor.lock` in the job's directory while it lives. That lock, and no pid, says whether somebody
looks after the job.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tuneport.errors import BackendError
from tuneport.status import Event, JobStatus
from tuneport_local.config import STATE, State
from tuneport_local.process import boot_id, is_locked

LOCK = "supervisor.lock"


def read_state(job: Path) -> State:
    """What is true now: `state.json`, corrected where it says that somebody looks after the job and nobody does.

    Never writes. Raises BackendError where the job was never started.
    """
    state = recorded(job)
    while state is not None and not state.status.terminal and not is_locked(job / LOCK):
        # The supervisor may have written its last word between our reading and our asking: only what stays is a fact.
        again = recorded(job)
        if again == state:
            return abandoned(state)
        state = again
    if state is None:
        raise BackendError(f"{job} has no {STATE}: the job was never started here")
    return state


def recorded(job: Path) -> State | None:
    try:
        return State.load(job / STATE)
    except FileNotFoundError:
        return None


def abandoned(state: State) -> State:
    """`state`, whose supervisor does not hold its lock, as it is in truth."""
    if state.boot_id == boot_id():
        reason = f"the supervisor (pid {state.supervisor_pid}) is gone, and nothing says why; it was {state.status}"
    elif state.host == socket.gethostname():
        restarted = datetime.fromtimestamp(psutil.boot_time(), UTC)
        reason = f"the machine restarted at {restarted:%Y-%m-%d %H:%M:%S} UTC; the job was {state.status}"
    else:
        return state.model_copy(update={"reason": f"as host {state.host!r} recorded it; only that host knows more"})
    return state.model_copy(update={"status": JobStatus.INTERRUPTED, "reason": reason, "resumable": True})


def status_event(state: State) -> Event:
    levels = {JobStatus.FAILED: "error", JobStatus.INTERRUPTED: "warning"}
    return Event.model_validate(
        {
            "seq": 0,
            "type": "status",
            "level": levels.get(state.status, "info"),
            "message": state.reason or "",
            "attempt": state.attempt,
            "data": {"status": state.status.value},
        }
    )
