"""Where rows come from: files, globs, URLs, lists, generators and frames, each as a stream of blocks in bounded memory.

`open_source` looks only at names; iterating it reads. What makes a whole source unreadable is a DatasetError; everything
else is told with the block in which it is found, and reading goes on.
"""

from __future__ import annotations

import glob
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tuneport.dataset import standard_input, tables
from tuneport.dataset.csv_file import csv_file
from tuneport.dataset.formats import Blocks, File, UnreadableError, format_of, need, reason, safe_name
from tuneport.dataset.json_file import json_file
from tuneport.dataset.jsonl_file import jsonl
from tuneport.dataset.lines import MAX_ROW, Block, Note, parse
from tuneport.dataset.remote import remote

__all__ = ["Block", "Note", "Source", "UnreadableError", "describe", "open_source", "parse"]

_READERS = {
    "jsonl": jsonl,
    "csv": csv_file,
    "tsv": csv_file,
    "parquet": tables.parquet,
    "arrow": tables.arrow,
}
_READ = ".jsonl, .ndjson, .json, .csv, .tsv (each also .gz or .zst), .parquet, .arrow, .feather"
_LEAST_BLOCK = 1 << 10


def describe(source: Any) -> str:
    """The source in a few words, for records and messages."""
    if isinstance(source, (str, Path)):
        return standard_input.NAME if str(source) == standard_input.MARK else safe_name(str(source))
    if _are_paths(source):
        names = [describe(path) for path in cast("Sequence[Any]", source)]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{type(source).__module__.partition('.')[0]}.{type(source).__name__} in memory"


class Source:
    """An opened source. Iterating yields blocks; a list, frame or file can be read again, a generator once.

    `total_bytes` and each block's `length` are in the files' own bytes, packed or not: None and 0 where there is no file.
    """

    def __init__(self, name: str, files: Sequence[File], given: Any, block_bytes: int) -> None:
        self.name = name
        self.files = [file.name for file in files]
        sizes = [file.size for file in files]
        self.total_bytes = None if not sizes or None in sizes else sum(size or 0 for size in sizes)
        self.format = ", ".join(dict.fromkeys(file.format for file in files)) or describe(given)
        self.under: dict[str, str] = {}  # of a JSON file, once it is read: the keys to its list of rows
        self._files = files
        self._given = given
        self._size = min(max(block_bytes, _LEAST_BLOCK), MAX_ROW)

    def __repr__(self) -> str:
        return f"Source({self.name!r}, format={self.format!r})"

    def __iter__(self) -> Iterator[Block]:
        if not self._files:
            solid = yield from _given_blocks(self._given, self.name, self._size)
        else:
            solid = False
            for file in self._files:
                found = yield from self._read(file)
                solid = solid or found
                if not found and len(self._files) > 1:
                    note = Note("file.empty", f"{file.name} is empty.")
                    yield Block(file.name, 1, 0, notes=(note,))
        if not solid:
            raise _empty(self.name)

    def _read(self, file: File) -> Blocks:
        if file.kind == "json":
            return (yield from json_file(file, self._size, lambda keys: self.under.update({file.name: keys})))
        return (yield from _READERS[file.kind](file, self._size))


def open_source(source: Any, *, block_bytes: int = 4 << 20) -> Source:
    """A path, glob or URL (any of fsspec's), `-` for standard input, several of them in a list; a list, iterable or generator
    of mappings; a `datasets.Dataset`; a pandas or polars frame; anything that speaks Arrow's C interface.

    Raises DatasetError where nothing can be read: no such file, a directory, empty, a format that is not read; and
    NotInstalledError where a package is missing.
    """
    if isinstance(source, (str, Path)):
        return Source(describe(source), _files(str(source)), None, block_bytes)
    if _are_paths(source):
        files = [file for path in cast("Sequence[Any]", source) for file in _files(str(path))]
        return Source(describe(source), files, None, block_bytes)
    name = describe(source)
    if isinstance(source, Mapping):
        kind, keys = type(cast("object", source)).__name__, sorted(map(str, cast("Mapping[Any, Any]", source)))[:5]
        message = (
            f"a dataset cannot be read from a {kind} with the keys {keys}. Give rows, or one split: data['train']."
        )
        raise UnreadableError(message, source=name, code="file.unknown-format")
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):
        raise UnreadableError(f"{name} is a lazy frame. Give frame.collect().", source=name, code="file.unknown-format")
    if not isinstance(source, Iterable) and not hasattr(source, "__arrow_c_stream__"):
        message = (
            f"a dataset cannot be read from {type(source).__name__}: give a path, rows, a datasets.Dataset or a frame."
        )
        raise UnreadableError(message, source=name, code="file.unknown-format")
    if isinstance(source, Sequence) and not source:
        raise _empty(name)
    return Source(name, [], source, block_bytes)


