"""A job's events, page by page, with a memory: a poll reads only the pages that it has not read before."""

from __future__ import annotations

import threading
from collections import OrderedDict

from tuneport_backends.openai_read import key, oldest_first
from tuneport_backends.openai_wire import Wire
from tuneport_backends.payload import Payload, text

_JOBS = 64  # whose events are remembered


class Memory:
    """Safe for threads. What is forgotten is read again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, dict[str, Payload]] = OrderedDict()
        self._lock = threading.Lock()

    def all(self, wire: Wire, job: str) -> list[Payload]:
        """Everything that the service has, oldest first. Pages come newest first: a page of known events ends the reading."""
        with self._lock:
            known = dict(self._known.get(job, {}))
        fresh: dict[str, Payload] = {}
        after: str | None = None
        while True:
            page, more = wire.events(job, after)
            seen = {key(item): item for item in page}
            fresh |= {name: item for name, item in seen.items() if name not in known}
            following = text(page[-1], "id") if page else None
            if not more or following in {None, after} or seen.keys() <= known.keys():
                break
            after = following
        merged = {**fresh, **known}
        with self._lock:
            self._known[job] = merged
            self._known.move_to_end(job)
            while len(self._known) > _JOBS:
                self._known.popitem(last=False)
        return oldest_first(merged.values())
