"""Texts folded for comparison, and the 64-bit keys by which rows are found to be equal."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import orjson

from tuneport.dataset.rows import Row
from tuneport.dataset.split import normalised

_SPACES = b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"  # what str.split takes for whitespace, besides the blank
_FOLD = bytes.maketrans(
    bytes(range(ord("A"), ord("Z") + 1)) + _SPACES, bytes(range(ord("a"), ord("z") + 1)) + b" " * len(_SPACES)
)
# A run begins with the ASCII character before it, which a combining mark may join; no ASCII character joins what is before.
_RUN = re.compile("[\x00-\x7f]?[^\x00-\x7f]+")
# Full-width punctuation, common in Chinese and Japanese: NFKC takes 20 times as long where it must change anything.
_WIDE = [(wide, unicodedata.normalize("NFKC", wide)) for wide in "，！？：；（）　"]
_runs: dict[str, str] = {}
_roles: dict[tuple[str, ...], bytes] = {}


def folded(text: str) -> bytes:
    """`split.normalised(text)` in UTF-8, several times as fast."""
    if text.isascii():
        data = text.encode().translate(_FOLD)
    else:
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > 1.3 * len(text):
            for wide, plain in _WIDE:
                text = text.replace(wide, plain)
            return normalised(text).encode("utf-8", "surrogatepass")
        data = _RUN.sub(_run, text).encode("utf-8", "surrogatepass").translate(_FOLD)
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data.strip(b" ")


def _run(match: re.Match[str]) -> str:
    run = match[0]
    known = _runs.get(run)
    if known is None:
        known = unicodedata.normalize("NFKC", run).casefold()
        known = "".join([" " if c.isspace() else c for c in known])
        if len(_runs) < 50_000 and len(run) < 20:
            _runs[run] = known
    return known


def key(data: bytes) -> int:
    """64 bits of BLAKE2b; two of a hundred million rows share one by chance with probability 0.0003."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Keys(NamedTuple):
    """Of one row. `prompt` and `answer` together stand for the row, as `split.row_hash` does.

    Rows of one `question` and different `answer` contradict each other; 0: nothing is asked, or nothing is trained.
    `text` is what near duplicates are sought in: everything folded but the system turn, which whole datasets share.
    """

    prompt: int
    answer: int
    question: int
    text: bytes


def keys(row: Row) -> Keys | None:
    """None where the row has no canonical form or holds no turns."""
    data = row.canonical
    if data is None:
        return None
    if row.kind == "text":
        text = data.get("text")
        if not isinstance(text, str):
            return None
        plain = folded(text)
        return Keys(0, key(plain), 0, plain)
    if row.kind == "preference":
        return _preference(data)
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    turns = cast("list[Any]", messages)
    said = _said(turns)
    last = len(turns)
    if row.kind == "chat":
        last = next((i for i in range(last - 1, -1, -1) if said.roles[i] == "assistant"), last)
    prompt, answer = said.key(0, last), said.key(last, len(turns))
    question = 0
    if row.kind == "chat" and last < len(turns) and said.asks(last) and turns[last].get("weight") != 0:
        tools = data.get("tools")
        question = key(prompt.to_bytes(8, "little") + _plain(tools)) if tools else prompt
    if row.kind == "reinforcement":
        rest = {name: data[name] for name in data if name not in {"messages", "tools"}}
        answer = key(folded(_plain(rest).decode())) if rest else 0
    return Keys(prompt, answer, question, said.text())


