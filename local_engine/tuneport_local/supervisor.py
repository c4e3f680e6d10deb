"""The process over one attempt of a job: it waits for the devices, starts the trainer, reaps it, and records how it ended.

It loads no torch, so that a job that waits costs little memory, and it is in a session of its own, so that a terminal that
hangs up does not reach it. An application calls `start`, `read_state` and `cancel`; `main` is the process itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tuneport.errors import BackendError
from tuneport.status import JobStatus, utcnow
from tuneport_local import process
from tuneport_local.attempt import Attempt, Refused, log
from tuneport_local.config import CANCEL, CONFIG, STATE, SUPERVISOR_LOG, State, append_event, write_atomic
from tuneport_local.ending import has_checkpoint, last_words
from tuneport_local.state import LOCK, abandoned, read_state, recorded, status_event

__all__ = ["cancel", "main", "read_state", "start"]

TRAINER = (sys.executable, "-P", "-m", "tuneport_local.run")

_START_SECONDS = 30.0
_LOCK_PATIENCE = 2.0  # the lock is also held for an instant by whoever asks whether it is held
_STARTED = b"started"


def start(job: Path, home: Path, *, attempt: int = 1, trainer: Sequence[str] | None = None) -> None:
    """Start a supervisor for `attempt` of the job in directory `job`; return once it waits in the queue of `home`.

    It goes on without us. `trainer` replaces the beginning of the trainer's command, to which the job's directory,
    `--attempt` and `--parent-fd` are added. Raises BackendError, with the reason, where it does not come up, and where a
    supervisor already has the job or the attempt has been before.
    """
    job, home = job.resolve(), home.resolve()
    if not (job / CONFIG).exists():
        raise BackendError(f"{job} has no {CONFIG}: write the job's directory before starting it")
    deadline = time.monotonic() + _LOCK_PATIENCE
    while process.is_locked(job / LOCK):
        state = recorded(job)  # one that has written its last word is about to go
        if state is None or not state.status.terminal or time.monotonic() >= deadline:
            raise BackendError(_taken(job))
        time.sleep(0.02)
    if attempt > 1:
        (job / CANCEL).unlink(missing_ok=True)  # it was meant for the attempt before
    ours, theirs = os.pipe()
    try:
        try:
            leader = _spawn(job, home, attempt, trainer or TRAINER, theirs)
        finally:
            os.close(theirs)
        answer = _read_all(ours, _START_SECONDS)
    finally:
        os.close(ours)
    if answer == _STARTED:
        return
    if answer is None:
        with suppress(ProcessLookupError, PermissionError):  # it may have ended in this moment
            os.killpg(leader, signal.SIGKILL)
        said = last_words(job / SUPERVISOR_LOG)
        raise BackendError(f"the supervisor of {job} did not come up within {_START_SECONDS:g} s and was ended; {said}")
    said = answer.decode(errors="replace") or f"it ended without a word; {last_words(job / SUPERVISOR_LOG)}"
    raise BackendError(f"the supervisor of {job} did not start: {said}")


def cancel(job: Path) -> None:
    """Ask for the job's end: its supervisor sees the request within a fraction of a second and returns to nobody.

    Follow it with `read_state`. A job that has ended stays as it is; one that nobody looks after any more becomes
    cancelled here, and one that was never started is cancelled as soon as somebody starts it.
    """
    state = recorded(job)
    if state is not None and not _can_cancel(state):
        return
    write_atomic(job / CANCEL, b"")
    handle = process.try_lock(job / LOCK, patience=0.1)
    if handle is None:
        return
    try:
        state = recorded(job)
        if state is None or not _can_cancel(state):
            return
        if not state.status.terminal:
            state = abandoned(state)
        if not state.status.terminal:
            raise BackendError(
                f"{job} belongs to host {state.host!r}, and this is {socket.gethostname()!r}: cancel there"
            )
        process.kill_all(job.resolve())
        state = state.model_copy(
            update={
                "status": JobStatus.CANCELLED,
                "ended_at": utcnow(),
                "reason": f"cancelled after it was interrupted: {state.reason}",
                "resumable": has_checkpoint(job),
            }
        )
        state.save(job / STATE)
        append_event(job, status_event(state))
    finally:
        os.close(handle)


def _can_cancel(state: State) -> bool:
    return state.status is JobStatus.INTERRUPTED or not state.status.terminal


def _spawn(job: Path, home: Path, attempt: int, trainer: Sequence[str], ready: int) -> int:
    options = ["--home", str(home), "--attempt", str(attempt), "--ready-fd", str(ready)]
    environment = {key: value for key, value in os.environ.items() if key != process.RUN_MARK}
    with (job / SUPERVISOR_LOG).open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "tuneport_local.supervisor", str(job), *options, "--", *trainer],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=job,
            env=environment,
            pass_fds=[ready],
            start_new_session=True,
        )
    child.wait()  # it forks at once and the child goes on, as nobody's child but init's: we owe it no reaping
    return child.pid


def _read_all(handle: int, seconds: float) -> bytes | None:
    """Everything up to end-of-file, or None where that does not come within `seconds`."""
    deadline, data = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(handle, 65536)
            if not piece:
                return data
            data += piece
    return None


def _taken(job: Path) -> str:
    state = recorded(job)
    holder = "" if state is None else f" (attempt {state.attempt}, pid {state.supervisor_pid}, {state.status})"
    return f"another supervisor has {job}{holder}: follow that one, or cancel it first"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tuneport_local.supervisor JOB --home HOME --attempt N --ready-fd FD -- TRAINER...`"""
    if os.fork():
        os._exit(0)  # whoever started us need not wait for us; nothing has been buffered yet
    parser = argparse.ArgumentParser(prog="tuneport_local.supervisor")
    parser.add_argument("job", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("trainer", nargs="+")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ready: list[int] = [options.ready_fd]

    def say(word: bytes) -> None:
        while ready:
            with suppress(BrokenPipeError):  # whoever started us is gone, and the job goes on
                os.write(ready[0], word)
            os.close(ready.pop())

    lock = process.try_lock(options.job / LOCK, patience=_LOCK_PATIENCE)
    try:
        if lock is None:
            raise Refused(_taken(options.job))
        supervisor = Attempt(options.job, options.home, options.attempt, options.trainer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, supervisor.on_signal)
        supervisor.run(on_queued=lambda: say(_STARTED))
    except BaseException as error:
        if lock is not None:  # before the word is out: the next may start as soon as it is heard
            os.close(lock)
        if not isinstance(error, Refused):
            say(f"{type(error).__name__}: {error}".encode())
            raise
        log.info("not started: %s", error)
        say(str(error).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
