"""What was said: a line for each click, on disk before the page says "saved". The last line of a rater on a task counts."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneport.status import utcnow

Choice = Literal["left", "right", "tie", "both-bad"]
NAME, NOTE = 60, 4000  # characters


class Vote(BaseModel):
    """`choice` as it was clicked; `winner` is the contender's key that it meant, None for a tie and for both bad."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rater: str = Field(min_length=1, max_length=NAME)
    task: str
    row: int
    left: str
    right: str
    choice: Choice
    winner: str | None
    note: str = Field(default="", max_length=NOTE)
    seconds: float | None = Field(
        default=None, ge=0, description="from showing it to the click, while it was on screen"
    )
    at: datetime = Field(default_factory=utcnow)


@dataclass(frozen=True)
class Read:
    """The file as it stands: by rater and task what each said last, and the numbers of lines that are no votes."""

    latest: dict[tuple[str, str], Vote]
    broken: list[int]

    @property
    def raters(self) -> list[str]:
        return sorted({rater for rater, _ in self.latest}, key=str.casefold)


class Votes:
    """The file beside the comparison, which only grows. Any number of threads and processes may write to it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    @classmethod
    def of(cls, comparison: Path) -> Votes:
        return cls(comparison.with_name(f"{comparison.stem}.votes.jsonl"))

    def check(self) -> None:
        """Raise OSError, with the file's name, where nothing could be written. Makes no file."""
        if self.path.exists():
            os.close(os.open(self.path, os.O_WRONLY | os.O_APPEND))
        elif not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))

    def add(self, vote: Vote) -> None:
        """On disk when it returns. Raises OSError where it could not be written, a full disk say."""
        line = json.dumps(vote.model_dump(mode="json")).encode() + b"\n"
        with self._lock:
            new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    line = b"\n" + line  # what a kill or a full disk has cut stays a line of its own
                while line:
                    line = line[os.write(descriptor, line) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                _sync(self.path.parent)

    def read(self) -> Read:
        """All of it; a line that was cut, or is no vote, is left out and told by its number."""
        latest: dict[tuple[str, str], Vote] = {}
        broken: list[int] = []
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                vote = Vote.model_validate(json.loads(line))
            except (ValueError, RecursionError, ValidationError):
                broken.append(number)
                continue
            latest[vote.rater, vote.task] = vote
        return Read(latest, broken)


def _sync(folder: Path) -> None:
    """A new file's name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
