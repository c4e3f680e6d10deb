"""How a trainer ended, said from facts: its exit status, what it wrote, and the kernel's count of out-of-memory kills."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tuneport.status import JobStatus
from tuneport_local.config import CHECKPOINTS, FAILURE, REPORT, TRAINER_LOG, Failure, RunReport
from tuneport_local.process import OomCount, signal_name

# Signals that a program brings on itself: the run crashed, nobody stopped it.
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
)
_TERMINATED = (
    128 + signal.SIGTERM
)  # the trainer's own exit code after a SIGTERM that it heard, as a shell would give it
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Ending:
    """The last state of an attempt. `signal` is a name, as "SIGKILL"; `exit_code` is None where a signal ended it."""

    status: JobStatus
    reason: str | None = None
    resumable: bool = False
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: bool = False


def judge(job: Path, code: int, before: OomCount | None, after: OomCount | None) -> Ending:
    """What `code` (as `Popen.returncode`: below zero for a signal) means for the job in `job`.

    Stopped from outside is `interrupted`; crashed, out of memory or given up is `failed`. A failure is
    resumable unless the trainer says that a second attempt would meet it again.
    """
    rose = _rise(before, after)
    if code < 0:
        name = signal_name(-code)
        # Only the kernel sends its OOM victims SIGKILL, but anybody can send it: without the count, no word of memory.
        out_of_memory = bool(rose) and -code == signal.SIGKILL
        crashed = out_of_memory or -code in _CRASHES
        return Ending(
            status=JobStatus.FAILED if crashed else JobStatus.INTERRUPTED,
            reason=f"the trainer was killed by {name} (signal {-code}){rose}",
            resumable=True,
            signal=name,
            out_of_memory=out_of_memory,
        )
    if code == 0:
        return _reported(job)
    if code == _TERMINATED:
        reason = "the trainer ended on a SIGTERM (signal 15) that its supervisor had not sent"
        return Ending(JobStatus.INTERRUPTED, reason, resumable=True, exit_code=code, signal="SIGTERM")
    failure = _failure(job)
    if failure is None:
        reason = f"the trainer exited with code {code} and gave no reason{rose}; {last_words(job / TRAINER_LOG)}"
        return Ending(JobStatus.FAILED, reason, resumable=True, exit_code=code)
    message = failure.message if failure.user_error else f"{failure.error}: {failure.message}{rose}"
    return Ending(
        JobStatus.FAILED,
        message,
        resumable=failure.resumable,
        exit_code=code,
        out_of_memory=failure.out_of_memory,
    )


def has_checkpoint(job: Path) -> bool:
    """Whether a whole checkpoint is there (one still being written has a leading dot)."""
    return any((job / CHECKPOINTS).glob("step-*"))


def last_words(log: Path) -> str:
    """The last line of a log that says something, as half a sentence."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), None)
    return f"{log} is empty" if last is None else f"the last line of {log} is: {last}"


def _reported(job: Path) -> Ending:
    try:
        RunReport.load(job / REPORT)
    except FileNotFoundError:
        reason = f"the trainer ended without a report; {last_words(job / TRAINER_LOG)}"
    except (OSError, ValidationError) as error:
        reason = f"the trainer's report cannot be read: {error}"
    else:
        return Ending(JobStatus.SUCCEEDED, exit_code=0)
    return Ending(JobStatus.FAILED, reason, resumable=True, exit_code=0)


def _failure(job: Path) -> Failure | None:
    try:
        return Failure.load(job / FAILURE)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        return Failure(error="UnreadableFailure", message=f"{job / FAILURE} cannot be read: {error}")


def _rise(before: OomCount | None, after: OomCount | None) -> str:
    if before is None or after is None or before.source != after.source or after.kills <= before.kills:
        return ""
    return f"; the kernel's out-of-memory counter rose from {before.kills} to {after.kills} ({after.source})"
