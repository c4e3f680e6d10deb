"""`run`: from data of any kind to a `ValidationReport`. `tuneport.validate` finds the target and calls it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from tuneport.dataset import dialects, scan
from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.core import Dataset
from tuneport.dataset.read import describe
from tuneport.dataset.report import ValidationReport, score
from tuneport.dataset.rows import Split
from tuneport.dataset.sources import Block, Source, open_source, parse
from tuneport.errors import DatasetError
from tuneport.result import LedgerTotals

# Below this much, starting children costs more than they save.
_SMALL = 8 << 20
# Bytes. What becomes of a small block stays in a core's own cache while it is looked at; a check that compares rows learns what
# they share from each block, and wants many.
_BLOCK, _BLOCK_OF_MANY = 1 << 20, 4 << 20
_COMPARING = "duplicates:DuplicatesCheck"
_ROW = 1 << 12  # bytes for which a row counts that JSON cannot say as it is
_OBJECTIVE = {"chat": "sft", "preference": "dpo", "reinforcement": "reinforcement", "text": "cpt"}

Progress = Callable[[int, int | None, int], None]  # bytes done, bytes in all (None: not known), rows done


def run(
    data: Any,
    context: Context,
    *,
    validation: Any = None,
    test: Any = None,
    objective: str | None = None,
    workers: int | None = None,
    ray: bool = False,
    progress: Progress | None = None,
    checks: Sequence[str] = scan.CHECKS,
) -> ValidationReport:
    """Check `data` and the held-out parts given with it. `objective` unset: the one that the rows are written for.

    Raises DatasetError where nothing can be read at all; everything else is an issue of the report.
    """
    size = _BLOCK_OF_MANY if _COMPARING in checks else _BLOCK
    opened: dict[Split, Source] = {"train": open_source(_plain(data), block_bytes=size)}
    if validation is not None:
        opened["validation"] = open_source(_plain(validation), block_bytes=size)
    if test is not None:
        opened["test"] = open_source(_plain(test), block_bytes=size)
    total = _sum(source.total_bytes for source in opened.values())
    source = opened["train"]
    blocks = iter(source)
    head = next(blocks, None)  # the objective, where it is not given, is that of the first rows
    dialect = _dialect(head)
    kind = objective or (_OBJECTIVE[dialects.DIALECTS[dialect].kind] if dialect else "sft")
    context = replace(context, objective=kind)

    def every() -> Iterator[tuple[Split, Block]]:
        for block in chain([] if head is None else [head], blocks):
            yield "train", block
        for split, part in opened.items():
            if split != "train":
                for block in part:
                    yield split, block

    pairs = every()
    if workers is None:
        ahead, more = _ahead(pairs)
        pairs = chain(ahead, pairs)
        workers = os.cpu_count() or 1 if more else 1
    spill = Path(tempfile.mkdtemp(prefix="tuneport-check-"))
    try:
        whole = scan.scan(
            pairs,
            replace(context, spill=spill),
            workers=workers,
            ray=ray,
            progress=None if progress is None else lambda done, rows: progress(done, total, rows),
            names=checks,
        )
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    if not sum(whole.rows.values()) and not whole.findings.issues:
        raise DatasetError(f"{describe(data)} is empty: a dataset needs at least one row.", source=describe(data))
    rows = whole.rows["train"]
    counts = dict(whole.findings.counts.most_common())
    ledger = _ledger(whole)
    return ValidationReport(
        source=data.source if isinstance(data, Dataset) else describe(data),
        target=context.target.model if context.target else None,
        objective=context.objective,
        dialect=dialect or "unknown",
        detected=_detected(source, dialect, whole),
        rows=rows,
        splits=dict(whole.rows),
        issues=whole.findings.issues,
        counts=counts,
        stats=whole.stats,
        ledger=ledger,
        score=score(counts, ledger),
        privacy=context.privacy,
        not_checked=whole.skipped,
    )


def _ahead(pairs: Iterator[tuple[Split, Block]]) -> tuple[list[tuple[Split, Block]], bool]:
    """The first blocks, and whether they came to so much that children pay: a list or a packed file does not tell its size."""
    read: list[tuple[Split, Block]] = []
    weight = 0
    for split, block in pairs:
        read.append((split, block))
        weight += max(block.length, len(block.data or b""), len(block.rows or ()) * _ROW)
        if weight >= _SMALL:
            return read, True
    return read, False


def _plain(data: Any) -> Any:
    """What `open_source` reads: a Dataset that was read already gives what it was made from."""
    return data.unread if isinstance(data, Dataset) else data


def objective_of(data: Any) -> str:
    """The kind of objective that the rows are written for, told by the first of them."""
    dialect = _dialect(next(iter(open_source(_plain(data))), None))
    return _OBJECTIVE[dialects.DIALECTS[dialect].kind] if dialect else "sft"


def _sum(sizes: Iterator[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


def _dialect(head: Block | None) -> str | None:
    """That of most of the first rows."""
    if head is None:
        return None
    found = Counter(name for row in parse(head, Findings())[:200] if (name := dialects.detect(row.data)))
    return found.most_common(1)[0][0] if found else None


def _detected(source: Source, dialect: str | None, whole: scan.Whole) -> str:
    rows = whole.rows["train"]
    what = f"{dialect} rows ({dialects.DIALECTS[dialect].kind})" if dialect else "rows of no known dialect"
    lists = list(dict.fromkeys(source.under.values()))
    under = f" (the list under {', '.join(lists[:3])}{', …' if len(lists) > 3 else ''})" if lists else ""
    return f"{source.format}{under}, {rows:,} {what}"


def _ledger(whole: scan.Whole) -> LedgerTotals:
    """Where the training rows would go; of the reasons, those that stop a row."""
    tokens = whole.stats.get("tokens", {})
    rows = whole.rows["train"] + whole.unread["train"]
    stops = {issue.code for issue in whole.findings.issues if issue.severity == "error" and issue.row is not None}
    reasons = {code: count for code, count in whole.findings.counts.most_common() if code in stops}
    if tokens.get("rows_dropped"):
        reasons["tokens.answer-cut"] = tokens["rows_dropped"]
    if whole.long["train"]:
        reasons["tokens.too-long"] = whole.long["train"]
    return LedgerTotals(
        rows=rows,
        used=rows - whole.bad["train"] - whole.long["train"],
        truncated=whole.long["train"],
        dropped=whole.bad["train"],
        tokens=tokens.get("total"),
        trainable_tokens=tokens.get("trainable"),
        reasons=reasons,
    )
