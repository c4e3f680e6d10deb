"""`Dataset`: canonical rows with their numbers, and every issue found on the way."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tuneport.dataset import canonical
from tuneport.dataset.issues import Issue, errors
from tuneport.dataset.read import RawRow, describe, read
from tuneport.dataset.split import row_hash
from tuneport.errors import DatasetError


class Dataset:
    """Rows in the canonical dialect. Each is `{"row": 12, "messages": […], "tools": […], "hash": "…"}`.

    `Dataset(source)` takes a path, a list of rows, a `datasets.Dataset`, a data frame or any iterable of mappings. A row that
    cannot be used is in `.issues` with its number; nothing is dropped without one.
    """

    def __init__(self, source: Any, *, name: str | None = None) -> None:
        raw, issues = read(source)
        self.source = name or describe(source)
        self.issues: list[Issue] = issues
        self.dialect, self.rows = self._canonical(raw)

    @classmethod
    def of(cls, source: Any) -> Dataset:
        """`source` itself where it is a Dataset already."""
        return source if isinstance(source, Dataset) else cls(source)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"Dataset({self.source!r}, rows={len(self.rows)}, dialect={self.dialect!r}, errors={len(errors(self.issues))})"

    def _canonical(self, raw: Sequence[RawRow]) -> tuple[str, list[dict[str, Any]]]:
        dialects = Counter(d for _, row in raw if (d := canonical.detect(row)))
        if not dialects:
            if not raw:
                return "openai", []
            number, row = raw[0]
            raise DatasetError(
                f"{self.source}, row {number}: the keys {sorted(map(str, row))} belong to no known dialect. "
                'Write {"messages": [{"role": "user", …}, {"role": "assistant", …}]} or {"prompt": …, "completion": …}.',
                source=self.source,
                row=number,
            )
        dialect = dialects.most_common(1)[0][0]
        rows: list[dict[str, Any]] = []
        for number, row in raw:
            found = canonical.detect(row)
            if found != dialect:
                self.issues.append(
                    Issue(
                        code="file.mixed-dialects",
                        message=f"the row's dialect is {found or 'unknown'}, that of most rows is {dialect}.",
                        source=self.source,
                        row=number,
                        fix="write all rows alike.",
                    )
                )
                continue
            item = canonical.to_canonical(row, dialect)
            found_issues = list(canonical.check(item, number, self.source))
            self.issues.extend(found_issues)
            if errors(found_issues):
                continue
            kept: dict[str, Any] = {
                key: item[key] for key in ("messages", "tools", "parallel_tool_calls") if key in item
            }
            rows.append({"row": number, **kept, "hash": row_hash(item)})
        return dialect, rows

    @property
    def fingerprint(self) -> str:
        """sha256 over the rows' exact content, in order (not over their numbers)."""
        digest = hashlib.sha256()
        for row in self.rows:
            content = {key: row[key] for key in row if key not in {"row", "hash"}}
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
