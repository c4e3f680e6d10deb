"""The claim on a job: one process at a time may submit it, and a claim whose process is gone does not last."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Generator
from typing import TYPE_CHECKING

import psutil

from tuneport.errors import JobError

if TYPE_CHECKING:
    from tuneport.store import Store

SECONDS = 120.0  # how long a claim lasts unless it is renewed


def new_owner() -> str:
    """Names one claim and the process that makes it; another thread of the same process makes another."""
    me = psutil.Process()
    return f"{me.create_time()}:{me.pid}:{uuid.uuid4().hex}:{socket.gethostname()}"


def take(store: Store, job_id: str, owner: str) -> bool:
    """Whether `owner` holds the job now. The claim of a process that was killed on this machine is not waited out."""
    if store.claim(job_id, owner, SECONDS):
        return True
    held = store.owner(job_id)
    if held is None or not _died_here(held[0]):
        return False
    store.release(job_id, held[0])
    return store.claim(job_id, owner, SECONDS)


@contextlib.contextmanager
def held(store: Store, job_id: str, owner: str) -> Generator[None]:
    """Hold the job for as long as the block lasts, renewed: an upload may last longer than a claim. JobError if taken."""
    if not take(store, job_id, owner):
        raise JobError(
            f"{job_id} is being submitted by another process. Look again in a moment: tuneport show {job_id}",
            job_id=job_id,
        )
    done = threading.Event()

    def renew() -> None:
        while not done.wait(SECONDS / 4):
            store.claim(job_id, owner, SECONDS)

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        store.release(job_id, owner)


def _died_here(owner: str) -> bool:
    """Whether the process that `new_owner` named ran on this machine and is gone (its pid may be reused)."""
    started, pid, _, host = owner.split(":", 3)
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        return process.create_time() != float(started) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
