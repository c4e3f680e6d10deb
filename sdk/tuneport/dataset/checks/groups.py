"""Groups that stand in two splits: rows of one customer or document are alike, and a score on them flatters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.rows import Batch
from tuneport.dataset.spill import Spill
from tuneport.dataset.split import group_of

_SPLITS = ("train", "validation", "test")
_NAMED = 1000  # group names that are remembered, to tell them


class GroupsCheck:
    """`split.group-leak` for each held-out row whose group is trained on. Without `Context.group_key`, nothing."""

    name: ClassVar[str] = "groups"
    codes: ClassVar[Sequence[str]] = ("split.group-leak",)
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        self.key = context.group_key
        self._seen = Spill(context.spill, ("row", "split"))
        self._names: dict[int, str] = {}
        self._sources: dict[str, str] = {}
        self._without = 0

    def scan(self, batch: Batch, findings: Findings) -> Any:
        del findings
        if self.key is None:
            return None
        groups = [(row.number, group_of(row.data, self.key)) for row in batch.rows]
        named = [(number, group) for number, group in groups if group is not None]
        return batch.split, batch.source, len(groups) - len(named), named

    def reduce(self, found: Any) -> None:
        if found is None:
            return
        split, source, without, named = found
        self._without += without
        self._sources[split] = source
        keys = [int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest(), "big") for _, group in named]
        for key, (_, group) in zip(keys, named, strict=True):
            if split != "train" and len(self._names) < _NAMED:
                self._names[key] = group
        place = _SPLITS.index(split)
        self._seen.add(self._seen.records(keys, [number for number, _ in named], [place] * len(named)))

    def finish(self, findings: Findings) -> dict[str, Any]:
        if self.key is None:
            return {}
        leaks = 0
        for group in self._seen.groups():
            first = int(group["split"].min())
            for record in group[group["split"] > first]:
                split = _SPLITS[int(record["split"])]
                leaks += 1
                name = self._names.get(int(record["key"]), "")
                findings.add(
                    "split.group-leak",
                    f"{self.key} {name!r} stands in {_SPLITS[first]} too.",
                    int(record["row"]),
                    self.key,
                    severity="error" if split == "test" else "warning",
                    source=self._sources.get(split),
                )
        return {"key": self.key, "leaks": leaks, "rows_without_group": self._without}
