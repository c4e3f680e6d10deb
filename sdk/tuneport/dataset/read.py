"""Raw rows from wherever they are, each with its number. Every unreadable row is an issue, and reading goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from tuneport.dataset.issues import Issue
from tuneport.errors import DatasetError

RawRow = tuple[int, Mapping[str, Any]]


def describe(source: Any) -> str:
    """The source in a few words, for records and messages."""
    if isinstance(source, (str, Path)):
        return str(source)
    return f"{type(source).__module__.partition('.')[0]}.{type(source).__name__} in memory"


def read(source: Any) -> tuple[list[RawRow], list[Issue]]:
    """All rows of a path (JSONL or JSON), a list or other iterable of mappings, a `datasets.Dataset` or a data frame.

    Raises DatasetError where nothing can be read at all: missing, a directory, empty, not text.
    """
    if isinstance(source, (str, Path)):
        return _file(Path(source).expanduser())
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # pandas; polars has to_dicts
        source = source.to_dict("records")
    elif hasattr(source, "to_dicts"):
        source = source.to_dicts()
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise DatasetError(
            f"a dataset cannot be read from {cast('object', source).__class__.__name__}: give a path to a .jsonl or .json "
            "file, a list of rows, a datasets.Dataset or a data frame"
        )
    return _number(cast("Iterable[Any]", source), describe(source))


def _file(path: Path) -> tuple[list[RawRow], list[Issue]]:
    name = str(path)
    if not path.exists():
        raise DatasetError(f"{name}: no such file. Check the path (the current folder is {Path.cwd()}).", source=name)
    if path.is_dir():
        raise DatasetError(f"{name} is a directory, not a file. Name the .jsonl or .json file inside it.", source=name)
    if path.suffix.lower() not in {".jsonl", ".json", ".ndjson"}:
        raise DatasetError(
            f"{name}: files ending in {path.suffix or 'no suffix'!r} are not read yet. Save the rows as JSONL "
            "(one JSON object a line) in a file ending in .jsonl.",
            source=name,
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{name}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}). Save the file as UTF-8.",
            source=name,
            row=line,
        ) from None
    except OSError as error:
        raise DatasetError(f"{name} cannot be read: {error.strerror or error}.", source=name) from None
    if not text.strip():
        raise DatasetError(
            f"{name} is empty: a dataset needs at least one row, and 50 to 100 to be of use.", source=name
        )
    if path.suffix.lower() == ".json":
        return _json(text, name)
    return _jsonl(text, name)


def _jsonl(text: str, name: str) -> tuple[list[RawRow], list[Issue]]:
    rows: list[RawRow] = []
    issues: list[Issue] = []
    # Split on "\n" alone: str.splitlines would also cut inside strings that hold U+2028 or U+0085.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            issues.append(_not_json(error, name, number, line))
            continue
        if isinstance(row, dict):
            rows.append((number, cast("dict[str, Any]", row)))
        else:
            issues.append(_not_an_object(row, name, number))
    return rows, issues


def _json(text: str, name: str) -> tuple[list[RawRow], list[Issue]]:
    try:
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        if "Extra data" in str(error):
            hint = "This looks like one object a line: name the file .jsonl."
        else:
            hint = "Correct the file there."
        raise DatasetError(f"{name}, line {line}: not JSON ({_reason(error)}). {hint}", source=name, row=line) from None
    if isinstance(data, dict):
        top = cast("dict[str, Any]", data)
        lists: list[Any] = [value for value in top.values() if isinstance(value, list)]
        data = cast("Any", lists[0] if len(lists) == 1 and "messages" not in top else [top])
    if not isinstance(data, list) or not data:
        raise DatasetError(f"{name} holds no rows: the top of a .json dataset is a list of objects.", source=name)
    return _number(cast("list[Any]", data), name)


def _number(source: Iterable[Any], name: str) -> tuple[list[RawRow], list[Issue]]:
    rows: list[RawRow] = []
    issues: list[Issue] = []
    for number, row in enumerate(source, 1):
        if isinstance(row, Mapping):
            rows.append((number, cast("Mapping[str, Any]", row)))
        else:
            issues.append(_not_an_object(row, name, number))
    if not rows and not issues:
        raise DatasetError(
            f"{name} is empty: a dataset needs at least one row, and 50 to 100 to be of use.", source=name
        )
    return rows, issues


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return str(error)


def _not_json(error: BaseException, name: str, number: int, line: str) -> Issue:
    shown = line.strip()
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return Issue(
        code="file.not-json",
        message=f"not JSON ({_reason(error)}): {shown}",
        source=name,
        row=number,
        fix="make the line one JSON object, or remove it.",
    )


def _not_an_object(row: Any, name: str, number: int) -> Issue:
    return Issue(
        code="file.not-an-object",
        message=f"the row is {type(row).__name__}, not an object",
        source=name,
        row=number,
        fix='write it as {"messages": [...]}.',
    )


def iter_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows that tuneport wrote itself: one JSON object a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
