"""Repairs of one row, each for one code: what a program can mend without knowing what was meant.

A repair changes the canonical row in place and says in words what it did; nothing said, nothing done. Checks know nothing of
repairs: a repaired row is checked again, and left out where it still has an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from tuneport.dataset.checks.base import Context
from tuneport.dataset.checks.turns import MEANT, TURN_KEYS

Chat = dict[str, Any]
Repair = Callable[[Chat, Context], list[str]]

# What other tools call the roles (ShareGPT's, Gemini's, capitalised ones).
_ROLES = MEANT | {
    "prompter": "user", "input": "user", "question": "user",
    "output": "assistant", "answer": "assistant", "agent": "assistant",
    "instructions": "system", "context": "system",
}  # fmt: skip
_KNOWN_ROLES = TURN_KEYS.keys()
_ROW_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})
_CONTROL = re.compile(
    r"<\|[a-z0-9_]{2,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[(?:BOS|EOS)\]"
)
# Nova's own prompt markers. A space before the colon keeps the sense and breaks the marker.
_MARKERS = re.compile(r"\b(System|SYSTEM|User|USER|Bot|BOT|Assistant|ASSISTANT|Thought|THOUGHT):")
_MEDIA = re.compile(r"\[EOS\]|<(?:image|video)>")
_JOIN = "\n\n"
_SERIOUS = ("secret", "card", "identity-number", "bank-account")
KINDS = (*_SERIOUS, "email", "phone", "ip-address")
_LABELS = frozenset({"row", "hash", "source", "group", "tools"})


def turn_lists(row: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Every list of turns that a canonical row holds."""
    given = row.get("input")
    if isinstance(given, dict):
        row = {**row, "messages": cast("Chat", given).get("messages")}
    for key in ("messages", "preferred_output", "non_preferred_output"):
        if isinstance(turns := row.get(key), list):
            yield cast("list[Any]", turns)


def _dicts(turns: list[Any]) -> list[Chat]:
    return [cast("Chat", turn) for turn in turns if isinstance(turn, dict)]


def roles(row: Chat, _: Context) -> list[str]:
    said: list[str] = []
    for turns in turn_lists(row):
        for turn in _dicts(turns):
            role = turn.get("role")
            if isinstance(role, str) and role not in _KNOWN_ROLES:
                word = role.strip().lower()
                meant = word if word in _KNOWN_ROLES else _ROLES.get(word)
                if meant is not None:
                    turn["role"] = meant
                    said.append(f"role {role!r} is now {meant!r}")
    return said


def system_first(row: Chat, _: Context) -> list[str]:
    for turns in turn_lists(row):
        late = [t for t in _dicts(turns[1:]) if t.get("role") in {"system", "developer"}]
        first = [turn.get("role") for turn in _dicts(turns[:1])]
        if len(late) == 1 and not {"system", "developer"}.intersection(first):
            turns.remove(late[0])
            turns.insert(0, late[0])
            return ["the system turn was moved to the front"]
    return []


def finish_on_answer(row: Chat, _: Context) -> list[str]:
    for turns in turn_lists(row):
        end = len(turns)
        while end and [turn.get("role") for turn in _dicts(turns[end - 1 : end])] != ["assistant"]:
            end -= 1
        if 0 < end < len(turns):
            count = len(turns) - end
            del turns[end:]
            return [f"{count} turn{'s' if count > 1 else ''} after the last answer removed"]
    return []


def finish_on_question(row: Chat, _: Context) -> list[str]:
    turns = row.get("messages")
    if not isinstance(turns, list):
        return []
    found = cast("list[Any]", turns)
    count = 0
    while [turn.get("role") for turn in _dicts(found[-1:])] == ["assistant"]:
        found.pop()
        count += 1
    return [f"{count} answer{'s' if count > 1 else ''} at the end removed"] if count else []


def unknown_keys(row: Chat, context: Context) -> list[str]:
    said: list[str] = []
    if "messages" in row and context.objective == "sft":
        for key in [key for key in row if key not in _ROW_KEYS]:
            del row[key]
            said.append(f"key {key!r} removed")
    for turns in turn_lists(row):
        for turn in _dicts(turns):
            known = TURN_KEYS.get(str(turn.get("role")), frozenset())
            for key in [key for key in turn if known and key not in known]:
                del turn[key]
                said.append(f"key {key!r} of a turn removed")
    return said


def tools_once(row: Chat, _: Context) -> list[str]:
    tools = row.get("tools")
    if not isinstance(tools, list):
        return []
    seen: set[str] = set()
    kept: list[Any] = []
    said: list[str] = []
    for tool in cast("list[Any]", tools):
        function = cast("Chat", tool).get("function") if isinstance(tool, dict) else None
        name = cast("Chat", function).get("name") if isinstance(function, dict) else None
        if isinstance(name, str) and name in seen:
            said.append(f"the second declaration of {name!r} removed")
            continue
        if isinstance(name, str):
            seen.add(name)
        kept.append(tool)
    row["tools"] = kept
    return said


