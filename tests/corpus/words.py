"""Seeded text: a small grammar whose choices multiply, so that a hundred rows are a hundred different rows.

`(a|b)` is a choice, `{name}` a draw from the pool of that name or a value that the caller has bound. No row is kept that shares
more than half of its word triples with an earlier one of its set: people's data has duplicates, but a clean set must not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

Row = dict[str, Any]
T = TypeVar("T")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_SLOT = re.compile(r"\{([a-z_]+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeioAEIO]|u(?!ni|se|ti|s\b))")
_SENTENCE = re.compile(r"(^|[.!?]\s+|\n)([a-zäöüáéíóúñ])")


class Words:
    """A source of text for one seed. `pools` maps a name to its alternatives."""

    def __init__(self, seed: int | str, pools: Mapping[str, Sequence[str]] | None = None) -> None:
        self.rng = random.Random(seed)
        self.pools: Mapping[str, Sequence[str]] = pools or {}

    def pick(self, options: Sequence[T]) -> T:
        return self.rng.choice(options)

    def some(self, options: Sequence[T], count: int) -> list[T]:
        return self.rng.sample(options, count)

    def number(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def code(self, shape: str) -> str:
        """`A` is a letter, `9` a digit, anything else itself."""
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
        return "".join(self.pick(letters) if c == "A" else str(self.number(0, 9)) if c == "9" else c for c in shape)

    def draw(self, text: str, **bound: Any) -> str:
        """`text` with each choice made and each slot filled, as it stands."""
        for _ in range(40):
            before = text
            text = _CHOICE.sub(lambda m: self.pick(m[1].split("|")), text)
            text = _SLOT.sub(lambda m: str(bound[m[1]]) if m[1] in bound else self._from_pool(m), text)
            if text == before:
                return text
        raise ValueError(f"the grammar does not end: {text!r}")

    def say(self, text: str, **bound: Any) -> str:
        """The same as sentences: white space, articles and capitals put right."""
        text = re.sub(r"[ \t]+", " ", self.draw(text, **bound)).strip()
        text = _ARTICLE.sub(r"\1n ", re.sub(r"\s+([,.;:!?])", r"\1", text))
        return _SENTENCE.sub(lambda m: m[1] + m[2].upper(), text)

    def _from_pool(self, match: re.Match[str]) -> str:
        if match[1] not in self.pools:
            raise KeyError(f"no pool named {match[1]!r}")
        return self.pick(self.pools[match[1]])


def lines(text: str) -> list[str]:
    """The lines of a block, without those that are blank."""
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def said(row: Any) -> str:
    """Everything that a row says, in order, whatever its shape; not its keys, roles or ids."""
    if isinstance(row, str):
        return row
    if isinstance(row, Mapping):
        fields = cast("Mapping[str, Any]", row)
        return " ".join(said(fields[key]) for key in fields if key not in {"role", "id", "type", "tools", "system"})
    if isinstance(row, list):
        items = cast("list[Any]", row)
        return " ".join(said(item) for item in items if not (isinstance(item, Mapping) and "system" in item.values()))
    return ""


def shingles(text: str, size: int = 3) -> frozenset[str]:
    """The word triples of a text; its character triples where words are not set apart."""
    words = re.findall(r"\w+", text.casefold())
    if len(words) < 8 or len(text) / len(words) > 12:
        letters = "".join(words)
        return frozenset(letters[i : i + size] for i in range(max(1, len(letters) - size + 1)))
    return frozenset(" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1)))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity."""
    return len(one & other) / len(one | other) if one or other else 1.0


def asked(row: Row) -> str:
    """What comes before the first answer; of plain text, its beginning."""
    turns: list[Row] = row.get("messages") or row.get("input", {}).get("messages") or []
    before: list[Any] = [turn["content"] for turn in turns if turn["role"] == "user"][:1]
    return " ".join(said(before).split()).casefold() if turns else said(row)[:200]


def distinct(make: Callable[[int], Row], count: int, limit: float = 0.5) -> list[Row]:
    """`count` rows of `make(number)`: none overlaps with an earlier one by more than `limit`, none asks the same thing."""
    rows: list[Row] = []
    seen: list[frozenset[str]] = []
    prompts: set[str] = set()
    tries = 0
    while len(rows) < count:
        tries += 1
        if tries > 40 * count:
            raise ValueError(f"only {len(rows)} of {count} rows are distinct: the grammar is too small")
        row = make(len(rows))
        here = shingles(said(row))
        if asked(row) not in prompts and all(overlap(here, other) <= limit for other in seen):
            rows.append(row)
            seen.append(here)
            prompts.add(asked(row))
    return rows


def chat(*turns: tuple[str, str], **rest: Any) -> Row:
    """A canonical row from (role, content)."""
    return {"messages": [{"role": role, "content": content} for role, content in turns], **rest}
