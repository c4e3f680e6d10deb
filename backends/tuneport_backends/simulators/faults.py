"""Fault scripts: what a simulated provider does wrong, where and how often, as data that a test or a YAML file holds.

    - on: create            # an operation's name, as each simulator documents it; "*" is any
      do: lose-reply        # status | lose-reply | cut | delay | field | state | fail | never-ends
      times: 1              # how many matching requests it meets; unset: all
      after: 0              # how many it lets pass first
      status: 429           # for `status`
      retry_after: 2        # seconds, sent as Retry-After
      body: null            # for `status`: the error's JSON; unset: the provider's usual one for that status
      field: fine_tuned_model   # for `field`: a field of the reply, set to `value`
      value: null           # for `field`, `state` (the raw word) and `fail` (the reason)
      seconds: 1.0          # for `delay`

`lose-reply` does the work and closes the connection without an answer; `cut` closes it after `value` bytes of the request's
body were read, and does no work; `state` reports the raw word `value` as a job's state; `fail` lets the job fail
with the reason `value`; `never-ends` keeps it running.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import Field

from tuneport.errors import SpecError
from tuneport.strict import Strict

Does = Literal["status", "lose-reply", "cut", "delay", "field", "state", "fail", "never-ends"]


class Fault(Strict):
    on: str
    do: Does
    times: int | None = Field(default=None, ge=1)
    after: int = Field(default=0, ge=0)
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    body: dict[str, Any] | None = None
    field: str | None = None
    value: Any = None
    seconds: float = Field(default=0.0, ge=0)


def _named(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise SpecError(f"a fault is {item!r}: write it as on: create, do: lose-reply, …")
    return {"on" if key is True else str(key): value for key, value in cast("dict[Any, Any]", item).items()}


class Faults:
    """The script as it is used up. Safe for threads."""

    def __init__(self, faults: Sequence[Fault | Mapping[str, Any]] = ()) -> None:
        self._faults = [fault if isinstance(fault, Fault) else Fault.parse(dict(fault)) for fault in faults]
        self._met = [0] * len(self._faults)
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path) -> Faults:
        """From a YAML or JSON file: a list of faults. SpecError where it is none."""
        try:
            items = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise SpecError(f"{path} cannot be read as a list of faults: {error}") from None
        if not isinstance(items, list):
            raise SpecError(f"{path} holds {type(items).__name__}: a fault script is a list.")
        # YAML 1.1 reads a bare `on` as true.
        return cls([_named(item) for item in cast("list[Any]", items)])

    def add(self, fault: Fault | Mapping[str, Any]) -> None:
        with self._lock:
            self._faults.append(fault if isinstance(fault, Fault) else Fault.parse(dict(fault)))
            self._met.append(0)

    def meet(self, operation: str, *does: Does) -> list[Fault]:
        """The faults that this request of `operation` meets, of the kinds named (all, without any); each is counted."""
        found: list[Fault] = []
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.on not in {operation, "*"} or (does and fault.do not in does):
                    continue
                self._met[number] += 1
                past = self._met[number] - fault.after
                if past >= 1 and (fault.times is None or past <= fault.times):
                    found.append(fault)
        return found