class _Said:
    """The folded contents of turns, joined by NUL, with their roles and calls."""

    __slots__ = ("calls", "data", "parts", "roles")

    def __init__(self, roles: tuple[str, ...], data: bytes, parts: list[bytes], calls: Mapping[int, bytes]) -> None:
        self.roles, self.data, self.parts, self.calls = roles, data, parts, calls

    def key(self, start: int, stop: int) -> int:
        whole = b"\x00".join(self.parts[start:stop]) + _blob(self.roles[start:stop])
        if self.calls:
            whole += b"\x1e".join([b"%d:%b" % (i - start, self.calls[i]) for i in self.calls if start <= i < stop])
        return key(whole)

    def asks(self, stop: int) -> bool:
        """A user or a tool says something before `stop`."""
        return any(self.parts[i] and self.roles[i] not in _SILENT for i in range(stop - 1, -1, -1))

    def text(self) -> bytes:
        begin = 0
        while begin < len(self.roles) and self.roles[begin] in _SYSTEM:
            begin += 1
        text = self.data if not begin else b"\x00".join(self.parts[begin:])
        return b"\x00".join([text, *self.calls.values()]) if self.calls else text


_SYSTEM = frozenset({"system", "developer"})
_SILENT = _SYSTEM | {"assistant"}


def _said(turns: list[Any]) -> _Said:
    try:  # the ordinary row, in few steps
        contents = [turn["content"] for turn in turns]
        roles = tuple([turn["role"] for turn in turns])
        joined = "\x00".join(contents)
        calls: dict[int, bytes] = {
            i: _normalised(turn["tool_calls"]) for i, turn in enumerate(turns) if turn.get("tool_calls")
        }
        _blob(roles)
    except (KeyError, TypeError, AttributeError):
        roles, joined, calls, contents = _read(turns)
    if joined.count("\x00") == len(contents) - 1:
        data = folded(joined)
        if b"\x00 " in data:
            data = data.replace(b"\x00 ", b"\x00")
        if b" \x00" in data:
            data = data.replace(b" \x00", b"\x00")
        return _Said(roles, data, data.split(b"\x00"), calls)
    parts = [folded(content) for content in contents]
    return _Said(roles, b"\x00".join(parts), parts, calls)


def _read(turns: list[Any]) -> tuple[tuple[str, ...], str, dict[int, bytes], list[str]]:
    """Turns with calls and no content, lists of parts, and what is not a turn at all."""
    roles: list[str] = []
    contents: list[str] = []
    calls: dict[int, bytes] = {}
    for number, given in enumerate(turns):
        turn = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        role, content, called = turn.get("role", ""), turn.get("content") or "", turn.get("tool_calls")
        roles.append(role if isinstance(role, str) else _normalised(role).decode("utf-8", "surrogatepass"))
        text = content if isinstance(content, str) else _normalised(content).decode("utf-8", "surrogatepass")
        contents.append(text)
        if called:
            calls[number] = _normalised(called)
    return tuple(roles), "\x00".join(contents), calls, contents


def _blob(roles: tuple[str, ...]) -> bytes:
    known = _roles.get(roles)
    if known is None:
        known = b"\x1e" + b"\x1f".join([folded(role) for role in roles])
        if len(_roles) < 10_000:
            _roles[roles] = known
    return known


def _preference(data: Mapping[str, Any]) -> Keys | None:
    given = data.get("input")
    turns = cast("Mapping[str, Any]", given).get("messages") if isinstance(given, Mapping) else None
    lists = turns, data.get("preferred_output"), data.get("non_preferred_output")
    if not all(isinstance(value, list) for value in lists):
        return None
    turns, better, worse = cast("tuple[list[Any], list[Any], list[Any]]", lists)
    said = _said([*turns, *better, *worse])
    middle = len(turns) + len(better)
    prompt, first = said.key(0, len(turns)), said.key(len(turns), middle)
    second = said.key(middle, middle + len(worse))
    pair = [value.to_bytes(8, "little") for value in (first, second)]
    # The same two answers in the other order contradict; two pairs for one prompt do not.
    question = (
        key(prompt.to_bytes(8, "little") + min(pair) + max(pair)) if first != second and said.asks(len(turns)) else 0
    )
    return Keys(prompt, key(b"".join(pair)), question, said.text())


def _normalised(value: Any) -> bytes:
    try:
        return normalised(value).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):  # not JSON: a value from a frame or of another type
        return folded(repr(value))


def _plain(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a lone surrogate, a number of more than 64 bits, or no JSON at all
        return json.dumps(value, sort_keys=True, default=repr).encode()
