"""The catalog's files into entries: the shipped ones, and a user's own over them.

Every file has the same three parts, each optional:

    sources:    {key: {title, url, date, sure}}          what `source: key` means below
    defaults:   {backend: {…}}                           fields of every model of a backend
    models:     {backend:id: {…, like: backend:id}}      one model; `like` takes another's fields first

Mappings merge key by key, anything else is replaced, and null takes away. In `price` and `limits` a bare number takes the
`source` that stands beside it, so that a user's number never passes for a provider's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import platformdirs
import yaml

from tuneport.catalog.schema import Amount, EndDate, Entry, Knob, Limits, Objective, Price, Source
from tuneport.errors import SpecError
from tuneport.strict import Strict, suggest

VARIABLE = "TUNEPORT_CATALOG"
_SHIPPED = ("openai.yaml", "azure.yaml", "bedrock.yaml", "vertex.yaml")
_PARTS = ("sources", "defaults", "models")
_AMOUNTS: Mapping[str, type[Strict]] = {"price": Price, "limits": Limits}

Raw = dict[str, Any]
T = TypeVar("T", bound=Strict)


def user_file() -> Path | None:
    """The user's own catalog: `$TUNEPORT_CATALOG`, else catalog.yaml in tuneport's home where there is one."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get("TUNEPORT_HOME")
    folder = Path(home).expanduser() if home else platformdirs.user_data_path("tuneport", appauthor=False)
    path = folder / "catalog.yaml"
    return path if path.is_file() else None


def load() -> tuple[Entry, ...]:
    """Every entry, the user's own over the shipped ones. Raises SpecError with the place and the fix."""
    path = user_file()
    if path is None:
        return _shipped()
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}: {VARIABLE} names the file of your own catalog.") from None
    return _with_user(path, stamp)


@lru_cache(maxsize=1)
def _shipped() -> tuple[Entry, ...]:
    return _entries(_read_shipped()[1], Path(__file__).parent)


@lru_cache(maxsize=1)
def _read_shipped() -> tuple[_Files, dict[str, Raw]]:
    files, merged = _Files(), cast("dict[str, Raw]", {})
    for name in _SHIPPED:
        files.add(Path(__file__).parent / name, merged)
    return files, merged


@lru_cache(maxsize=4)
def _with_user(path: Path, stamp: int) -> tuple[Entry, ...]:
    del stamp  # a part of the key: a file that was written again is read again
    shipped, base = _read_shipped()
    files, merged = shipped.copy(), dict(base)  # merging makes new mappings: what lies within is never changed
    files.add(path, merged, user=True)
    return _entries(merged, path)


class _Files:
    """Reads files one after another; sources and defaults of the earlier ones are known to the later."""

    def __init__(self) -> None:
        self.sources: dict[str, Raw] = {}
        self.defaults: dict[str, Raw] = {}

    def copy(self) -> _Files:
        made = _Files()
        made.sources, made.defaults = dict(self.sources), dict(self.defaults)
        return made

    def add(self, path: Path, merged: dict[str, Raw], *, user: bool = False) -> None:
        data = _read(path)
        parts = {part: _mapping(data.get(part), f"{path}: {part}") for part in _PARTS}
        for key in data:
            if key not in _PARTS:
                raise SpecError(f"{path}: unknown part {key!r}: {suggest(key, _PARTS)}")
        mine: Raw = {"date": _written(path), "sure": "user"} if user else {}
        for key, value in parts["sources"].items():
            place = f"{path}: sources.{key}"
            known = _parsed(Source, {**mine, **_mapping(value, place)}, place)
            self.sources[key] = known.model_dump()
        resolve = _Resolver(self.sources, path, user=user)
        defaults = {
            backend: resolve.fields(_mapping(value, f"{path}: defaults.{backend}"), f"{path}: defaults.{backend}")
            for backend, value in parts["defaults"].items()
        }
        if user:
            for ref in [ref for ref in merged if ref.partition(":")[0] in defaults]:
                merged[ref] = _merge(merged[ref], defaults[ref.partition(":")[0]])
        for backend, value in defaults.items():
            self.defaults[backend] = _merge(self.defaults.get(backend, {}), value)
        for ref, value in parts["models"].items():
            place = f"{path}: models.{ref}"
            backend, colon, model = ref.partition(":")
            if not colon or not model:
                raise SpecError(f"{place}: write '<backend>:<model id>', as in 'openai:gpt-4.1-mini-2025-04-14'")
            fields = _mapping(value, place)
            like = fields.pop("like", None)
            if like is not None and (not isinstance(like, str) or like not in merged):
                raise SpecError(f"{place}: like is {like!r}, which is not in the catalog: {suggest(str(like), merged)}")
            base = merged[like] if like else merged.get(ref, self.defaults.get(backend, {}))
            if like and ref not in merged:
                base = {key: value for key, value in base.items() if key not in {"aliases", "note"}}
            own = resolve.fields(fields, place)
            if user and ref not in merged:
                own.setdefault("source", resolve.source(None, place))
            merged[ref] = {**_merge(base, own), "backend": backend, "id": model}


