"""How often a job is asked how it stands."""

from __future__ import annotations

import os
import random

from tuneport.backend import Polling

VARIABLE = "TUNEPORT_POLL_SECONDS"  # one interval for everything, in place of each backend's own


class Pace:
    """Intervals that grow while nothing changes, with jitter, so that many waits do not ask in step."""

    def __init__(self, polling: Polling) -> None:
        fixed = os.environ.get(VARIABLE)
        self._first, self._most = (float(fixed), float(fixed)) if fixed else (polling.first, polling.most)
        self._current = self._first

    def next(self, *, changed: bool = False) -> float:
        if changed:
            self._current = self._first
        current, self._current = self._current, min(self._most, self._current * 1.5)
        return current * random.uniform(0.9, 1.0)
