"""Reading what a provider sent, as the JSON that it is: absent, null and of another type are all "not known"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Payload = dict[str, Any]


def objects(value: Any) -> list[Payload]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Payload", item) for item in items if isinstance(item, dict)]


def strings(value: Any) -> list[str]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]


def mapping(value: Any) -> Payload:
    return cast("Payload", value) if isinstance(value, dict) else {}


def text(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    """A finite number, also where it came as a string, as 64-bit integers do in Google's JSON."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


def whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)
