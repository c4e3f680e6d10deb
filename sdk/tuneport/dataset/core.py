"""`Dataset`: canonical rows with their numbers, and every issue found on the way."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneport.dataset import dialects, scan
from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.issues import Issue, errors
from tuneport.dataset.read import describe
from tuneport.dataset.rows import Batch, Kind, Row
from tuneport.dataset.sources import open_source, parse
from tuneport.dataset.split import group_of, row_hash
from tuneport.errors import DatasetError

# What makes a row unusable wherever it is trained. The other checks are `validate`'s.
_CHECKS = ("structure:StructureCheck", "tools:ToolsCheck")
_OBJECTIVE = {"chat": "sft", "preference": "dpo", "reinforcement": "reinforcement", "text": "cpt"}


class Dataset:
    """Rows in the canonical dialect, in memory. Each is `{"row": 12, "messages": […], "tools": […], "hash": "…"}`; the rows of
    a preference, reinforcement or text dataset hold what `rows.Row` says instead of messages.

    `Dataset(source)` takes a path, a glob, a URL, a list of rows, a `datasets.Dataset`, a data frame or any iterable of
    mappings. A row that cannot be used is in `.issues` with its number; nothing is dropped without one. With `group_by`, each
    row carries the value under that key as `group`, and splits keep a group together.
    """

    def __init__(self, source: Any, *, name: str | None = None, group_by: str | None = None) -> None:
        opened = open_source(source)
        self.source = name or describe(source)
        self.kind: Kind = "chat"
        self.changes: Any = None  # what `ValidationReport.fixed` has done
        findings = Findings(source=None, where=scan.where, kept=1 << 60)
        raw: list[tuple[str, Row]] = []
        for block in opened:
            of_block = Findings(source=block.source, where=scan.where, kept=1 << 60)
            rows = [scan.recognise(row) for row in parse(block, of_block)]
            # Half a surrogate pair is told, and its row is used: the tokenizer takes it for an unknown character.
            bad = {i.row for i in of_block.issues if i.severity == "error" and i.code != "file.lone-surrogate"}
            raw += [(block.source, row) for row in rows if row.number not in bad]
            findings.merge(of_block)
        self.group_by = group_by
        # The source itself is checked again where it can be read again; else its rows.
        self._again: Any = source if isinstance(source, (str, Path)) else [row.data for _, row in raw]
        self.dialect, self.rows = self._usable(raw, findings, several=len({name for name, _ in raw}) > 1)
        self.issues: list[Issue] = findings.issues

    @classmethod
    def of(cls, source: Any, *, group_by: str | None = None) -> Dataset:
        """`source` itself where it is a Dataset already."""
        return source if isinstance(source, Dataset) else cls(source, group_by=group_by)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"Dataset({self.source!r}, rows={len(self.rows)}, dialect={self.dialect!r}, errors={len(errors(self.issues))})"

    @property
    def unread(self) -> Any:
        """What it was made from, for whoever reads it again: a path, or the rows as they were."""
        return self._again

    def _usable(
        self, raw: Sequence[tuple[str, Row]], findings: Findings, *, several: bool
    ) -> tuple[str, list[dict[str, Any]]]:
        found = Counter(row.dialect for _, row in raw if row.dialect)
        if not found:
            if not raw:
                return "openai", []
            source, row = raw[0]
            raise DatasetError(
                f"{source}, row {row.number}: the keys {sorted(map(str, row.data))} belong to no known dialect. "
                'Write {"messages": [{"role": "user", …}, {"role": "assistant", …}]} or {"prompt": …, "completion": …}.',
                source=source,
                row=row.number,
            )
        dialect = found.most_common(1)[0][0]
        self.kind = dialects.DIALECTS[dialect].kind
        checks, _ = scan.make(Context(objective=_OBJECTIVE[self.kind]), _CHECKS)
        rows: list[dict[str, Any]] = []
        for source, row in raw:
            findings.source = source
            if row.dialect != dialect:
                message = f"the row's dialect is {row.dialect or 'unknown'}, that of most rows is {dialect}."
                findings.add("file.mixed-dialects", message, row, fix="write all rows alike.")
                continue
            findings.bad_rows.clear()
            for check in checks:
                check.scan(Batch(source, "train", [row]), findings)
            if row.number in findings.bad_rows or row.canonical is None:
                continue
            rows.append(self._kept(row, row.canonical, source if several else None))
        return dialect, rows

    def _kept(self, row: Row, canonical: Mapping[str, Any], source: str | None) -> dict[str, Any]:
        kept: dict[str, Any] = {"row": row.number}
        if self.kind == "chat":
            kept |= {key: canonical[key] for key in ("messages", "tools", "parallel_tool_calls") if key in canonical}
        else:
            kept |= canonical
        kept["hash"] = row_hash(canonical)
        if source is not None:
            kept["source"] = source
        if self.group_by is not None and (group := group_of(row.data, self.group_by)) is not None:
            kept["group"] = group
        return kept

    @property
    def fingerprint(self) -> str:
        """sha256 over the rows' exact content, in order (not over their numbers)."""
        digest = hashlib.sha256()
        for row in self.rows:
            content = {key: row[key] for key in row if key not in {"row", "hash", "source", "group"}}
            digest.update(json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        return digest.hexdigest()


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """One JSON object a line, UTF-8. A lone surrogate, which UTF-8 cannot carry, stays an escape."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            if any("\ud800" <= c <= "\udfff" for c in line):
                line = json.dumps(row, separators=(",", ":"))
            file.write(line + "\n")
