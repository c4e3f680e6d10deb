"""Whether the two answers of a preference row say anything about each other."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from tuneport.dataset.checks.words import told

_ASKING = ("system", "developer", "user")


def prompts_differ(preferred: Any, rejected: Any) -> str | None:
    """A sentence where the answers are whole conversations that begin differently; what they share is in the prompt."""
    first = [_first(turns) for turns in (preferred, rejected)]
    if None in first or not any(role in _ASKING for role, _ in filter(None, first)):
        return None
    said = [f"a {role} turn {told(text)}" for role, text in filter(None, first)]
    return f"the preferred answer begins with {said[0]}, the rejected one with {said[1]}; both must answer the same prompt."


def _first(turns: Any) -> tuple[str, Any] | None:
    turn: Any = cast("list[Any]", turns)[0] if isinstance(turns, list) and turns else None
    role = cast("Mapping[str, Any]", turn).get("role") if isinstance(turn, Mapping) else None
    return (role, cast("Mapping[str, Any]", turn).get("content")) if isinstance(role, str) else None


def same_answers(preferred: Sequence[Any], rejected: Sequence[Any]) -> tuple[str, Literal["error", "warning"]] | None:
    """A sentence and its severity where the answers are equal.

    Equal but for case, width or white space is a warning only: a pair may well be about the form.
    """
    left, right = _keys(preferred), _keys(rejected)
    if left == right:
        return f"the preferred and the rejected answer are equal: {told(left[0][1])}.", "error"
    if _loose(left) == _loose(right):
        shown = f"{told(left[0][1])} and {told(right[0][1])}"
        return f"the answers differ only in case, width or white space: {shown}.", "warning"
    return None


def _keys(turns: Sequence[Any]) -> list[tuple[str, str, str]]:
    """What each turn says: role, text, calls. Composed characters and outer white space do not count."""
    found: list[tuple[str, str, str]] = []
    for turn in turns:
        if isinstance(turn, Mapping):
            given = cast("Mapping[str, Any]", turn)
            calls = [*_list(given.get("tool_calls")), given.get("function_call")]
            text = unicodedata.normalize("NFC", _text(given.get("content") or given.get("refusal"))).strip()
            found.append((str(given.get("role")), text, "\n".join(_call(call) for call in calls)))
    return found


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in _list(content):
        text = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else None
        texts.append(text if isinstance(text, str) else _sorted(part))
    return "".join(texts)


def _call(call: Any) -> str:
    """A call without its id, which is chance; arguments by what they say and not how they are written."""
    given: Mapping[str, Any] = cast("Mapping[str, Any]", call) if isinstance(call, Mapping) else {}
    function: Any = given.get("function", given)
    if not isinstance(function, Mapping) or not function:
        return _sorted(call)
    arguments: Any = cast("Mapping[str, Any]", function).get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = arguments.strip()
    return f"{cast('Mapping[str, Any]', function).get('name')!s:.80} {_sorted(arguments)}"


def _sorted(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):  # keys of several types, or too deep
        return f"a {type(value).__name__}"


def _loose(keys: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [
        (role, " ".join(unicodedata.normalize("NFKC", text).casefold().split()), calls) for role, text, calls in keys
    ]
