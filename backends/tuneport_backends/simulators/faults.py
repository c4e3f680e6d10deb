"""Fault scripts: what a simulated provider does wrong, where and how often, as data that a test or a YAML file holds.

    - on: jobs.create       # an operation of the simulator's: docs/simulators.md lists them; "*" is any
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
body were read, and does no work; `field` and `state` falsify an answer, or each item of a list; `state` reports the raw word
`value` as a job's state; `fail` lets the job fail with the reason `value`; `never-ends` keeps it running: both are met where
a job is created.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast

import yaml
from pydantic import Field, model_validator

from tuneport.errors import SpecError
from tuneport.strict import Strict, suggest

Does = Literal["status", "lose-reply", "cut", "delay", "field", "state", "fail", "never-ends"]
# What each takes beside `on`, `do`, `times` and `after`. Another key would do nothing, and is refused.
TAKES: Mapping[Does, frozenset[str]] = {
    "status": frozenset({"status", "retry_after", "body"}),
    "lose-reply": frozenset(),
    "cut": frozenset({"value"}),
    "delay": frozenset({"seconds"}),
    "field": frozenset({"field", "value"}),
    "state": frozenset({"value"}),
    "fail": frozenset({"value"}),
    "never-ends": frozenset(),
}
CREATE = "jobs.create"  # in every simulator
ANY = "*"


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

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if idle := sorted(self.model_fields_set - {"on", "do", "times", "after"} - TAKES[self.do]):
            raise ValueError(f"{self.do} takes no {idle[0]}: {_takes(self.do)}")
        if self.do == "field" and not self.field:
            raise ValueError("field needs to be told which: field: name, or field: name.within")
        if self.do == "cut" and not (self.value is None or (type(self.value) is int and self.value >= 0)):
            raise ValueError("cut takes as its value how many bytes of the body are read first, a whole number")
        if self.do in {"fail", "never-ends"} and self.on not in {CREATE, ANY}:
            raise ValueError(f"{self.do} is met where a job is created: on: {CREATE}")
        return self


def _takes(do: Does) -> str:
    return f"it takes {' and '.join(sorted(TAKES[do]))}" if TAKES[do] else "it takes nothing more"


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
        self._operations: frozenset[str] | None = None  # not known before a simulator takes it
        self._owner = ""

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

    def demand(self, operations: frozenset[str], owner: str) -> None:
        """From now on, `on` must be one of these. SpecError where it is not, which names what `owner` has."""
        with self._lock:
            self._operations, self._owner = operations, owner
            for fault in self._faults:
                self._known(fault)

    def _known(self, fault: Fault) -> None:
        if self._operations is not None and fault.on not in {*self._operations, ANY}:
            known = ", ".join(sorted(self._operations))
            meant = suggest(fault.on, self._operations)
            raise SpecError(
                f"a fault is on {fault.on!r}, which is no operation of the {self._owner} simulator"
                + (f": {meant} Known" if meant.startswith("did") else ". Known")
                + f": {known}, and {ANY!r} for any."
            )

    def add(self, fault: Fault | Mapping[str, Any]) -> None:
        """SpecError where it is no fault, or none that this simulator can meet."""
        made = fault if isinstance(fault, Fault) else Fault.parse(dict(fault))
        with self._lock:
            self._known(made)
            self._faults.append(made)
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
