"""What a planted defect is, and when a report has found it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.corpus import dialects as d
from tests.corpus.clean import SEED, base
from tests.corpus.talk import ENGLISH
from tests.corpus.words import Row, Words


@dataclass(frozen=True)
class Planted:
    """What `validate` is to read, and what it must report.

    A finding counts only if its row is `row`, its path one of `paths` (where any are given) and its message holds every pattern
    of `says` and nothing of `hides`. Where two rows are at odds (`other`), either may be named if the message names the other.
    """

    data: Any
    row: int | None = None
    paths: tuple[str | None, ...] = ()
    says: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    other: int | None = None
    source: str | None = None
    anywhere: bool = False  # the row is not compared: damage may be named where it begins or for the file
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Defect:
    """`also`: codes that follow from the defect itself, so that they are no noise. `severity`: the one that must be raised."""

    name: str
    code: str
    plant: Callable[[Path], Planted]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    also: frozenset[str] = frozenset()
    slow: bool = False


DEFECTS: dict[str, Defect] = {}


def found(planted: Planted, code: str, issue: Any) -> bool:
    """Whether a finding is that of the planted defect: its code, row, path and value."""
    message = issue.message
    if issue.code != code or any(hidden in f"{message} {issue.fix}" for hidden in planted.hides):
        return False
    if planted.source and planted.source not in (issue.source or ""):
        return False
    if planted.other is not None:
        pairs = ((planted.row, planted.other), (planted.other, planted.row))
        if not any(issue.row == one and re.search(rf"\b{two}\b", message) for one, two in pairs):
            return False
    elif issue.row != planted.row and not planted.anywhere:
        return False
    if planted.paths and issue.path not in planted.paths:
        return False
    return all(re.search(pattern, message, re.IGNORECASE | re.DOTALL) for pattern in planted.says)


def add(
    name: str,
    code: str,
    plant: Callable[[Path], Planted],
    *,
    also: Iterable[str] = (),
    slow: bool = False,
    **options: Any,
) -> None:
    if name in DEFECTS:
        raise ValueError(f"two defects are named {name!r}")
    DEFECTS[name] = Defect(name, code, plant, options, frozenset(also), slow)


def plants(
    name: str, code: str, *, also: Iterable[str] = (), slow: bool = False, **options: Any
) -> Callable[[Callable[[Path], Planted]], Callable[[Path], Planted]]:
    """Registers a function that writes a set with one defect."""

    def register(plant: Callable[[Path], Planted]) -> Callable[[Path], Planted]:
        add(name, code, plant, also=also, slow=slow, **options)
        return plant

    return register


def steps(path: str) -> list[str | int]:
    """`messages[2].content` as ["messages", 2, "content"]."""
    return [int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"[^.\[\]]+|\[\d+\]", path)]


def reach(row: Any, path: str) -> tuple[Any, Any]:
    """The holder of what a path leads to, and its key there."""
    *way, last = steps(path)
    for step in way:
        row = row[step]
    return row, last


DELETE = object()  # as a value: the key is taken away


def edit(
    name: str,
    code: str,
    where: str,
    value: Callable[[Any], Any] | object,
    *,
    of: str = "support",
    row: int = 41,
    written: Callable[[Row], Row] | None = None,
    path: str | Sequence[str | None] | None = None,
    says: str | Sequence[str] = (),
    hides: str | None = None,
    also: Iterable[str] = (),
    **options: Any,
) -> None:
    """One row of a clean set (in another dialect if `written`), changed in one place: to `value`, or by it if callable."""

    def plant(folder: Path) -> Planted:
        rows = base(of)
        if written:
            rows = [written(r) for r in rows]
        holder, key = reach(rows[row - 1], where)
        if value is DELETE:
            del holder[key]
        elif isinstance(holder, list) and key == len(cast("list[Any]", holder)):
            cast("list[Any]", holder).append(value)
        elif callable(value):
            holder[key] = value(holder[key])
        else:
            holder[key] = value
        paths = (where,) if path is None else (path,) if isinstance(path, str) else tuple(path)
        patterns = (says,) if isinstance(says, str) else tuple(says)
        return Planted(d.save(folder, d.jsonl(rows)), row, paths, patterns, (hides,) if hides else ())

    add(name, code, plant, also=also, **options)


def words(name: str) -> Words:
    return Words(f"{name} {SEED}", ENGLISH)


def within(text: str) -> Callable[[str], str]:
    """Puts a text between the first sentence and the rest."""

    def insert(old: str) -> str:
        first, dot, rest = old.partition(". ")
        return f"{first}{dot}{text} {rest}" if dot else f"{old} {text}"

    return insert


def after(text: str) -> Callable[[str], str]:
    return lambda old: f"{old} {text}"
