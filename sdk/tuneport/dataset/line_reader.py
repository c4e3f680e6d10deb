"""Line by line: every problem that a single line, or a row that was never text, can have.

What orjson refuses is read again by the json module to find out why. A whole number beyond 64 bits is read as a double, as most
readers of JSON do; `Row.raw` has its digits.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import orjson

from tuneport.dataset.checks.base import Findings, shown
from tuneport.dataset.rows import Row

MAX_ROW = 16 << 20  # bytes of one row
MAX_DEPTH = 250  # orjson writes at most 254 levels; whatever is read here can be written again
BOM = b"\xef\xbb\xbf"
ESCAPED = re.compile(rb"\\u00(?:00|3[aA])")  # a NUL, and a colon that only its escape shows

_PART = 1 << 20  # of a long line that is looked at in one step
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: no memory for going back over megabytes
_BOMS = re.compile(rb"(?:\xef\xbb\xbf)+")
_CONTROL = re.compile("[\x01-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPOILS = {"file.nul": re.compile("\0"), "file.lone-surrogate": _SURROGATE}
_AROUND = 20  # characters shown on each side of one that cannot stay
_WIDE = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


class LineReader:
    """Reads one line at a time; what is wrong goes into `findings`, and a row that can be read is returned in spite of it."""

    def __init__(self, source: str, findings: Findings) -> None:
        self._source = source
        self._findings = findings

    def add(self, code: str, message: str, row: int | None, path: str | None = None, fix: str | None = None) -> None:
        self._findings.add(code, message, row, path, fix=fix, source=self._source)

    def mark(self, data: bytes) -> bytes:
        """Without the byte order mark at the beginning of a file."""
        if not data.startswith(BOM):
            return data
        self.add("file.bom", "the file begins with a byte order mark (EF BB BF).", 1)
        return data[3:]

    def blank(self, count: int, first: int) -> None:
        """Blank lines, of which a small packed file may hold a thousand million: beyond those kept, only counted."""
        told = min(count, self._findings.kept)
        for number in range(first, first + told):
            self.add("file.blank-line", "the line is blank.", number)
        self._findings.counts["file.blank-line"] += count - told

    def each(self, lines: Sequence[bytes], first: int) -> list[Row]:
        """The lines' rows, where at least one line needs a word."""
        rows = (self._line(line, number) for number, line in enumerate(lines, first))
        return [row for row in rows if row is not None]

    def _line(self, line: bytes, number: int) -> Row | None:
        if not line or line.isspace():
            self.blank(1, number)
            return None
        if len(line) > MAX_ROW:
            self.add("file.row-too-large", f"the row is larger than {MAX_ROW >> 20} MB.", number)
            return None
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            return self._refused(line, number)
        return None if self._too_deep(line, number) else self._read(value, line, number)

    def _read(self, value: Any, line: bytes, number: int) -> Row | None:
        """What orjson has read, with what it passes over."""
        if not isinstance(value, dict):
            self._not_an_object(value, number)
            return None
        data = cast("dict[str, Any]", value)
        escapes = ESCAPED.findall(line)
        if rb"\u0000" in escapes:
            self._inspect(data, number)
        if any(escape != rb"\u0000" for escape in escapes) or orjson.dumps(data).count(b":") != line.count(b":"):
            self._duplicates(line.decode(), number)
        return Row(number, data, line)

    def given(self, number: int, data: Any) -> Row | None:
        """A row that was never text."""
        if not isinstance(data, Mapping):
            self._not_an_object(data, number)
            return None
        data = cast("Mapping[str, Any]", data)
        self._inspect(data, number)
        return Row(number, data)

    # What orjson refuses

    def _refused(self, line: bytes, number: int) -> Row | None:
        if mark := _BOMS.match(line):
            self.add("file.bom", "the line begins with a byte order mark (EF BB BF).", number)
            return self._line(line[mark.end() :], number)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            self._not_utf8(line, number, error)
            return None
        return self._slowly(line, text, number)

    def _slowly(self, line: bytes, text: str, number: int) -> Row | None:
        """By the json module, which reads more than JSON is: what it reads is kept, and what is wrong with it named."""
        if self._too_deep(text.encode(), number):
            return None
        try:
            value = json.loads(text, strict=False)
        except ValueError as error:
            if (nul := text.find("\0")) >= 0:  # between values, where no reader passes over it
                self.add("file.nul", f"a NUL character at column {nul + 1}.", number)
                rest = text.replace("\0", "")
                return self._slowly(line, rest, number) if rest.strip() else None
            self._not_json(error, text, number)
            return None
        if not isinstance(value, dict):
            self._not_an_object(value, number)
            return None
        data = cast("dict[str, Any]", value)
        said = self._inspect(data, number)
        said = self._duplicates(text, number) or said or (b"\0" in line and "\0" not in text)
        if not said or _CONTROL.search(text):
            try:
                json.loads(text.replace("\0", ""))
            except ValueError as error:
                self._not_json(error, text, number)
            else:
                if not said:
                    self.add("file.not-json", f"not JSON: {_excerpt(text)}", number)
        return Row(number, data, line)

    def _not_utf8(self, line: bytes, number: int, error: UnicodeDecodeError) -> None:
        fix = None
        for start, name in _WIDE:
            if line.startswith(start):
                fix = f"Save the file as UTF-8: this is {name}."
        if fix is None and line.count(0) > len(line) // 4:
            fix = "Save the file as UTF-8: this looks like UTF-16."
        at = error.start
        self.add("file.not-utf8", f"not UTF-8: byte 0x{line[at]:02x} at position {at + 1}.", number, fix=fix)

    def _not_json(self, error: ValueError, text: str, number: int) -> None:
        fix = None
        start = text.lstrip()
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg.removesuffix(' at')} at column {error.colno}"
            if start.startswith(("{'", "[{'")):
                fix = "Write the row with json.dumps: this is Python's own notation."
            elif error.msg == "Extra data" and error.doc[error.pos : error.pos + 1] == "{":
                fix = "Put each object on a line of its own."
            elif error.msg.startswith("Invalid control character"):
                fix = r"Write line breaks, tabs and control characters in strings as \n, \t and \u00XX."
            elif start.rstrip() in {"{", "["}:
                fix = "Write each row on one line: this is one object over several (jq -c . does it)."
        else:
            why = str(error).partition(";")[0].partition(" for integer")[0]  # a number of thousands of digits
        self.add("file.not-json", f"not JSON ({why}): {_excerpt(text)}", number, fix=fix)

    def _not_an_object(self, value: Any, number: int) -> None:
        named = {"list": "a list", "str": "a string", "bool": "true or false", "NoneType": "null"}
        kind = named.get(type(value).__name__, "a number")
        self.add("file.not-an-object", f"the row is {kind}, not an object: {shown(value)}", number)

    def _too_deep(self, line: bytes, number: int) -> bool:
        if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
            return False
        levels = depth(line)
        if levels <= MAX_DEPTH:
            return False
        self.add("file.too-deep", f"nested {levels:,} levels deep; at most {MAX_DEPTH} are read.", number)
        return True

    def _duplicates(self, text: str, number: int) -> bool:
        """Name each key that stands twice in one object; at most three of a row."""
        twice: list[tuple[dict[str, Any], str]] = []  # holds the objects, so that no id is used again

        def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            made = dict(pairs)
            if len(made) < len(pairs):
                seen: set[str] = set()
                for key, _ in pairs:
                    if key in seen:
                        twice.append((made, key))
                        break
                    seen.add(key)
            return made

        root = json.loads(text, object_pairs_hook=build, strict=False)
        if not twice:
            return False
        places = {id(node.value): node for node in _nodes(root)} if len(twice) < 1000 else {}
        for made, key in twice[:3]:
            node = places.get(id(made))
            inside = node.path() if node is not None else ""
            place = f"{inside}.{_name(key)}" if inside else _name(key)
            self.add(
                "file.duplicate-keys", f"the key {shown(key)} stands twice in {inside or 'the row'}.", number, place
            )
        return True

    def _inspect(self, data: Mapping[str, Any], number: int) -> bool:
        """Values that JSON or UTF-8 cannot carry: the first of each kind, and how many more."""
        found: dict[str, tuple[_Node, Any]] = {}
        counts: Counter[str] = Counter()
        for node in _nodes(data):
            for value in (node.value, node.key):
                if (code := _trouble(value)) is not None:
                    found.setdefault(code, (node, value))
                    counts[code] += len(_SPOILS[code].findall(value)) if isinstance(value, str) else 1
                    break
        for code, (node, value) in found.items():
            more = f" ({counts[code] - 1} more in this row)" if counts[code] > 1 else ""
            if isinstance(value, str):
                message = f"{_spoiled(code, value, more)}{' (a key)' if value is node.key else ''}."
            else:
                message = f"{_number(value)} is not JSON{more}."
            self.add(code, message, number, node.path())
        return bool(found)