class _Resolver:
    """Puts sources in the place of their keys, and a source beside every bare number."""

    def __init__(self, sources: Mapping[str, Raw], path: Path, *, user: bool) -> None:
        self.sources, self.path, self.user = sources, path, user

    def source(self, value: Any, place: str) -> Raw:
        if isinstance(value, str) and value in self.sources:
            return dict(self.sources[value])
        if isinstance(value, Mapping):
            return dict(cast("Mapping[str, Any]", value))
        if self.user:
            title = value if isinstance(value, str) else f"your own catalog, {self.path}"
            return {"title": title, "date": _written(self.path), "sure": "user"}
        raise SpecError(f"{place}: unknown source {value!r}: {suggest(str(value), self.sources)}")

    def fields(self, value: Raw, place: str) -> Raw:
        found: Raw = {}
        for key, item in value.items():
            where = f"{place}.{key}"
            if key == "source":
                found[key] = self.source(item, where)
            elif item is None:
                found[key] = None
            elif key in _AMOUNTS:
                found[key] = self.amounts(_AMOUNTS[key], _mapping(item, where), where)
            elif key == "objectives":
                found[key] = self.each(Objective, _mapping(item, where), where)
            elif key in {"hyperparameters", "options"}:
                found[key] = self.each(Knob, _mapping(item, where), where)
            elif key == "lifecycle":
                found[key] = self.each(EndDate, _mapping(item, where), where)
            else:
                found[key] = item
        return found

    def each(self, model: type[Strict], items: Raw, place: str) -> Raw:
        found: Raw = {}
        for key, item in items.items():
            if item is None:
                found[key] = None
                continue
            where = f"{place}.{key}"
            fields = self.fields(_mapping(item, where), where)
            if self.user:
                fields.setdefault("source", self.source(None, where))
            _known(model, fields, where)
            found[key] = fields
        return found

    def amounts(self, model: type[Strict], group: Raw, place: str) -> Raw:
        _known(model, {key: value for key, value in group.items() if key != "source"}, place)
        found: Raw = {}
        for key, value in group.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                source = self.source(group.get("source"), f"{place}.source")
                found[key] = {"value": value, "source": source}
                _parsed(Amount, found[key], f"{place}.{key}")
            elif isinstance(value, Mapping):
                found[key] = self.fields(dict(cast("Mapping[str, Any]", value)), f"{place}.{key}")
            elif key != "source":
                found[key] = value
        return found


def _entries(merged: Mapping[str, Raw], path: Path) -> tuple[Entry, ...]:
    return tuple(_parsed(Entry, _without_nulls(raw), f"{path}: models.{ref}") for ref, raw in merged.items())


def _merge(base: Raw, over: Raw) -> Raw:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        # A source belongs to its number: two sources never mix.
        if isinstance(old, dict) and isinstance(value, dict) and key != "source" and "value" not in value:
            merged[key] = _merge(cast("Raw", old), cast("Raw", value))
        else:
            merged[key] = value
    return merged


def _without_nulls(raw: Raw) -> Raw:
    found: Raw = {}
    for key, value in raw.items():
        if isinstance(value, dict):
            found[key] = _without_nulls(cast("Raw", value))
        elif value is not None:
            found[key] = value
    return found


def _read(path: Path) -> Raw:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with path.open("rb") as file:
            data: Any = yaml.load(file, Loader=loader)  # noqa: S506  (a safe loader, in C where it is built)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    return _mapping(data, str(path))


def _mapping(value: Any, place: str) -> Raw:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SpecError(f"{place} is {value!r:.60}: write a mapping of names to values.")
    items = cast("Mapping[Any, Any]", value)
    if bad := [key for key in items if not isinstance(key, str)]:
        raise SpecError(f"{place}: the key {bad[0]!r} is not text: put it in quotes.")
    return dict(items)


def _known(model: type[Strict], fields: Iterable[str], place: str) -> None:
    for key in fields:
        if key not in model.model_fields:
            raise SpecError(f"{place}: unknown field {key!r}: {suggest(key, model.model_fields)}")


def _parsed(model: type[T], data: Raw, place: str) -> T:
    try:
        return model.parse(data)
    except SpecError as error:
        raise SpecError(f"{place}: {error.message}", problems=[f"{place}: {text}" for text in error.problems]) from None


def _written(path: Path) -> Any:
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC).date()
