"""From a block of JSONL to rows, with every problem that a single line can have.

Clean lines cost little more than `orjson.loads`: as they are read, the plain conversations among them are known at a glance,
and one look over the whole block says whether any line may hold a duplicate key or a NUL. Only then is each line looked
at (`line_reader`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tuneport.dataset.checks.base import Findings
from tuneport.dataset.line_reader import BOM, ESCAPED, MAX_DEPTH, MAX_ROW, LineReader, depth
from tuneport.dataset.rows import Row
from tuneport.dataset.shape import plain_turns

__all__ = ["BOM", "MAX_DEPTH", "MAX_ROW", "Block", "Note", "depth", "parse"]

_GONE: Mapping[str, Any] = {}
_QUOTE, _BACKSLASH, _COLON = b'"\\:'


class Note(NamedTuple):
    """A problem found while the source was cut into blocks, to be told with the block's own."""

    code: str
    message: str
    row: int | None = None
    path: str | None = None
    fix: str | None = None


@dataclass(frozen=True)
class Block:
    """A picklable unit of work. One of three: a place in a plain local file (`path`, `offset`, `length`), JSONL bytes
    (`data`), or rows that JSON cannot say as they are (`rows`). `length` is always what it takes of the file, in bytes.
    """

    source: str
    first: int  # number of its first row (JSONL: line), 1-based; each file counts its own
    lines: int
    path: str | None = None
    offset: int = 0
    length: int = 0
    data: bytes | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    first_of_file: bool = False
    notes: tuple[Note, ...] = ()


Say = Callable[[list[dict[str, Any]]], Mapping[str, Any] | None]


def parse(block: Block, findings: Findings, say: Say | None = None) -> list[Row]:
    """The block's rows; what is wrong with a line goes into `findings`. A row that can be read is returned in spite of it.

    `say` makes another row of a plain conversation's turns, using them up: it is written as `Row.said`, and the row's own data
    are let go, so that a row and what becomes of it lie in the core's cache. Where it says None, the row stays.
    """
    reader = LineReader(block.source, findings)
    for note in block.notes:
        reader.add(*note)
    if block.rows is not None:
        given = (reader.given(number, row) for number, row in enumerate(block.rows, block.first))
        return [row for row in given if row is not None]
    data = block.data
    if block.path is not None:
        try:
            with Path(block.path).open("rb") as file:
                file.seek(block.offset)
                data = file.read(block.length)
        except OSError as error:
            reader.add("file.unreadable", f"cannot be read: {error.strerror or error}.", block.first)
            return []
        if len(data) < block.length:
            reader.add("file.unreadable", "the file became shorter while it was read.", block.first)
    if not data:
        return []
    if block.first_of_file:
        data = reader.mark(data)
    return _lines(data, block.first, reader, say)


def _lines(data: bytes, first: int, reader: LineReader, say: Say | None) -> list[Row]:
    if data.isspace():
        reader.blank(data.count(b"\n") + (not data.endswith(b"\n")), first)
        return []
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if b"\r" in data:
        lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    if len(data) > MAX_ROW and any(len(line) > MAX_ROW for line in lines):
        return reader.each(lines, first)
    rows: list[Row] = []
    others: list[Row] = []  # than plain conversations
    quotes = 0  # that the plain ones have
    loads, dumps, read = orjson.loads, orjson.dumps, rows.append
    try:
        for number, line in enumerate(lines, first):
            value: Any = loads(line)
            found: Any = value
            if type(found) is not dict:
                return reader.each(lines, first)
            if len(value) == 1 and (turns := plain_turns(value)):
                quotes += 2 + 8 * turns  # around "messages", and around two keys and two texts a turn
                if say is not None and (other := say(value["messages"])) is not None:
                    read(Row(number, _GONE, line, "openai", plain=True, said=dumps(other)))
                else:
                    read(Row(number, value, line, "openai", "chat", value, plain=True))
            else:
                row = Row(number, value, line)
                others.append(row)
                read(row)
    except orjson.JSONDecodeError:
        return reader.each(lines, first)
    return rows if _ordinary(data, quotes, others) else reader.each(lines, first)


def _ordinary(data: bytes, quotes: int, others: Sequence[Row]) -> bool:
    """Whether no row can hold a key twice, a NUL, or too many levels. Exact but for rows that are then looked at one by one.

    A key that stands twice is lost on reading, and with it the quotes around it. Of plain conversations it is known how many
    there must be. The others are written as text again, where the colon is lost with the key: every other colon is a key's
    or in a string, and stays. So as many as before mean that none was lost, unless one was written as an escape.
    """
    found, unicode = _quotes(data)
    if unicode and ESCAPED.search(data) is not None:
        return False
    if others:
        apart = b"\n".join([row.raw for row in others])
        try:
            written = orjson.dumps([[[[row.data for row in others]]]])
        except TypeError:  # too many levels
            return False
        if _count(apart, _COLON) != _count(written, _COLON):
            return False
        found -= _quotes(apart)[0] if quotes else found
    return found == quotes


def _quotes(data: bytes) -> tuple[int, bool]:
    """How many quotes begin or end a string, and whether anything is written as `\\u`.

    A quote after an odd number of backslashes stands within a string.
    """
    import numpy as np

    text = np.frombuffer(data, np.uint8)
    escapes = np.flatnonzero(text[:-1] == _BACKSLASH)
    after = text[escapes + 1]
    unicode = bool((after == ord("u")).any())
    if (after == _BACKSLASH).any():
        ends = np.flatnonzero(np.diff(escapes, append=len(text) + 1) != 1)  # of runs of backslashes
        odd = np.diff(ends, prepend=-1) % 2 == 1
        after = after[ends[odd]]
    return _count(data, _QUOTE) - int(np.count_nonzero(after == _QUOTE)), unicode


def _count(data: bytes, character: int) -> int:
    import numpy as np  # three times as fast as bytes.count for one character

    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == character))
