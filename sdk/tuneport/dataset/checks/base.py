"""What a check is: it looks at batches of rows in worker processes, and at the whole in the parent, in two small steps.

`scan` sees one batch and returns what must be remembered of it (picklable, small); `reduce` gathers that in the parent, in
the rows' order; `finish` says what only the whole can show. So the same check runs in one process, in several, and over
shards on several machines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tuneport.dataset.codes import CODES, Severity
from tuneport.dataset.issues import Issue
from tuneport.dataset.rows import Batch, Row

KEPT = 1000  # issues of one code that are kept whole; beyond, they are counted


@dataclass(frozen=True)
class Limits:
    """What a target takes. None: not known, and not checked."""

    min_rows: int | None = None
    max_rows: int | None = None
    max_validation_rows: int | None = None
    max_bytes: int | None = None
    max_tokens: int | None = None  # of one row
    max_images: int | None = None  # of one row


@dataclass(frozen=True)
class Target:
    """Where the rows are to be trained, as the checks need to know it: plain data, so that it crosses processes.

    `rules` names the rule sets of `checks.target` that apply ("openai", "nova", "claude-3", "gemini", …). `tokenizer` is a
    directory or a tokenizer.json; None: tokens are estimated. `rendering`, where set, is "module:function" of a function that
    is called with `model` in each worker and returns `check(canonical_row) -> Sequence[Problem]` (a local model's template).
    """

    model: str
    dialect: str = "openai"
    limits: Limits = Limits()
    rules: Sequence[str] = ()
    cloud: bool = True
    tokenizer: str | None = None
    characters_per_token: float | None = None
    rendering: str | None = None


@dataclass(frozen=True)
class Problem:
    """What a target's own rendering finds: a code with its words."""

    code: str
    message: str
    path: str = ""
    fix: str | None = None


@dataclass(frozen=True)
class Context:
    """What every check is told. Picklable."""

    objective: str = "sft"
    target: Target | None = None
    grader: Mapping[str, Any] | None = None
    privacy: str = "block"
    spill: Path | None = None  # a directory for what is too much to hold in memory; the parent's, removed afterwards
    seed: int = 42
    max_length: int | None = None  # the token limit asked for; else the target's own
    group_key: str | None = None


@dataclass
class Findings:
    """Issues as they are found: the first `KEPT` of each code whole, all of them counted."""

    source: str | None = None
    issues: list[Issue] = field(default_factory=list[Issue])
    counts: Counter[str] = field(default_factory=Counter[str])
    bad_rows: set[int] = field(default_factory=set[int])  # of one batch: rows with an error
    long_rows: set[int] = field(default_factory=set[int])  # of one batch: rows that are cut to the limit
    kept: int = KEPT
    where: Callable[[Row, str], str] | None = None  # from a canonical path to that of the row as written

    def add(
        self,
        code: str,
        message: str,
        row: Row | int | None = None,
        path: str | None = None,
        *,
        fix: str | None = None,
        severity: Severity | None = None,
        source: str | None = None,
    ) -> None:
        """`message` gives the value and the rule; without `fix`, the code's own is given."""
        known = CODES[code]
        number = row.number if isinstance(row, Row) else row
        if number is not None and (severity or known.severity) == "error":
            self.bad_rows.add(number)
        if number is not None and code == "tokens.too-long":
            self.long_rows.add(number)
        self.counts[code] += 1
        if self.counts[code] > self.kept:
            return
        if isinstance(row, Row) and path and self.where is not None:
            path = self.where(row, path)
        self.issues.append(
            Issue(
                code=code,
                severity=severity or known.severity,
                message=message,
                source=source or self.source,
                row=number,
                path=path or None,
                fix=fix or known.fix or None,
            )
        )

    def merge(self, other: Findings) -> None:
        """Take in what a worker has found."""
        room = {code: self.kept - self.counts[code] for code in other.counts}
        for issue in other.issues:
            if room[issue.code] > 0:
                room[issue.code] -= 1
                self.issues.append(issue)
        self.counts.update(other.counts)


class Check(Protocol):
    """One family of checks. Made anew from the context in each worker and in the parent."""

    name: ClassVar[str]
    codes: ClassVar[Sequence[str]]
    requires: ClassVar[Sequence[str]]  # packages; where one is absent, the check is skipped and the report says so

    def __init__(self, context: Context) -> None: ...

    def scan(self, batch: Batch, findings: Findings) -> Any:
        """In a worker: issues of single rows into `findings`; returns what `reduce` needs, or None."""
        ...

    def reduce(self, found: Any) -> None:
        """In the parent, batch by batch in order."""
        ...

    def finish(self, findings: Findings) -> dict[str, Any]:
        """In the parent, at the end: issues of the whole; returns this family's statistics, JSON-ready."""
        ...


def shown(value: Any, limit: int = 60) -> str:
    """A value in a message: its repr, cut."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class Skipped:
    """Mixed in by checks with nothing to remember."""

    def reduce(self, found: Any) -> None:
        del found

    def finish(self, findings: Findings) -> dict[str, Any]:
        del findings
        return {}
