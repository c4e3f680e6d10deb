"""The repaired dataset: rows without a finding as they were, byte for byte; others mended, or left out and said."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from tuneport.dataset import dialects, scan
from tuneport.dataset.checks.base import Check, Context, Findings
from tuneport.dataset.issues import Issue
from tuneport.dataset.repairs import REDACTIONS, REPAIRS
from tuneport.dataset.rows import Batch, Row
from tuneport.dataset.sources import Block, open_source, parse
from tuneport.dataset.split import row_hash
from tuneport.errors import DatasetError

KEPT = 1000
# What only the whole can show is not repaired row by row; repeats are, here.
_ROW_CHECKS = tuple(name for name in scan.CHECKS if name.partition(":")[0] not in {"file", "duplicates", "groups"})
_MOST_PASSES = 4  # a repair may bring another finding to light


class Change(BaseModel):
    """One thing that was done to one row. `code` is that of the issue which it mends."""

    model_config = ConfigDict(frozen=True)

    row: int
    code: str
    what: str
    source: str | None = None


class FixReport(BaseModel):
    """What the repaired data differs in. The first 1,000 `changes` and `left_out` are kept whole, all are counted."""

    model_config = ConfigDict(frozen=True)

    rows: int = Field(description="rows and unreadable lines of the input")
    written: int
    changed: int
    removed: int = Field(description="rows that could not be repaired, and repeats")
    changes: list[Change] = Field(default_factory=list[Change])
    left_out: list[Change] = Field(default_factory=list[Change])
    counts: dict[str, int] = Field(default_factory=dict)
    output: str | None = None


@dataclass
class _Tally:
    rows: int = 0
    written: int = 0
    changed: int = 0
    removed: int = 0

    def __post_init__(self) -> None:
        self.changes: list[Change] = []
        self.left_out: list[Change] = []
        self.counts: Counter[str] = Counter()

    def note(self, change: Change, *, out: bool = False) -> None:
        kept = self.left_out if out else self.changes
        self.counts[change.code] += 1
        if len(kept) < KEPT:
            kept.append(change)

    def report(self, output: str | None) -> FixReport:
        return FixReport(
            rows=self.rows,
            written=self.written,
            changed=self.changed,
            removed=self.removed,
            changes=self.changes,
            left_out=self.left_out,
            counts=dict(self.counts.most_common()),
            output=output,
        )


def write_fixed(
    data: Any, out: str | Path, context: Context, *, progress: Callable[[int, int], None] | None = None
) -> FixReport:
    """Write the repaired rows as JSONL to `out` (`.gz` compresses), under a temporary name until it is whole."""
    path = Path(out).expanduser()
    inputs = [Path(name) for name in open_source(data).files] if isinstance(data, (str, Path)) else []
    if path.exists() and any(file.exists() and path.samefile(file) for file in inputs):
        raise DatasetError(f"{path} is the input: name another file, so that nothing is lost.", source=str(path))
    tally = _Tally()
    with _opened(path) as file:
        for line in fixed_lines(data, context, tally, progress):
            file.write(line + b"\n")
    return tally.report(str(path))


def fixed_rows(data: Any, context: Context) -> tuple[list[dict[str, Any]], FixReport]:
    """The repaired rows in memory."""
    tally = _Tally()
    rows = [orjson.loads(line) for line in fixed_lines(data, context, tally)]
    return rows, tally.report(None)


def fixed_lines(
    data: Any, context: Context, tally: _Tally, progress: Callable[[int, int], None] | None = None
) -> Iterator[bytes]:
    """The repaired rows, one JSON object each, in order."""
    checks, _ = scan.make(context, _ROW_CHECKS)
    seen: set[int] = set()
    done = 0
    for block in open_source(data):
        findings = Findings(source=block.source, where=scan.where, kept=1 << 60)
        rows = [scan.recognise(row) for row in parse(block, findings)]
        for check in checks:
            check.scan(Batch(block.source, "train", rows), findings)
        found = _by_row(findings.issues)
        numbers = {row.number for row in rows}
        for number in sorted(found.keys() - numbers):
            for issue in found[number]:
                if issue.code == "file.blank-line":
                    tally.note(Change(row=number, code=issue.code, what="line removed", source=block.source))
                else:
                    tally.rows += 1
                    tally.removed += 1
                    left = Change(row=number, code=issue.code, what=issue.message, source=block.source)
                    tally.note(left, out=True)
                    break
        for row in rows:
            tally.rows += 1
            line = _fixed(row, found.get(row.number, []), checks, context, tally, block.source)
            if line is None:
                continue
            key = _key(row, line)
            if key in seen:
                tally.removed += 1
                again = Change(row=row.number, code="quality.duplicate", what="the same row again", source=block.source)
                tally.note(again, out=True)
                continue
            seen.add(key)
            tally.written += 1
            yield line
        done += block.length
        if progress is not None:
            progress(done, tally.rows)


def _key(row: Row, line: bytes) -> int:
    canonical = row.canonical or {}
    if row.kind == "chat" and isinstance(canonical.get("messages"), list):
        return int(row_hash(canonical)[:15], 16)
    return hash(line)


def _by_row(issues: list[Issue]) -> dict[int, list[Issue]]:
    found: dict[int, list[Issue]] = {}
    for issue in issues:
        if issue.row is not None:
            found.setdefault(issue.row, []).append(issue)
    return found


def _fixed(
    row: Row, issues: list[Issue], checks: list[Check], context: Context, tally: _Tally, source: str
) -> bytes | None:
    """The row's line, mended where it has to be; None where it is left out."""
    repairs = REPAIRS | (REDACTIONS if context.privacy == "redact" else {})
    if not any(issue.severity == "error" or issue.code in repairs for issue in issues):
        return row.raw.strip() or orjson.dumps(row.data)
    said: list[Change] = []
    current, line = row, b""
    for _ in range(_MOST_PASSES):
        codes = [code for code in dict.fromkeys(issue.code for issue in issues) if code in repairs]
        if not codes or current.canonical is None or current.dialect is None:
            break
        canonical: dict[str, Any] = copy.deepcopy(dict(current.canonical))
        done = {code: repairs[code](canonical, context) for code in codes}
        if not any(done.values()):
            break
        said += [
            Change(row=row.number, code=code, what=what, source=source)
            for code, words in done.items()
            for what in words
        ]
        data, _ = dialects.get(current.dialect).write(canonical)  # the row's own dialect can say all that the row said
        line = _dumped(data)
        current, issues = _again(line, row.number, source, checks)
    stopping = [issue for issue in issues if issue.severity == "error"]
    if stopping:
        tally.removed += 1
        left = Change(row=row.number, code=stopping[0].code, what=stopping[0].message, source=source)
        tally.note(left, out=True)
        return None
    if not said:
        return row.raw.strip() or orjson.dumps(row.data)
    tally.changed += 1
    for change in dict.fromkeys(said):
        tally.note(change)
    row.canonical = current.canonical
    return line


def _dumped(data: Any) -> bytes:
    try:
        return orjson.dumps(data)
    except TypeError:  # half a surrogate pair, or a number beyond 64 bits, which only Python writes
        return json.dumps(data).encode()


def _again(line: bytes, number: int, source: str, checks: list[Check]) -> tuple[Row, list[Issue]]:
    """The repaired line, read and checked as if it were the file's."""
    findings = Findings(source=source, where=scan.where)
    rows = parse(Block(source=source, first=number, lines=1, data=line), findings)
    for row in rows:
        scan.recognise(row)
    for check in checks:
        check.scan(Batch(source, "train", rows), findings)
    return (rows[0] if rows else Row(number, {})), findings.issues


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with gzip.open(temporary, "wb") if path.suffix == ".gz" else temporary.open("wb") as file:
            yield file  # type: ignore[misc]  # pyright: ignore[reportReturnType]
        temporary.replace(path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror or error}.", source=str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