def _empty(name: str) -> UnreadableError:
    message = f"{name} is empty: a dataset needs at least one row, and 50 to 100 to be of use."
    return UnreadableError(message, source=name, code="file.empty")


def _are_paths(source: Any) -> bool:
    if not isinstance(source, (list, tuple)) or not source:
        return False
    return all(isinstance(item, (str, Path)) for item in cast("Sequence[Any]", source))


def _given_blocks(given: Any, name: str, size: int) -> Blocks:
    """Frames are known by their methods, so that none of their packages is imported here."""
    if hasattr(given, "iloc") and hasattr(given, "to_dict"):
        return tables.rows(tables.pandas_rows(given), name, size, sparse=True)
    if hasattr(given, "iter_slices") and hasattr(given, "iter_rows"):
        return tables.rows(tables.polars_rows(given), name, size, sparse=True)
    if hasattr(given, "with_format") and type(given).__module__.startswith("datasets"):
        return tables.rows(given.with_format(None), name, size, sparse=True)
    if hasattr(given, "__arrow_c_stream__"):
        return tables.rows(tables.batches_of(given), name, size, sparse=True)
    return tables.rows(cast("Iterable[Any]", given), name, size)


# Names to files


def _files(text: str) -> list[File]:
    if text == standard_input.MARK:
        return [standard_input.spooled()]
    return remote(text, _format) if "://" in text else _local(text)


def _local(text: str) -> list[File]:
    path = Path(text).expanduser()
    if not any(mark in text for mark in "*?["):
        return [_local_file(path)]
    try:
        if path.exists():
            return [_local_file(path)]
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{text} cannot be read: {reason(error)}.", source=text) from None
    paths = [Path(name) for name in found if not Path(name).is_dir()]
    if not paths:
        message = f"{text}: no such file. Nothing matches the pattern (the current folder is {Path.cwd()})."
        raise UnreadableError(message, source=text, code="file.missing")
    return [_local_file(path) for path in paths]


def _local_file(path: Path) -> File:
    name = str(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        message = f"{name}: no such file. Check the path (the current folder is {Path.cwd()})."
        raise UnreadableError(message, source=name, code="file.missing") from None
    except (OSError, ValueError) as error:
        shown = name if len(name) <= 200 else name[:197] + "..."
        raise UnreadableError(f"{shown} cannot be read: {reason(error)}.", source=shown) from None
    if stat.S_ISDIR(found.st_mode):
        message = f"{name} is a directory, not a file. Name the files in it, as in '{name}/*.jsonl'."
        raise UnreadableError(message, source=name, code="file.directory")
    kind, packing = _format(name, name)
    regular = stat.S_ISREG(found.st_mode)
    return File(name, name, kind, packing, found.st_size if regular else None, plain=regular and packing is None)


def _format(path: str, name: str) -> tuple[str, str | None]:
    known = format_of(path)
    if known is None:
        ending = "".join(Path(path).suffixes[-2:]) if format_of(path.rpartition(".")[0]) else Path(path).suffix
        raise UnreadableError(
            f"{name}: files ending in {ending or 'no suffix'!r} are not read yet. Save the rows as JSONL (one JSON object a "
            f"line) in a file ending in .jsonl. Read are: {_READ}.",
            source=name,
            code="file.unknown-format",
        )
    if known[0] in {"parquet", "arrow"}:
        need("pyarrow", why=f"reading {name}")
    if known[1] == "zst" and sys.version_info < (3, 14):
        need("backports.zstd", why=f"reading {name}")
    return known
