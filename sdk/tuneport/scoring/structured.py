"""Answers that are JSON or calls of tools: what they hold, by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from tuneport.scoring import metrics as basic
from tuneport.scoring.case import Case

NOT_JSON: Any = object()
_Leaf = tuple[tuple[str | int, ...], str, Any]  # path, kind, value
_KIND = {"int": "number", "float": "number", "list": "list", "dict": "object"}


def parsed(text: str) -> Any:
    """The value, or `NOT_JSON`: what `json_valid` says is none is none for every metric."""
    try:
        return basic.parse(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def json_field_f1(answer: str, expected: str) -> float | None:
    """F1 over the leaves of two JSON values: a leaf counts where its path and its value are the same. None: `expected` is not
    JSON. Lists compare by place."""
    wanted = parsed(expected)
    if wanted is NOT_JSON:
        return None
    given = parsed(answer)
    if given is NOT_JSON:
        return 0.0
    left, right = Counter(_leaves(given)), Counter(_leaves(wanted))
    return 2 * (left & right).total() / (left.total() + right.total())


def _leaves(value: Any) -> Iterable[_Leaf]:
    """Every leaf with its path, of keys (text) and places (numbers). Without recursion: an answer may be nested as deep as the
    parser goes, and the parser's depth is not ours."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, inner = waiting.pop()
        kind = _KIND.get(type(inner).__name__, "")
        if isinstance(inner, dict) and inner:
            waiting += [((*path, key), one) for key, one in cast("dict[str, Any]", inner).items()]
        elif isinstance(inner, list) and inner:
            waiting += [((*path, place), one) for place, one in enumerate(cast("list[Any]", inner))]
        else:  # 1 and 1.0 are one number to Python too; true and an empty list are of other kinds
            yield path, kind, None if kind in {"list", "object"} else inner


def _frozen(value: Any) -> frozenset[tuple[_Leaf, int]]:
    """A JSON value as its leaves: equal where the values are, whatever the order of keys."""
    return frozenset(Counter(_leaves(value)).items())


def tool_call_accuracy(case: Case) -> float | None:
    """1 where the same tools are called with the same arguments, by value (1 is 1.0), calls in any order.

    Calls may also stand in the text, as JSON alone: `{"tool_calls": [...]}`, a list of calls, or one `{"name", "arguments"}`.
    None where none is expected and none is made; 0 where one is made that is not expected.
    """
    said = case.calls or _calls_in(case.answer)
    if not case.expected_calls:
        return 0.0 if said else None
    return float(_counted_calls(said) == _counted_calls(case.expected_calls))


def _calls_in(text: str) -> Sequence[Mapping[str, Any]]:
    value = parsed(text)
    if isinstance(value, dict):
        one = cast("dict[str, Any]", value)
        value = one.get("tool_calls", [one])
    if not isinstance(value, list) or not value:
        return ()
    listed = cast("list[Any]", value)
    return cast("list[dict[str, Any]]", listed) if all(_is_call(one) for one in listed) else ()


def _is_call(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    call = cast("dict[str, Any]", value)
    inner: Any = call.get("function", call)
    function = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    return isinstance(function.get("name"), str) and "arguments" in function


def _counted_calls(calls: Sequence[Mapping[str, Any]]) -> Counter[Any]:
    made: Counter[Any] = Counter()
    for call in calls:
        inner: Any = call.get("function")
        function = cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else call
        given: Any = function.get("arguments")
        arguments: Any = {} if given is None or given == "" else given
        value = parsed(arguments) if isinstance(arguments, str) else arguments
        made[str(function.get("name")), arguments if value is NOT_JSON else _frozen(value)] += 1
    return made