class _Node:
    """A value in a row and how it was reached. A path is written only where it is needed."""

    __slots__ = ("key", "parent", "value")

    def __init__(self, value: Any, key: str | int | None = None, parent: _Node | None = None) -> None:
        self.value, self.key, self.parent = value, key, parent

    def path(self) -> str:
        parts: list[str] = []
        node: _Node | None = self
        while node is not None and node.key is not None:
            parts.append(f"[{node.key}]" if isinstance(node.key, int) else f".{_name(node.key)}")
            node = node.parent
        return "".join(reversed(parts)).lstrip(".")


def _name(key: str) -> str:
    """A key in a path: cut, and without what a report could not be written with."""
    return (key if len(key) <= 80 else key[:77] + "...").encode(errors="backslashreplace").decode()


def _nodes(root: Any) -> Iterator[_Node]:
    """Every value, in order of writing. Holds one iterator a level, not the values."""
    levels = [iter((_Node(root),))]
    while levels:
        node = next(levels[-1], None)
        if node is None:
            levels.pop()
            continue
        yield node
        if isinstance(node.value, (Mapping, list, tuple)):
            levels.append(_children(node))


def _children(node: _Node) -> Iterator[_Node]:
    value: Any = node.value
    items: Any = cast("Mapping[str, Any]", value).items() if isinstance(value, Mapping) else enumerate(value)
    return (_Node(item, key, node) for key, item in items)


