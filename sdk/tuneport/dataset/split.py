"""Splits that are the same for the same seed, and that a row stays in when others are added.

Each row's place is a number in [0, 1) drawn from the seed and the row's normalised prompt, so rows that ask the same thing
always share a split: a duplicate cannot leak from training into the test. Rows with a `group` (a customer, a document) are
placed by it instead, so that no group stands in two splits.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, cast


def normalised(value: Any) -> str:
    """Text that is equal for rows that differ in case, width, Unicode form or whitespace only."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digest(parts: Sequence[Any]) -> str:
    joined = "\x1f".join(normalised(part) for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def _turn(message: Mapping[str, Any]) -> list[Any]:
    return [message.get("role", ""), message.get("content") or "", message.get("tool_calls") or ""]


def _turns(turns: Any) -> list[Any]:
    found = cast("list[Any]", turns) if isinstance(turns, list) else []
    return [part for turn in found if isinstance(turn, Mapping) for part in _turn(cast("Mapping[str, Any]", turn))]


def row_hash(row: Mapping[str, Any]) -> str:
    """Normalised hash (32 hex digits) of a canonical row of any kind: roles, contents and tool calls, or its text."""
    if "messages" in row:
        return _digest(_turns(row["messages"]))[:32]
    if "text" in row:
        return _digest([row["text"]])[:32]
    answers = [part for key in ("preferred_output", "non_preferred_output") for part in ("\x1e", *_turns(row.get(key)))]
    return _digest([*_turns(_prompt(row)), *answers])[:32]


def _prompt(row: Mapping[str, Any]) -> Any:
    given = row.get("input")
    return cast("Mapping[str, Any]", given).get("messages") if isinstance(given, Mapping) else None


def prompt_hash(row: Mapping[str, Any]) -> str:
    """Normalised hash of what comes before the last assistant turn; of a preference, its prompt; of text, all of it."""
    if "messages" not in row:
        return _digest(_turns(_prompt(row)))[:32] if "input" in row else row_hash(row)
    messages = row["messages"]
    last = max((i for i, m in enumerate(messages) if m.get("role") == "assistant"), default=len(messages))
    return _digest(_turns(messages[:last]))[:32]


def place(row: Mapping[str, Any], seed: int) -> float:
    """Where in [0, 1) the row falls for this seed: by its `group` where it has one, else by its prompt."""
    group = row.get("group")
    key = prompt_hash(row) if group is None else f"group:{group}"
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:13], 16) / 16**13


def group_of(row: Mapping[str, Any], key: str) -> str | None:
    """The value under `key` of a row as it was read; a dot goes into an object, as in `metadata.customer`."""
    value: Any = row
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = cast("Mapping[str, Any]", value)[part]
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def split(
    rows: Sequence[Mapping[str, Any]], *, validation: float | None, test: float | None, seed: int
) -> dict[str, list[Mapping[str, Any]]]:
    """`{"train": …, "validation": …, "test": …}`, in input order. A fraction that would come out empty takes one prompt."""
    places = [place(row, seed) for row in rows]
    cuts: list[tuple[str, float, float]] = []
    low = 0.0
    for name, fraction in (("test", test), ("validation", validation)):
        if fraction:
            cuts.append((name, low, low + fraction))
            low += fraction
    names = ["train"] * len(rows)
    for name, start, end in cuts:
        for i, p in enumerate(places):
            if start <= p < end:
                names[i] = name
    for name, start, _ in cuts:
        if name in names:
            continue
        # A small dataset: take the nearest training prompt, with all rows that share it, and leave one to train on.
        free = sorted(
            {p for p, taken in zip(places, names, strict=True) if taken == "train"}, key=lambda p: abs(p - start)
        )
        if len(free) > 1:
            names = [name if p == free[0] else taken for p, taken in zip(places, names, strict=True)]
    parts: dict[str, list[Mapping[str, Any]]] = {"train": [], "validation": [], "test": []}
    for name, row in zip(names, rows, strict=True):
        parts[name].append(row)
    return parts
