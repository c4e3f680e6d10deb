"""A job's files at the service: each is uploaded once, whatever interrupts it, under a name that carries the job's tag.

`upload/openai.json` in the job's directory says how far it got, written before and after each step, so that a submit that is
begun again reuses what is there: the record first, then the service's own list of files.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tuneport.errors import BackendError, RejectedError, RemoteNotFoundError
from tuneport_backends.openai_wire import Wire, required
from tuneport_backends.payload import number, text

PLAIN_BYTES = 512 * 2**20  # the most that one request may carry; a larger file goes by parts
PART_BYTES = 64 * 2**20
_MARGIN = 120  # seconds of an upload's hour that must be left to go on with it
_RECORD = "openai.json"


def name_of(tag: str, split: str) -> str:
    return f"{tag}-{split}.jsonl"


def is_of(tag: str, file: Mapping[str, Any]) -> bool:
    return (text(file, "filename") or "").startswith(f"{tag}-")


def uploaded(wire: Wire, path: Path, tag: str) -> str:
    """The id of the file at the service, after uploading it where it is not there yet."""
    split = path.stem
    record = _Record(path.parent / _RECORD)
    size = path.stat().st_size
    if (earlier := record.get(split)) is not None:
        found = _earlier(wire, earlier, name_of(tag, split), size)
        if found is not None:
            record.put(split, {"id": found})
            return found
    name = name_of(tag, split)
    if size <= PLAIN_BYTES:
        record.put(split, {"begun": True})
        made = wire.upload(path, name)
    else:
        made = _by_parts(wire, path, name, size, record, split)
    file = required(made, "id", f"the uploaded file {name}")
    record.put(split, {"id": file})
    return file


def recorded(directory: Path) -> list[str]:
    """The ids of what a submit from this directory has uploaded."""
    return [str(entry["id"]) for entry in _Record(directory / "upload" / _RECORD).read().values() if entry.get("id")]


def _earlier(wire: Wire, entry: Mapping[str, Any], name: str, size: int) -> str | None:
    """The file of an upload that was made or begun before, if it arrived whole and is still there."""
    if (known := text(entry, "id")) is not None:
        try:
            file = wire.file(known)
        except RemoteNotFoundError:
            return None
        return known if _fits(file, name, size) else None
    return next((text(file, "id") for file in wire.files() if _fits(file, name, size)), None)


def _fits(file: Mapping[str, Any], name: str, size: int) -> bool:
    return (
        text(file, "filename") == name
        and number(file.get("bytes")) == size
        and text(file, "id") is not None
        and file.get("status") not in {"error", "deleted"}
    )


def _by_parts(wire: Wire, path: Path, name: str, size: int, record: _Record, split: str) -> dict[str, Any]:
    """By parts of 64 MiB; one that was broken off within its hour goes on after its last part.

    On Ctrl-C the parts are thrown away at the service before it goes on its way.
    """
    entry: Mapping[str, Any] = record.get(split) or {}
    upload, parts = text(entry, "upload"), [str(part) for part in cast("list[Any]", entry.get("parts") or [])]
    resumed = upload is not None and (number(entry.get("expires_at")) or 0) > time.time() + _MARGIN
    if not resumed:
        begun = wire.begin_upload(name, size)
        upload, parts = required(begun, "id", f"the upload of {name}"), []
        entry = {"begun": True, "upload": upload, "expires_at": begun.get("expires_at"), "parts": parts}
        record.put(split, entry)
    assert upload is not None
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            for index in range(-(-size // PART_BYTES)):
                data = file.read(PART_BYTES)
                digest.update(data)
                if index < len(parts):
                    continue
                parts.append(required(wire.add_part(upload, data), "id", f"a part of {name}"))
                record.put(split, {**entry, "parts": parts})
        done = wire.complete_upload(upload, parts, digest.hexdigest())
    except KeyboardInterrupt:
        _throw_away(wire, upload)
        record.put(split, {"begun": True})
        raise
    except (RemoteNotFoundError, RejectedError):
        if not resumed:
            _throw_away(wire, upload)
            raise
        record.put(split, {"begun": True})  # it ended meanwhile, or its parts do not fit: from the beginning, once
        return _by_parts(wire, path, name, size, record, split)
    file_of = done.get("file")
    return cast("dict[str, Any]", file_of) if isinstance(file_of, dict) else {}


def _throw_away(wire: Wire, upload: str) -> None:
    """Its parts cost nothing and expire within the hour, so a failure here must not hide what led to it."""
    try:
        wire.cancel_upload(upload)
    except BackendError:
        return


class _Record:
    """A small JSON file, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, Any]]:
        try:
            read = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a damaged one is as none: the service's list is asked instead
            return {}
        return cast("dict[str, dict[str, Any]]", read) if isinstance(read, dict) else {}

    def get(self, split: str) -> dict[str, Any] | None:
        if self._path.exists() and not self.read():
            return {"begun": True}
        return self.read().get(split)

    def put(self, split: str, entry: Mapping[str, Any]) -> None:
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.write_text(json.dumps({**self.read(), split: dict(entry)}), encoding="utf-8")
        temporary.replace(self._path)