def _trouble(value: Any) -> str | None:
    if isinstance(value, str):
        if "\0" in value:
            return "file.nul"
        return "file.lone-surrogate" if not value.isascii() and _SURROGATE.search(value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "file.not-a-number"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 1024:
        return "file.not-a-number"
    return None


def _spoiled(code: str, text: str, more: str) -> str:
    """The first character of a text that cannot stay, where it is, and what stands around it."""
    found = _SPOILS[code].search(text)
    at = found.start() if found else 0
    what = "a NUL character" if code == "file.nul" else f"half of a surrogate pair: \\u{ord(text[at]):04x}"
    start, end = max(0, at - _AROUND), at + 1 + _AROUND
    around = repr(("…" if start else "") + text[start:end] + ("…" if end < len(text) else ""))
    return f"{what} at character {at + 1:,}{more} in {around}"


def _number(value: Any) -> str:
    if isinstance(value, int):
        return "a whole number of more than 308 digits"
    return "NaN" if math.isnan(value) else "Infinity (or a number above 1.8e308)" if value > 0 else "-Infinity"


def depth(line: bytes) -> int:
    """How deep brackets nest outside strings; no recursion."""
    import numpy as np

    bare = np.frombuffer(_STRING.sub(b"", line), np.uint8)
    level = deepest = 0
    for start in range(0, len(bare), _PART):
        part = bare[start : start + _PART]
        opening = (part == ord("[")) | (part == ord("{"))
        closing = (part == ord("]")) | (part == ord("}"))
        levels = np.cumsum(opening.astype(np.int8) - closing.astype(np.int8), dtype=np.int32)
        deepest = max(deepest, level + int(levels.max()))
        level += int(levels[-1])
    return deepest


def _excerpt(text: str) -> str:
    text = text[:200].strip()
    return text if len(text) <= 60 else text[:57] + "..."
