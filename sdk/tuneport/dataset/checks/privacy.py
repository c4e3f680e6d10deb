"""Secrets and personal data: found, shown masked, and replaced where that is asked for.

One pass over a batch's bytes (`signs`) says which rows the detectors must read. A message, an issue or a statistic shows four
characters of a match at most. Documented test cards and keys with EXAMPLE in them are counted, and raise nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import orjson

from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.contacts import find_contacts, find_phones
from tuneport.dataset.checks.identities import dense, find_identities
from tuneport.dataset.checks.secrets import find_secrets
from tuneport.dataset.checks.signs import Match, Sign, signs
from tuneport.dataset.codes import CODES
from tuneport.dataset.rows import Batch, Row

KINDS = (
    "secret",
    "card",
    "bank-account",
    "identity-number",
    "email",
    "ip-address",
    "phone",
)  # where two overlap: the first
PLACEHOLDERS = {
    "secret": "[SECRET]",
    "card": "[CARD]",
    "bank-account": "[BANK_ACCOUNT]",
    "identity-number": "[ID_NUMBER]",
    "email": "[EMAIL]",
    "ip-address": "[IP_ADDRESS]",
    "phone": "[PHONE]",
}
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}
_SHORTEST = 6  # characters that any match has
_DATA = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w=.+-]{1,80}){0,3};base64,[A-Za-z0-9+/=]*")
_FOREIGN = re.compile("[\uff10-\uff19\u0660-\u0669\u06f0-\u06f9]")
_DIGITS = {first + digit: str(digit) for first in (0xFF10, 0x0660, 0x06F0) for digit in range(10)}


def find(text: str) -> list[Match]:
    """Every secret and piece of personal data of a text, by place; they do not overlap."""
    return [match for match in _found(text) if not match.example]


def redact(text: str, kinds: Sequence[str] = KINDS, hint: str = "") -> tuple[str, list[str]]:
    """The text with placeholders such as `[CARD]` for what is of one of `kinds`, and the kind of each that was replaced.

    `hint` is the key that the text stands under, which may say what it is. JSON stays JSON.
    """
    replaced: list[str] = []
    while matches := [match for match in _found(text, hint=hint) if not match.example and match.kind in kinds]:
        plain = _replaced(text, matches)
        if text.lstrip()[:1] in {"{", "["} and _parsed(text) is not None and _parsed(plain) is None:
            for match in reversed(matches):  # one was a number, not part of a string
                before, placeholder, after = text[: match.start], PLACEHOLDERS[match.kind], text[match.end :]
                text = before + placeholder + after
                if _parsed(text) is None:
                    text = f'{before}"{placeholder}"{after}'
        else:
            text = plain
        replaced.extend(match.kind for match in matches)
    return text, replaced


def _replaced(text: str, matches: list[Match]) -> str:
    pieces, at = list[str](), 0
    for match in matches:
        pieces += (text[at : match.start], PLACEHOLDERS[match.kind])
        at = match.end
    return "".join([*pieces, text[at:]])


def redact_row(value: Any, kinds: Sequence[str] = KINDS, hint: str = "") -> tuple[Any, list[str]]:
    """Any JSON value with each of its texts redacted. A number becomes text; tool arguments stay the JSON that they are."""
    if isinstance(value, str):
        if hint == "arguments" and (parsed := _parsed(value)) is not None:
            redacted, found = redact_row(parsed, kinds)
            return (orjson.dumps(redacted).decode() if found else value), found
        return redact(value, kinds, hint)
    if isinstance(value, int) and not isinstance(value, bool):
        redacted, found = redact(str(value), kinds, hint)
        return (redacted if found else value), found
    if isinstance(value, Mapping):
        pairs = [(key, redact_row(item, kinds, key)) for key, item in cast("Mapping[str, Any]", value).items()]
        return {key: made for key, (made, _) in pairs}, [kind for _, (_, found) in pairs for kind in found]
    if isinstance(value, list):
        items = [redact_row(item, kinds, hint) for item in cast("list[Any]", value)]
        return [made for made, _ in items], [kind for _, found in items for kind in found]
    return value, []


class PrivacyCheck:
    """An error stops the job only where the data would leave the house and the user has not chosen otherwise."""

    name: ClassVar[str] = "privacy"
    codes: ClassVar[Sequence[str]] = tuple(f"privacy.{kind}" for kind in KINDS)
    requires: ClassVar[Sequence[str]] = ("stdnum", "phonenumbers")

    def __init__(self, context: Context) -> None:
        self.choice = context.privacy
        self.cloud = context.target is None or context.target.cloud
        self._found: Counter[str] = Counter()

    def scan(self, batch: Batch, findings: Findings) -> Counter[str] | None:
        lines = [_line(row) for row in batch.rows]
        if not lines:
            return None
        ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1)
        marked = signs(b"\n".join(lines), np.concatenate((np.zeros(1, np.int64), ends[:-1])))
        found: Counter[str] = Counter(rows=len(lines))
        for number in np.flatnonzero(marked).tolist():
            touched = self._row(batch.rows[number], int(marked[number]), findings, found)
            found["touched"] += touched
        return found

    def reduce(self, found: Any) -> None:
        if found is not None:
            self._found.update(cast("Counter[str]", found))

    def finish(self, findings: Findings) -> dict[str, Any]:
        del findings
        return {
            "privacy": self.choice,
            "uploaded": self.cloud,
            "rows": self._found["rows"],
            "rows_touched": self._found["touched"],
            "found": {kind: self._found[kind] for kind in KINDS if self._found[kind]},
            "examples": self._found["examples"],
        }

    def _row(self, row: Row, marked: int, findings: Findings, found: Counter[str]) -> bool:
        touched = False
        for path, hint, text in walk(row.canonical if row.canonical is not None else row.data):
            by_kind: dict[str, list[Match]] = {}
            for match in _found(text, marked, hint):
                if match.example:
                    found["examples"] += 1
                else:
                    by_kind.setdefault(match.kind, []).append(match)
            for kind, matches in by_kind.items():
                touched = True
                found[kind] += len(matches)
                self._report(row, path, kind, matches, findings)
        return touched

    def _report(self, row: Row, path: str, kind: str, matches: list[Match], findings: Findings) -> None:
        code = f"privacy.{kind}"
        more = f", and {len(matches) - 1} more in this text" if len(matches) > 1 else ""
        placeholder = PLACEHOLDERS[kind]
        rule = CODES[code].why
        if self.cloud and self.choice == "redact":
            fix = f"none needed: it becomes {placeholder} before anything is uploaded."
        elif self.cloud and self.choice == "allow":
            fix = "none, as privacy='allow' was chosen: it is uploaded as it is."
        else:
            serious = CODES[code].severity == "error"
            how = "--fix does" if serious else "--fix with --privacy redact does"
            fix = f"remove it, or replace it by {placeholder}: {how}."
        if kind == "secret":
            fix += " Revoke it: it was in a file."
        block = self.cloud and self.choice == "block"
        weaker = CODES[code].severity == "error" and not block
        findings.add(
            code,
            f"{matches[0].what} {matches[0].masked}{more}. {rule}",
            row,
            path,
            fix=fix,
            severity="warning" if weaker else None,
        )


def walk(value: Any) -> Iterator[tuple[str, str, str]]:
    """Path, key and text of everything written in a row, in order; long whole numbers as text. Rows may be deep."""
    stack: list[tuple[str, str, Any]] = [("", "", value)]
    while stack:
        path, key, item = stack.pop()
        if isinstance(item, str):
            if len(item) >= _SHORTEST and key not in {"role", "type"}:
                yield path, key, item
        elif isinstance(item, list):
            inner = cast("list[Any]", item)
            stack.extend((f"{path}[{i}]", key, inner[i]) for i in range(len(inner) - 1, -1, -1))
        elif isinstance(item, int):
            if abs(item) >= 10**7:
                yield path, key, str(item)
        elif isinstance(item, (dict, Mapping)):
            pairs = reversed(list(cast("Mapping[str, Any]", item).items()))
            stack.extend((f"{path}.{name}" if path else name, name, part) for name, part in pairs)


def _found(text: str, marked: int = Sign.ALL, hint: str = "") -> list[Match]:
    if "base64," in text:  # an image's bytes: blank, so that places stay
        text = _DATA.sub(lambda data: " " * len(data.group()), text)
    if not text.isascii() and _FOREIGN.search(text):
        text = text.translate(_DIGITS)
    every = list(find_secrets(text, marked, hint))
    if marked & Sign.DIGITS:
        for start, end in dense(text):
            every.extend(find_identities(text, start, end, hint))
            every.extend(find_phones(text, start, end))
    every.extend(find_contacts(text, marked))
    if len(every) < 2:
        return every
    every.sort(key=lambda match: (_RANK[match.kind], match.start - match.end, match.start))
    taken = bytearray(len(text))
    kept: list[Match] = []
    for match in every:
        if not any(taken[match.start : match.end]):
            taken[match.start : match.end] = b"\1" * (match.end - match.start)
            kept.append(match)
    return sorted(kept, key=lambda match: match.start)


def _line(row: Row) -> bytes:
    """The row as UTF-8 without escapes of characters: its own line where it has none."""
    if row.raw and b"\\u" not in row.raw:
        return row.raw
    try:
        return orjson.dumps(row.data)
    except (TypeError, ValueError):  # a lone surrogate, a long integer, many levels
        return "\n".join(f"{key}: {text}" for _, key, text in walk(row.data)).encode("utf-8", "surrogatepass")


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
