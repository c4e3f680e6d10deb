"""Raw rows in memory, each with its number, for datasets that fit. Every unreadable row is an issue, and reading goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuneport.dataset.checks.base import Findings
from tuneport.dataset.issues import Issue
from tuneport.dataset.sources import describe, open_source, parse

__all__ = ["RawRow", "describe", "iter_lines", "read"]

RawRow = tuple[int, Mapping[str, Any]]


def read(source: Any) -> tuple[list[RawRow], list[Issue]]:
    """All rows of what `open_source` takes. A row with an error of its own is left out, and the error names it; but half of a
    surrogate pair can be written again, as an escape, so its row stays.

    Raises DatasetError where nothing can be read at all: missing, a directory, empty, an unknown format.
    """
    findings = Findings(kept=sys.maxsize)
    found = [(block.source, row) for block in open_source(source) for row in parse(block, findings)]
    bad = {
        (issue.source, issue.row)
        for issue in findings.issues
        if issue.severity == "error" and issue.code != "file.lone-surrogate"
    }
    return [(row.number, row.data) for name, row in found if (name, row.number) not in bad], findings.issues


def iter_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows that tuneport wrote itself: one JSON object a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
