"""The clock of a simulated provider: it stands still until a test moves it, or runs with the system's, faster if asked."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Seconds since the simulator began, moved by `advance`; with `speed`, they also pass by themselves."""

    def __init__(self, speed: float = 0.0, start: datetime | None = None) -> None:
        self._start = start or datetime.now(UTC)
        self._speed = speed
        self._moved = 0.0
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    def seconds(self) -> float:
        with self._lock:
            return self._moved + self._speed * (time.monotonic() - self._begun)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.seconds())

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._moved += seconds