def alternate(row: Chat, _: Context) -> list[str]:
    """Neighbouring turns of one role become one; turns with tool calls or parts stay apart."""
    said: list[str] = []
    for turns in turn_lists(row):
        place = 1
        while place < len(turns):
            before, turn = turns[place - 1], turns[place]
            if (
                _plain(before)
                and _plain(turn)
                and before["role"] == turn["role"]
                and before["role"] in {"user", "assistant"}
            ):
                before["content"] = before["content"] + _JOIN + turn["content"]
                del turns[place]
                said.append(f"two {before['role']} turns in succession joined")
            else:
                place += 1
    return said


def _plain(turn: Any) -> bool:
    return any(isinstance(said.get("content"), str) and not said.get("tool_calls") for said in _dicts([turn]))


def _texts(change: Callable[[str], str], what: str) -> Repair:
    """A repair that changes every text of the row, the strings inside tool arguments included."""

    def repair(row: Chat, _: Context) -> list[str]:
        changed = False
        for key, value in list(row.items()):
            if key != "tools":
                row[key] = walk(value, change)
                changed = changed or row[key] != value
        return [what] if changed else []

    return repair


def walk(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    """`value` with every string in it changed; JSON in a tool call's arguments is changed inside, so that it stays JSON."""
    if isinstance(value, str):
        if key == "arguments":
            try:
                inner = json.loads(value)
            except (ValueError, RecursionError):
                return change(value)
            if isinstance(inner, (dict, list)):
                changed = walk(cast("Any", inner), change)
                return value if changed == inner else json.dumps(changed, ensure_ascii=False)
        return change(value)
    if isinstance(value, list):
        return [walk(item, change) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {k: walk(item, change, k) for k, item in cast("Chat", value).items()}
    return value


def _redaction(kinds: Sequence[str]) -> Repair:
    def repair(row: Chat, _: Context) -> list[str]:
        from tuneport.dataset.checks.privacy import redact_row as redacted

        found: list[str] = []
        for key, value in list(row.items()):
            if key != "tools":
                row[key], kinds_found = redacted(value, kinds, key)
                found += kinds_found
        return [f"redacted: {', '.join(sorted(set(found)))}"] if found else []

    return repair


def redact_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical row with personal data and secrets replaced by placeholders; `row` and `hash` stay."""
    made = dict(row)
    changed = {key: value for key, value in made.items() if key not in _LABELS}
    _redaction(KINDS)(changed, Context())
    return made | changed


def _mend_encoding(text: str) -> str:
    if text.isascii():
        return text
    import ftfy

    return ftfy.fix_encoding(text)


def _surrogates(text: str) -> str:
    if not any("\ud800" <= c <= "\udfff" for c in text):
        return text
    # A pair written as two escapes is one character; what is left alone afterwards is none.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\ufffd", "") if "\ufffd" not in text else whole


def numbers(row: Chat, _: Context) -> list[str]:
    said: list[str] = []

    def clean(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            said.append(f"{value} is now null")
            return None
        if isinstance(value, list):
            return [clean(item) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {key: clean(item) for key, item in cast("Chat", value).items()}
        return value

    for key, value in list(row.items()):
        row[key] = clean(value)
    return said


def _keys(_: Chat, __: Context) -> list[str]:
    return ["of a key that stood twice, the last value was kept"]  # as the parser has done


REPAIRS: dict[str, Repair] = {
    "file.duplicate-keys": _keys,
    "file.not-a-number": numbers,
    "file.lone-surrogate": _texts(_surrogates, "halves of surrogate pairs removed"),
    "file.nul": _texts(lambda text: text.replace("\0", ""), "NUL characters removed"),
    "structure.role": roles,
    "target.role": roles,
    "structure.system-first": system_first,
    "structure.unknown-key": unknown_keys,
    "target.unknown-key": unknown_keys,
    "structure.unfinished": finish_on_answer,
    "target.ends": finish_on_answer,
    "structure.last-not-user": finish_on_question,
    "tools.duplicate": tools_once,
    "target.alternation": alternate,
    "target.forbidden-string": _texts(
        lambda text: _MEDIA.sub("", _MARKERS.sub(r"\1 :", text)), "markers of the model's own prompt format broken up"
    ),
    "quality.control-token": _texts(lambda text: _CONTROL.sub("", text), "control tokens removed"),
    "quality.mojibake": _texts(_mend_encoding, "text decoded with the wrong encoding mended"),
    **{f"privacy.{kind}": _redaction(_SERIOUS) for kind in _SERIOUS},
}
# Only where the user asked for `privacy="redact"`: ordinary in support mail, and often needed.
REDACTIONS: dict[str, Repair] = {f"privacy.{kind}": _redaction(KINDS) for kind in KINDS if kind not in _SERIOUS}
