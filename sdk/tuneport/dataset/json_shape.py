"""What a JSON object at the top of a file is: a row, the home of one list of rows, or something to be taken apart first."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tuneport.dataset.formats import UnreadableError

# An object with one of these is a row, though it holds a list.
ROW_KEYS = frozenset(
    {
        *("messages", "prompt", "completion", "chosen", "rejected", "conversations", "contents", "completions"),
        *("input", "preferred_output", "non_preferred_output", "text", "instruction", "output"),
    }
)
_TEXT_KEYS = frozenset({"prompt", "completion", "chosen", "rejected", "text", "instruction", "input", "output"})
_NAMED = 8  # lists in a message

_Path = tuple[str, ...]


def shape(top: Mapping[str, Any], name: str) -> tuple[int, str]:
    """How deep the only list of the file `name` lies, and under which keys; 0 where the object is itself the row.

    Raises UnreadableError with what to type where there are several lists of rows, or columns instead of rows.
    """
    if columns := _columns(top):
        raise UnreadableError(
            f"{name} holds columns ({', '.join(columns)}), and a dataset is a list of rows. Write it by rows, with pandas: "
            f"DataFrame(json.load(open({name!r}))).to_json('rows.jsonl', orient='records', lines=True)",
            source=name,
            code="file.unknown-format",
        )
    if ROW_KEYS & top.keys():
        return 0, ""
    lists = dict(_lists(top))
    rows = {path: found for path, found in lists.items() if found and isinstance(found[0], dict)}
    if len(rows) > 1:
        raise _several(name, rows, len(lists))
    path = next(iter(rows or lists), None)
    if path is None or path[-1] in ROW_KEYS or (not rows and len(lists) > 1):
        return 0, ""
    if (
        next(other for other in lists if len(other) == len(path)) != path
    ):  # the reader takes the first that lies so deep
        raise _several(name, rows, len(lists))
    return 1 + len(path), ".".join(path)


def _lists(value: Mapping[str, Any], under: _Path = ()) -> Iterator[tuple[_Path, list[Any]]]:
    """Every list that is not within a list, by its keys."""
    for key, item in value.items():
        if isinstance(item, list):
            yield (*under, key), cast("list[Any]", item)
        elif isinstance(item, dict):
            yield from _lists(cast("dict[str, Any]", item), (*under, key))


def _several(name: str, found: Mapping[_Path, list[Any]], lists: int) -> UnreadableError:
    named = ", ".join(f"{'.'.join(path)} ({len(rows):,})" for path, rows in list(found.items())[:_NAMED])
    more = ", …" if len(found) > _NAMED else ""
    what = f"{len(found)} lists of rows" if len(found) > 1 else f"{lists} lists, of which one has rows"
    return UnreadableError(
        f"{name} holds {what}: {named}{more}. A dataset is one list. Take it out, as in: "
        f"{_extract(name, next(iter(found)))}",
        source=name,
        code="file.unknown-format",
    )


def _extract(name: str, path: _Path) -> str:
    """What to type for one list of a file."""
    plain = all(key.isidentifier() and key.isascii() for key in path)
    keys = "".join(f".{key}" for key in path) if plain else "." + "".join(f"[{json.dumps(key)}]" for key in path)
    out = re.sub(r"[^\w-]", "_", path[-1]) or "rows"
    return f"jq -c {shlex.quote(f'{keys}[]')} {shlex.quote(name)} > {out}.jsonl"


def _columns(top: Mapping[str, Any]) -> list[str]:
    """The keys, where each holds a column: texts in lists of one length, or under numbers from "0" on, as pandas writes."""
    columns = {key: value for key, value in top.items() if key in _TEXT_KEYS}
    kinds = {_column(value) for value in columns.values()}
    return list(columns) if len(columns) > 1 and len(kinds) == 1 and None not in kinds else []


def _column(value: Any) -> tuple[str, int] | None:
    """What kind of a column a value is, and how long; None where it is a row's own value."""
    if isinstance(value, list):
        cells = cast("list[Any]", value)
        return ("list", len(cells)) if cells and all(isinstance(cell, str) for cell in cells) else None
    if isinstance(value, dict):
        numbered = cast("dict[str, Any]", value)
        return ("dict", len(numbered)) if "0" in numbered else None
    return None
