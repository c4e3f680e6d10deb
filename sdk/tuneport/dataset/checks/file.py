"""What only the whole file shows: how many rows, how large, and whether all are written alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import orjson

from tuneport.dataset.checks.base import KEPT, Context, Findings, shown
from tuneport.dataset.codes import CODES
from tuneport.dataset.dialects.detect import graded
from tuneport.dataset.formats import format_of
from tuneport.dataset.rows import Batch, Row, Split

FEW, GOOD, PRODUCTION = 50, 500, 1000
LEAST_HELD_OUT = 30
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_CHAT, _REINFORCEMENT = "openai", "openai-reinforcement"
_GRADED = "openai with a grader's keys"  # which of the two it is, most of the rows say
_CUT_SHORT = frozenset(
    {"file.damaged", "file.expands-too-much", "file.unreadable"}
)  # how many rows there are, nobody knows


class _Found(NamedTuple):
    source: str
    split: Split
    rows: int
    size: int
    dialects: dict[str, tuple[int, list[int]]]  # how many rows, and the numbers of the first


class FileCheck:
    """Counts per file and split, and the rows that are written in another dialect than most."""

    name: ClassVar[str] = "file"
    codes: ClassVar[Sequence[str]] = (*(code for code in CODES if code.startswith("file.")), "split.small-test")
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        self._target = context.target
        self._rows: dict[Split, int] = dict.fromkeys(_SPLITS, 0)
        self._bytes: dict[Split, int] = dict.fromkeys(_SPLITS, 0)
        self._files: dict[tuple[str, Split], tuple[int, int]] = {}
        self._dialects: Counter[str] = Counter()
        self._places: dict[str, list[tuple[str, int]]] = {}

    def scan(self, batch: Batch, findings: Findings) -> _Found:
        dialects: dict[str, list[int]] = {}
        size = 0
        for row in batch.rows:
            size += len(row.raw) + 1 if row.raw else _size(row)
            if row.dialect is None:
                keys = ", ".join(sorted(map(str, row.data))[:8]) or "none"
                findings.add(
                    "file.unknown-dialect", f"the row's keys ({shown(keys, 120)}) belong to no known dialect.", row
                )
            else:
                name = _GRADED if row.dialect == _CHAT and len(row.data) > 1 and graded(row.data) else row.dialect
                dialects.setdefault(name, []).append(row.number)
        found = {name: (len(numbers), numbers[:KEPT]) for name, numbers in dialects.items()}
        return _Found(batch.source, batch.split, len(batch.rows), size, found)

    def reduce(self, found: _Found) -> None:
        self._rows[found.split] += found.rows
        self._bytes[found.split] += found.size
        rows, size = self._files.get((found.source, found.split), (0, 0))
        self._files[found.source, found.split] = (rows + found.rows, size + found.size)
        for name, (count, numbers) in found.dialects.items():
            self._dialects[name] += count
            kept = self._places.setdefault(name, [])
            kept += [(found.source, number) for number in numbers[: max(0, KEPT - len(kept))]]

    def finish(self, findings: Findings) -> dict[str, Any]:
        self._place_graded()
        self._mixed(findings)
        self._few(findings)
        self._small(findings)
        self._limits(findings)
        formats = dict.fromkeys(_format(source) for source, _ in self._files)
        return {
            "rows": sum(self._rows.values()),
            "bytes": sum(self._bytes.values()),
            "format": ", ".join(formats),
            "dialects": dict(self._dialects.most_common()),
            "splits": {
                split: {"rows": self._rows[split], "bytes": self._bytes[split]}
                for split in _SPLITS
                if self._rows[split]
            },
            "files": [
                {"file": source, "split": split, "rows": rows, "bytes": size}
                for (source, split), (rows, size) in list(self._files.items())[:KEPT]
            ],
            "guideline": guideline(self._rows["train"]),
        }

    def _place_graded(self) -> None:
        """Chat rows with a grader's keys: among reinforcement rows one of them, which merely ends on an answer."""
        count, places = self._dialects.pop(_GRADED, 0), self._places.pop(_GRADED, [])
        if not count:
            return
        whole = self._dialects + Counter({_CHAT: count})
        home = _REINFORCEMENT if whole.most_common(1)[0][0] == _REINFORCEMENT else _CHAT
        self._dialects[home] += count
        self._places[home] = sorted(self._places.get(home, []) + places)[:KEPT]

    def _mixed(self, findings: Findings) -> None:
        if len(self._dialects) < 2:
            return
        most = self._dialects.most_common(1)[0][0]
        for name, count in self._dialects.items():
            if name == most:
                continue
            for source, number in self._places[name]:
                message = f"the row's dialect is {name}, that of most rows is {most}."
                findings.add("file.mixed-dialects", message, number, source=source)
            findings.counts["file.mixed-dialects"] += count - len(self._places[name])

    def _few(self, findings: Findings) -> None:
        rows = self._rows["train"]
        if rows < FEW and not self._cut_short("train", findings):
            findings.add("file.few-rows", f"{guideline(rows)}.", source=self._source("train"))

    def _small(self, findings: Findings) -> None:
        for split in _SPLITS[1:]:
            rows = self._rows[split]
            if 0 < rows < LEAST_HELD_OUT and not self._cut_short(split, findings):
                what = f"{rows} {split} row{'' if rows == 1 else 's'}"
                message = (
                    f"{what}: a share of one half is known to ±{uncertainty(rows)} points (95 % interval); "
                    "smaller differences are mostly chance."
                )
                fix = f"Hold out more: 100 rows give ±{uncertainty(100)} points, 400 give ±{uncertainty(400)}."
                findings.add("split.small-test", message, fix=fix, source=self._source(split))

    def _cut_short(self, split: Split, findings: Findings) -> bool:
        """Whether a file of the split could not be read to its end."""
        return any(
            issue.code in _CUT_SHORT and issue.source is not None and (issue.source, split) in self._files
            for issue in findings.issues
        )

    def _limits(self, findings: Findings) -> None:
        if self._target is None:
            return
        limits, model = self._target.limits, self._target.model
        bounds: tuple[tuple[Split, int | None, int | None], ...] = (
            ("train", limits.min_rows, limits.max_rows),
            ("validation", None, limits.max_validation_rows),
        )
        for split, least, most in bounds:
            rows, what = self._rows[split], "rows" if split == "train" else "validation rows"
            source = self._source(split)
            if least is not None and rows < least and not self._cut_short(split, findings):
                fix = f"Add {least - rows:,} rows, or choose another target."
                findings.add(
                    "file.too-few-rows", f"{rows:,} {what}; {model} takes at least {least:,}.", fix=fix, source=source
                )
            if most is not None and rows > most:
                fix = f"Take a sample of {most:,} rows."
                findings.add(
                    "file.too-many-rows", f"{rows:,} {what}; {model} takes at most {most:,}.", fix=fix, source=source
                )
        if limits.max_bytes is None:
            return
        for split in _SPLITS:
            size = self._bytes[split]
            if size > limits.max_bytes:
                message = f"the {split} rows have {size:,} bytes; {model} takes a file of at most {limits.max_bytes:,}."
                findings.add("file.too-large", message, source=self._source(split))

    def _source(self, split: Split) -> str | None:
        """The split's file, where it is one."""
        names = [source for source, part in self._files if part == split]
        return names[0] if len(names) == 1 else None


def uncertainty(rows: int) -> int:
    """Half of the 95 % interval (Wilson's) of a share of one half, in points: for a share near 0 or 1 it is somewhat less."""
    return round(100 * 1.96 / (2 * math.sqrt(rows + 1.96**2)))


def guideline(rows: int) -> str:
    """What the number of training rows is good for, by the rule of thumb that providers give."""
    number = f"{rows:,} training row{'' if rows == 1 else 's'}"
    if rows < FEW:
        return f"{number}: 50 to 100 are the least that help"
    if rows < GOOD:
        return f"{number}: enough to begin with; 500 to 1,000 are good"
    if rows < PRODUCTION:
        return f"{number}: a good number; 1,000 to 10,000 and more are usual in production"
    return f"{number}: as many as are usual in production"


def _format(source: str) -> str:
    known = format_of(source)
    if known is None:
        return "in memory"
    kind, packing = known
    return f"{kind}.{packing}" if packing else kind


def _size(row: Row) -> int:
    """Of a row that was never text, as a line of JSON."""
    try:
        return len(orjson.dumps(row.data)) + 1
    except TypeError:  # half of a surrogate pair, a number beyond 64 bits
        return len(str(row.data)) + 1
