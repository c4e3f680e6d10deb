"""How checks name a value or a place in a message: short, and safe for whatever JSON holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

_CUT = 60


def told(value: Any) -> str:
    """A value in a message. Containers are described and not printed: a nested value of megabytes must cost nothing."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _CUT else repr(value[: _CUT - 3] + "...")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"an object with {named(cast('Mapping[Any, Any]', value))}" if value else "an empty object"
    if isinstance(value, list):
        count = len(cast("list[Any]", value))
        return f"a list of {count}" if count else "an empty list"
    if isinstance(value, (int, float)):
        return "a number of more than 60 digits" if isinstance(value, int) and value.bit_length() > 200 else repr(value)
    return f"a {type(value).__name__}"


def named(keys: Iterable[Any], limit: int = 6) -> str:
    """Keys or names in a message: quoted, the first few of them."""
    every = list(keys)
    words = ", ".join(repr(str(key)[:40]) for key in every[:limit])
    return f"{words} and {len(every) - limit} more" if len(every) > limit else words


def member(path: str, key: Any) -> str:
    """The path of an object's member."""
    text = str(key)[:80]
    return f"{path}.{text}" if path else text
