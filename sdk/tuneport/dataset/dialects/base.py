"""What a dialect is, and what all of them share: losses, paths, JSON texts, ids of calls.

A dialect reads a row as somebody wrote it into the canonical row (`rows.Row` says what that is) and writes a canonical row in
its own words. JSON values (a call's arguments, a tool's result that is an object) are carried as values: spaces between their
tokens are not kept. Ids of calls are labels: which result answers which call is kept, the label only where the dialect has one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import orjson

from tuneport.dataset.rows import Kind

Spots = dict[str, str]  # canonical path → path as written
CHAT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})
PREFERENCE_KEYS = frozenset({"input", "preferred_output", "non_preferred_output"})


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that the target's dialect cannot say. `fatal`: without it the row would be another row, so none is written."""

    path: str  # canonical
    what: str
    why: str
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.what}: {self.why}"


class Cannot(Exception):
    """Raised while a row is written: it cannot be said at all. Stays inside this package."""

    def __init__(self, path: str, what: str, why: str) -> None:
        super().__init__(what)
        self.loss = Loss(path, what, why, fatal=True)


class Dialect(Protocol):
    """How one provider or tool writes its rows."""

    name: str
    kind: Kind

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Looks at keys and at the first turn's shape; no deep walk."""
        ...

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The canonical row; shares its parts with `row`. Never raises: what is wrong is kept for the checks to name."""
        ...

    def write(self, canonical: Mapping[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
        """The row in this dialect and all that it leaves out. With a fatal loss, the row is empty. Never raises."""
        ...

    def write_plain(self, turns: list[dict[str, Any]]) -> dict[str, Any] | None:
        """`write` for the turns of a plain conversation (`dataset.shape`), several times as fast. The turns are used up, except
        with None: ask `write`.
        """
        ...

    def where(self, path: str, row: Mapping[str, Any]) -> str:
        """A canonical path as the path in `row`, which is as written."""
        ...


class Traced:
    """A dialect whose paths are found by reading the row again and noting where each piece came from."""

    name: str
    kind: Kind

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        raise NotImplementedError

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        raise NotImplementedError

    def matches(self, row: Mapping[str, Any]) -> bool:
        from tuneport.dataset.dialects.detect import detect  # which knows every dialect

        return detect(row) == self.name

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return self.trace(row, None)

    def write(self, canonical: Mapping[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
        losses: list[Loss] = []
        try:
            return self.compose(canonical, losses), losses
        except Cannot as cannot:
            return {}, [*losses, cannot.loss]

    def write_plain(self, turns: list[dict[str, Any]]) -> dict[str, Any] | None:
        del turns
        return None

    def where(self, path: str, row: Mapping[str, Any]) -> str:
        spots: Spots = {}
        self.trace(row, spots)
        return relocate(path, spots, row)


# Paths


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_NOWHERE = object()


def value_at(row: Any, path: str, default: Any = None) -> Any:
    """What stands at `path`, as in `messages[2].content`."""
    found = row
    for key, index in _STEP.findall(path):
        if index:
            items = cast("list[Any]", found) if isinstance(found, list) else []
            if int(index) >= len(items):
                return default
            found = items[int(index)]
        elif isinstance(found, Mapping) and key in found:
            found = cast("Mapping[str, Any]", found)[key]
        else:
            return default
    return found


def relocate(path: str, spots: Spots, row: Any) -> str:
    """By the longest part of `path` whose place is known. A rest that does not exist there is left off."""
    head = path
    while head:
        if (place := spots.get(head)) is not None:
            whole = place + path[len(head) :]
            return whole if whole == place or value_at(row, whole, _NOWHERE) is not _NOWHERE else place
        head = head[: max(head.rfind("."), head.rfind("["), 0)]
    return path


# Values


def text_of(value: Any) -> Any:
    """JSON text of a value, compact; the value itself where it has none."""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):  # over 64 bits, a lone surrogate, nested too deeply
        try:
            return json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return value


def line_of(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSONL, without its end. ValueError where it cannot be written."""
    try:
        return orjson.dumps(row)
    except (TypeError, ValueError):  # over 64 bits, a lone surrogate, nested too deeply
        try:
            return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except UnicodeEncodeError:  # what UTF-8 cannot carry stays an escape
            return json.dumps(row, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, RecursionError) as error:
            raise ValueError(str(error)) from None


def value_of(text: Any) -> Any:
    """The JSON value of a text; None where it is not JSON. Whole numbers stay exact, however long."""
    if not isinstance(text, str):
        return None
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def object_of(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return None
    value: Any = value_of(text)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def mapping(value: Any) -> Mapping[str, Any] | None:
    found: Any = value  # no cast() here and below: each is a call, and these are called for every part of every row
    return found if type(value) is dict or isinstance(value, Mapping) else None


def items(value: Any) -> list[Any]:
    found: Any = value
    return found if isinstance(value, list) else []


def rest(row: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """A row's further columns: what somebody wrote beside the dialect's own keys. A null is an empty cell."""
    return {key: value for key, value in row.items() if key not in known and value is not None}


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


class Calls:
    """Ids where a dialect has none, and which open call a result answers: the first of its name, or simply the first."""

    __slots__ = ("count", "open")

    def __init__(self) -> None:
        self.count = 0
        self.open: list[tuple[Any, Any]] = []  # id and name

    def made(self) -> str:
        self.count += 1
        return f"call_{self.count}"

    def answered(self, name: Any = None, *, by_name: bool = False) -> Any:
        """The id of the call that this result closes; a fresh one where there is none, which then pairs with nothing."""
        for index, (call, called) in enumerate(self.open):
            if not by_name or called == name:
                del self.open[index]
                return call
        return self.made()
