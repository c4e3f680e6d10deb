"""What a grader reads of a row: OpenAI's `{{item.key}}`, in any of its strings, and `item["key"]` in a Python grader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from tuneport.dataset.checks.words import told

_TEMPLATE = re.compile(r"\{\{\s*item\.([\w.-]+)\s*\}\}")
_SUBSCRIPT = re.compile(r"\bitem\[\s*(?:\"([^\"\n]+)\"|'([^'\n]+)')\s*\]")
_DEEPEST = 50


@dataclass(frozen=True)
class Reference:
    """A field of the row, `path` as the grader writes it (dots lead into objects)."""

    path: str

    @property
    def key(self) -> str:
        return self.path.partition(".")[0]

    def missing(self, row: Mapping[str, Any]) -> str | None:
        """A sentence where the row does not hold it."""
        value: Any = row
        if self.path in row:  # a key may hold dots itself
            value = row[self.path]
        else:
            for name in self.path.split("."):
                value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
        if value is None:
            return f"the grader reads item.{self.path}, which the row does not have."
        if isinstance(value, str) and not value.strip():
            return f"the grader reads item.{self.path}, which is blank: {told(value)}."
        return None


def references(grader: Mapping[str, Any]) -> list[Reference]:
    """Every field of the row that the grader must find there, in the order in which it names them."""
    found: dict[str, Reference] = {}
    for text, source in _strings(grader, 0):
        names: list[str] = _TEMPLATE.findall(text)
        if source:
            names.extend(double or single for double, single in _SUBSCRIPT.findall(text))
        for name in names:
            found.setdefault(name, Reference(name))
    return list(found.values())


def _strings(value: Any, depth: int, key: str = "") -> Iterator[tuple[str, bool]]:
    """Every string in the grader, and whether it is a Python grader's program."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield value, key == "source"
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            yield from _strings(inner, depth + 1, str(name))
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _strings(inner, depth + 1, key)
