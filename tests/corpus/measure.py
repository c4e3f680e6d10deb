"""Runs `tuneport.validate` over the corpus: what it found of each defect, and what it said about the clean sets."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.corpus.clean import CLEAN, Clean, options
from tests.corpus.defects import DEFECTS, Defect, Planted, found

from tuneport.dataset.issues import Issue
from tuneport.errors import DatasetError


@dataclass(frozen=True)
class Outcome:
    """One defect: what was planted, whether it was found, and what else was said."""

    defect: Defect
    planted: Planted
    hit: bool
    others: Counter[str] = field(default_factory=Counter[str])
    issues: Sequence[Any] = ()
    near: Sequence[Any] = ()  # findings of the right code in the wrong place or words
    seconds: float = 0.0
    crash: str | None = None

    @property
    def noise(self) -> int:
        return sum(self.others.values())


@dataclass(frozen=True)
class Alarm:
    """An error or a warning on a clean set, or a crash."""

    name: str
    run: str
    issues: Sequence[Any] = ()
    crash: str | None = None


def check(defect: Defect, planted: Planted, issues: Iterable[Any]) -> tuple[bool, Counter[str], list[Any]]:
    """Whether it is among the findings; the codes of errors and warnings besides it; near misses."""
    others: Counter[str] = Counter()
    near: list[Any] = []
    hit = False
    for issue in issues:
        if found(planted, defect.code, issue):
            hit = True
        elif issue.code == defect.code:
            near.append(issue)
        elif issue.severity != "info" and issue.code not in defect.also:
            others[issue.code] += 1
    return hit, others, near


def report(data: Any, **arguments: Any) -> tuple[list[Any], bool]:
    """The issues of `tuneport.validate`, and whether it is content; with `plan`, those of the plan for that model.

    Where nothing can be read at all both raise, and the error carries what the issue would.
    """
    import tuneport

    model = arguments.pop("plan", None)
    try:
        said: Any = tuneport.plan(model, data, **arguments) if model else tuneport.validate(data, **arguments)
    except DatasetError as error:
        code = getattr(error, "code", "an error without a code")
        return [Issue(code=code, message=str(error), source=error.source, row=error.row)], False
    return list(said.issues), said.ok


def measure(defect: Defect, folder: Path) -> Outcome:
    """Plants the defect in `folder`, validates, compares."""
    planted = defect.plant(folder)
    start = time.perf_counter()
    try:
        issues, _ = report(planted.data, **{**defect.options, **planted.options})
    except Exception as error:
        return Outcome(defect, planted, hit=False, crash=f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - start
    hit, others, near = check(defect, planted, issues)
    return Outcome(defect, planted, hit, others, issues, near, seconds)


def measure_clean(clean: Clean, folder: Path) -> list[Alarm]:
    """One alarm for each run of a clean set; without issues where none were raised."""
    alarms: list[Alarm] = []
    for number, run in enumerate(clean.runs):
        here = folder / str(number)
        here.mkdir(parents=True)
        arguments = options(run, here)
        told = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items()) or "no target"
        try:
            issues, ok = report(clean.make(here), **arguments)
        except Exception as error:
            alarms.append(Alarm(clean.name, told, crash=f"{type(error).__name__}: {error}"))
            continue
        wrong = [issue for issue in issues if issue.severity != "info"]
        alarms.append(Alarm(clean.name, told, wrong, None if ok or wrong else "not ok, without an issue"))
    return alarms


def _short(value: Any) -> str:
    return value.name if isinstance(value, Path) else getattr(value, "kind", None) or str(value)


def run(names: Sequence[str], *, slow: bool) -> Iterator[Outcome | Alarm]:
    """All of the corpus as it is measured, or what the names begin."""

    def wanted(name: str) -> bool:
        return not names or any(name.startswith(start) for start in names)

    with tempfile.TemporaryDirectory(prefix="tuneport-corpus-") as top:
        for defect in DEFECTS.values():
            if (wanted(defect.name) or wanted(defect.code)) and (slow or not defect.slow):
                folder = Path(top) / "defects" / defect.name
                folder.mkdir(parents=True)
                yield measure(defect, folder)
                shutil.rmtree(folder)
        for clean in CLEAN.values():
            if wanted(clean.name) or wanted("clean"):
                yield from measure_clean(clean, Path(top) / "clean" / clean.name)
