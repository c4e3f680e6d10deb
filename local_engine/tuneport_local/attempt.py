"""One attempt of a job, as its supervisor goes through it: queue, trainer, end.

If the supervisor is killed, the kernel closes its end of the pipe that the trainer watches (`--parent-fd`): the trainer
reads end-of-file and ends itself. Whatever is left of it is ended before the next attempt trains.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import psutil

from tuneport.status import Event, JobStatus, utcnow
from tuneport_local import process
from tuneport_local.config import (
    CANCEL,
    CONFIG,
    FAILURE,
    REPORT,
    STATE,
    SUPERVISOR_LOG,
    TRAINER_LOG,
    RunConfig,
    State,
    append_event,
)
from tuneport_local.devices import Lease, WaitStopped
from tuneport_local.ending import Ending, has_checkpoint, judge
from tuneport_local.state import abandoned, recorded, status_event

GRACE_VARIABLE, GRACE_SECONDS = "TUNEPORT_CANCEL_GRACE_SECONDS", 30.0
_LEFTOVER_PATIENCE = 5.0  # for the trainer of a killed supervisor to end itself
_POLL_SECONDS = 0.1
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logging.getLogger("tuneport.supervisor")


class Refused(Exception):
    """There is nothing for this supervisor to do, and another may be at work: leave everything as it is."""


class Attempt:
    """One attempt. The caller holds the job's lock."""

    def __init__(self, job: Path, home: Path, attempt: int, trainer: Sequence[str]) -> None:
        before = recorded(job)
        if before is not None and before.attempt >= attempt:
            raise Refused(
                f"attempt {before.attempt} of {job} has been before: {before.status}; the next is {before.attempt + 1}"
            )
        self.job, self.home, self.trainer = job, home, trainer
        self.config = RunConfig.load(job / CONFIG)
        self.grace = float(os.environ.get(GRACE_VARIABLE, GRACE_SECONDS))
        self.told: str | None = None
        if before is not None and not before.status.terminal and abandoned(before).status.terminal:
            append_event(job, status_event(abandoned(before)))  # nobody could say so when it happened
        me = psutil.Process()
        self.state = State(
            status=JobStatus.QUEUED,
            attempt=attempt,
            host=socket.gethostname(),
            boot_id=process.boot_id(),
            supervisor_pid=me.pid,
            supervisor_started=me.create_time(),
            devices=self.config.devices,
            queued_at=utcnow(),
        )

    def on_signal(self, number: int, _: FrameType | None) -> None:
        self.told = process.signal_name(number)

    def run(self, on_queued: Callable[[], None]) -> None:
        try:
            with Lease(self.home, self.config.devices, who=self.config.job_id) as lease:
                self.record(JobStatus.QUEUED)
                on_queued()
                try:
                    lease.acquire(should_stop=self.should_stop, on_wait=self.say_position)
                except WaitStopped:
                    ending = self.stopped("before it had begun to train")
                else:
                    ending = self.train()
        except BaseException as error:
            reason = f"the supervisor itself failed: {type(error).__name__}: {error}; see {self.job / SUPERVISOR_LOG}"
            self.finish(Ending(JobStatus.FAILED, reason, resumable=True))
            raise
        self.finish(ending)

    def should_stop(self) -> bool:
        return self.told is not None or (self.job / CANCEL).exists()

    def stopped(self, when: str) -> Ending:
        """The end of an attempt that somebody stopped: whoever cancels means it, also where a signal came too."""
        if (self.job / CANCEL).exists():
            return Ending(JobStatus.CANCELLED, f"cancelled {when}", resumable=has_checkpoint(self.job))
        return Ending(JobStatus.INTERRUPTED, f"the supervisor was told to end by {self.told}, {when}", resumable=True)

    def say_position(self, ahead: int) -> None:
        message = f"queued behind {ahead} {'job' if ahead == 1 else 'jobs'} for {', '.join(self.config.devices)}"
        event = Event(seq=0, message=message, attempt=self.state.attempt, data={"ahead": ahead})
        self.write(lambda: append_event(self.job, event))

    def train(self) -> Ending:
        if left := process.wait_gone(self.job, patience=_LEFTOVER_PATIENCE):
            log.warning("ending what the attempt before has left: pids %s", left)
            process.kill_all(self.job)
        for name in (REPORT, FAILURE):
            (self.job / name).unlink(missing_ok=True)
        before = process.oom_count()
        theirs, ours = os.pipe()  # nobody but us has `ours`: the trainer reads end-of-file when we are gone
        try:
            try:
                child = self.launch(theirs)
            except OSError as error:
                reason = f"the trainer {self.trainer[0]!r} cannot be started: {error}"
                return Ending(JobStatus.FAILED, reason, resumable=True)
            finally:
                os.close(theirs)
            try:
                self.record(JobStatus.RUNNING, trainer_pid=child.pid, started_at=utcnow())
                asked, forced = self.watch(child)
            finally:
                self.end(child)
        finally:
            os.close(ours)
        ending = judge(self.job, child.returncode, before, process.oom_count())
        if not asked or ending.status is JobStatus.SUCCEEDED:  # it was done before the request reached it
            return ending
        how = (
            f"did not end within {self.grace:g} s of SIGTERM and was killed" if forced else "ended by itself on SIGTERM"
        )
        stopped = self.stopped(f"while it trained; the trainer {how}")
        return replace(stopped, exit_code=ending.exit_code, signal=ending.signal)

    def launch(self, parent_fd: int) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            process.RUN_MARK: str(self.job),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # nvidia-smi's numbers, which the names of our devices carry
            "PYTHONUNBUFFERED": "1",  # the log's last lines are the ones wanted after a SIGKILL
            "PYTHONFAULTHANDLER": "1",
        }
        # The names of our devices count all of the machine's GPUs, and a mask would make them count within it. The trainer
        # hides what it was not leased, and `devices.detect` offers only what was in the mask.
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        options = [str(self.job), "--attempt", str(self.state.attempt), "--parent-fd", str(parent_fd)]
        with (self.job / TRAINER_LOG).open("ab") as output:
            return subprocess.Popen(
                [*self.trainer, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.job,
                env=environment,
                pass_fds=[parent_fd],
                start_new_session=True,
            )

    def watch(self, child: subprocess.Popen[bytes]) -> tuple[bool, bool]:
        """Wait for the trainer's end: whether somebody asked for it, and whether it had to be forced."""
        while child.poll() is None:
            if self.should_stop():
                child.terminate()
                if self.told is None:
                    self.record(JobStatus.CANCELLING, insist=False)  # a full disk must not keep us from ending it
                try:
                    child.wait(self.grace)
                except subprocess.TimeoutExpired:
                    self.end(child)
                    return True, True
                return True, False
            time.sleep(_POLL_SECONDS)
        return False, False

    def end(self, child: subprocess.Popen[bytes]) -> None:
        """End everything of the trainer's that is left, so that no device is given back while somebody still uses it."""
        # A leader's number stays taken while its group has members, so this cannot meet a stranger.
        if alive := process.kill_all(self.job, child.pid):
            log.error("the kernel does not end pids %s: their devices are given back all the same", alive)
        child.wait()

    def finish(self, ending: Ending) -> None:
        self.record(
            ending.status,
            ended_at=utcnow(),
            reason=ending.reason,
            resumable=ending.resumable,
            exit_code=ending.exit_code,
            signal=ending.signal,
            out_of_memory=ending.out_of_memory,
        )

    def record(self, status: JobStatus, *, insist: bool = True, **changes: object) -> None:
        self.state = self.state.model_copy(update={"status": status, **changes})
        log.info("%s%s", status, f": {self.state.reason}" if self.state.reason else "")
        # The event first: whoever reads a last state finds every event there.
        self.write(lambda: append_event(self.job, status_event(self.state)), insist)
        self.write(lambda: self.state.save(self.job / STATE), insist)

    def write(self, action: Callable[[], None], insist: bool = True) -> None:
        """Write, and where the disk is full, again each second until it is not: an end that is not recorded is lost."""
        while True:
            try:
                return action()
            except OSError as error:
                if error.errno not in _DISK_FULL or self.told is not None:
                    raise
                log.warning("cannot write%s: %s", "; trying again in a second" if insist else "", error)
                if not insist:
                    return None
            time.sleep(1.0)
