"""Rows that are not lines: Parquet, Arrow, frames, lists and generators, written as JSONL so that all take one road.

What a table cannot leave out it fills with nulls: a null in a column or a struct means that the key is absent, and it is left
out again (also the NaN by which pandas marks an empty cell). In a list of Python rows, nothing is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

import orjson

from tuneport.dataset.checks.base import shown
from tuneport.dataset.formats import (
    MOST_EXPANDED,
    MOST_RATIO,
    Blocks,
    Broken,
    File,
    Meter,
    need,
    reason,
)
from tuneport.dataset.lines import MAX_DEPTH, MAX_ROW, Block, Note

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_SUBCLASS
_DIGITS = 20
_AT_ONCE = 256  # rows of a table that are turned into Python objects together


class _Unsayable(Exception):
    """A value that JSON has no word for."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.path = code, message, path


class Builder:
    """Gathers rows into blocks: JSONL where JSON can say them, else the rows themselves (NaN, half of a surrogate pair)."""

    def __init__(self, name: str, size: int, meter: Meter | None = None, *, sparse: bool = False) -> None:
        self._name, self._size, self._sparse = name, size, sparse
        self._meter = meter or Meter()
        self._first = self._next = 1
        self._lines: list[bytes] = []
        self._rows: list[Mapping[str, Any]] = []
        self._notes: list[Note] = []
        self._held = 0

    @property
    def number(self) -> int:
        """Of the row to come."""
        return self._next

    def add(self, row: Any) -> Iterator[Block]:
        """One row, as Python has it."""
        try:
            line, plain = self._said(row)
        except _Unsayable as error:
            yield from self.refuse(Note(error.code, error.message, self._next, error.path or None))
            return
        if line is None:
            if self._lines:
                yield self._block()
            self._rows.append(cast("Mapping[str, Any]", plain))
            self._held += 1 << 12  # not measured: what such rows weigh
        else:
            if self._rows:
                yield self._block()
            self._lines.append(line)
            self._held += len(line) + 1
        self._next += 1
        if self._held >= self._size:
            yield self._block()

    def refuse(self, *notes: Note) -> Iterator[Block]:
        """A row that is not there, and why."""
        if self._lines or self._rows:
            yield self._block()
        self._notes += notes
        self._next += 1
        self._first = self._next
        if len(self._notes) >= 1000:
            yield self._block()

    def tell(self, note: Note) -> None:
        self._notes.append(note)

    def end(self) -> Iterator[Block]:
        if self._lines or self._rows or self._notes:
            yield self._block()

    def _block(self) -> Block:
        data = b"\n".join(self._lines) if self._lines else None
        count = self._next - self._first
        block = Block(
            self._name,
            self._first,
            count,
            data=data,
            rows=self._rows or None,
            length=self._meter.since(),
            notes=tuple(self._notes),
        )
        self._first, self._held = self._next, 0
        self._lines, self._rows, self._notes = [], [], []
        return block

    def _said(self, row: Any) -> tuple[bytes | None, Any]:
        if type(row) is dict:
            try:
                line = orjson.dumps(row, _default, _OPTIONS)
            except TypeError:
                line = None
            if line is not None and (b"null" not in line or not (self._sparse or _may_hold_nan(row))):
                return self._measured(line), None
        elif not isinstance(row, Mapping):
            kind = type(row).__name__
            said = f": {shown(row)}" if isinstance(row, str) else ""
            raise _Unsayable("file.not-an-object", f"the row is a {kind}, not an object{said}")
        plain = _plain(row, "", 0, sparse=self._sparse)
        try:
            line = orjson.dumps(plain)
        except TypeError:  # half of a surrogate pair, or a number beyond 64 bits
            return None, plain
        return (None, plain) if b"null" in line and _may_hold_nan(plain) else (self._measured(line), None)

    def _measured(self, line: bytes) -> bytes:
        if len(line) > MAX_ROW:
            raise _Unsayable("file.row-too-large", f"the row has {len(line):,} bytes; at most {MAX_ROW:,} are read.")
        return line


def _default(value: Any) -> Any:
    """For orjson: what it does not write by itself and has one meaning. All else goes the slow way, which names the path."""
    if hasattr(value, "tolist"):  # numpy's arrays of objects, as pandas has them for lists in Parquet
        return value.tolist()
    raise TypeError


def _plain(value: Any, path: str, level: int, *, sparse: bool) -> Any:
    """The value in JSON's own types."""
    if level > MAX_DEPTH:
        raise _Unsayable("file.too-deep", f"nested more than {MAX_DEPTH} levels deep.")
    if value is None or isinstance(value, (bool, float)):
        return value if value is None or isinstance(value, bool) else float(value)
    if isinstance(value, int):
        if value.bit_length() > 1024:  # beyond every reader's numbers, and slow to write
            raise _Unsayable("file.not-a-number", "a whole number of more than 308 digits is not JSON.", path)
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, item in cast("Mapping[Any, Any]", value).items():
            name = _key(key, path)
            if sparse and (item is None or (not level and _is_missing(item))):
                continue
            if name in made:
                raise _Unsayable("file.duplicate-keys", f"two keys become {shown(name)} in JSON.", _at(path, name))
            made[name] = _plain(item, _at(path, name), level + 1, sparse=sparse)
        return made
    if isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        return [_plain(item, f"{path}[{index}]", level + 1, sparse=sparse) for index, item in enumerate(items)]
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise _Unsayable(
                "file.not-json", f"{len(value)} bytes that are not text, which JSON cannot say.", path
            ) from None
    if isinstance(value, Decimal):
        if value.is_nan():
            return math.nan
        whole = value.is_finite() and value.adjusted() < _DIGITS and value == value.to_integral_value()
        return int(value) if whole else float(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), path, level, sparse=sparse)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if type(value).__module__ == "uuid":
        return str(value)
    raise _Unsayable("file.not-json", f"a {type(value).__name__}, which JSON cannot say.", path)


def _key(key: Any, path: str) -> str:
    """As JSON has it; what is no name is refused."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, (int, float)):
        if abs(key) < 10**_DIGITS:
            return str(key)
    elif hasattr(key, "isoformat"):
        return str(key.isoformat())
    raise _Unsayable("file.not-json", f"a key that is a {type(key).__name__}, which JSON cannot say.", path)


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_missing(value: Any) -> bool:
    """The marks by which pandas says that a cell is empty."""
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in {"NaTType", "NAType"}


def _may_hold_nan(value: Any) -> bool:
    """Whether a null that orjson has written may have been NaN; True for what is not JSON's own type."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = cast("type[object]", type(item))
        if kind is dict:
            waiting.extend(item.values())
        elif kind is list:
            waiting.extend(item)
        elif kind is float:
            if not math.isfinite(item):
                return True
        elif kind not in {str, int, bool} and item is not None:
            return True
    return False


def rows(given: Iterable[Any], name: str, size: int, *, sparse: bool = False, meter: Meter | None = None) -> Blocks:
    """Any iterable of mappings."""
    builder = Builder(name, size, meter, sparse=sparse)
    for row in given:
        yield from builder.add(row)
    yield from builder.end()
    return builder.number > 1


# Parquet and Arrow

_Part = tuple[Any, float]  # a record batch, and how much of the file is read with it
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
)  # pyarrow raises all


def parquet(file: File, size: int) -> Blocks:
    """Row group by row group, a few hundred rows at a time."""
    module = need("pyarrow.parquet", "pyarrow", why=f"reading {file.name}")

    def batches(stream: Any) -> Iterator[_Part]:
        opened = module.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
        _refuse_bomb(opened.metadata, file)
        done, total = 0, max(1, opened.metadata.num_rows)
        for batch in opened.iter_batches(batch_size=_AT_ONCE, use_threads=False):
            done += batch.num_rows
            yield batch, done / total

    return (yield from _columnar(file, size, batches, "Parquet"))


def arrow(file: File, size: int) -> Blocks:
    """Arrow's file format (Feather too) or its stream format."""
    ipc = need("pyarrow", why=f"reading {file.name}").ipc

    def batches(stream: Any) -> Iterator[_Part]:
        magic = stream.read(6)
        stream.seek(0)
        if magic == b"ARROW1":
            opened = ipc.open_file(stream)
            total = opened.num_record_batches
            found = ((opened.get_batch(index), (index + 1) / total) for index in range(total))
        else:
            found = ((batch, stream.tell() / max(1, file.size or 0)) for batch in ipc.open_stream(stream))
        for batch, share in found:
            batch.validate(full=True)  # Arrow trusts a file's offsets, and wrong ones end the process
            yield batch, share

    return (yield from _columnar(file, size, batches, "Arrow"))


def _columnar(file: File, size: int, batches: Callable[[Any], Iterator[_Part]], what: str) -> Blocks:
    pyarrow = need("pyarrow", why=f"reading {file.name}")
    meter = Meter()
    builder = Builder(file.name, size, meter, sparse=True)
    broken: Broken | None = None
    if file.size == 0:
        return False
    with file.open() as stream:
        try:
            for batch, share in batches(stream):
                meter.read = int(min(share, 1) * (file.size or 0))
                for row in _pylist(batch):
                    yield from (
                        builder.refuse(row._replace(row=builder.number)) if isinstance(row, Note) else builder.add(row)
                    )
        except Broken as error:
            broken = error
        except (pyarrow.ArrowException, *_DAMAGE) as error:
            broken = Broken("file.damaged", f"the {what} data is damaged ({reason(error)}).")
    if broken is not None:
        builder.tell(broken.note(builder.number))
    yield from builder.end()
    return builder.number > 1 or broken is not None


def _pylist(batch: Any) -> Iterator[Any]:
    """Rows as dictionaries; one whose text is not UTF-8 is a note."""
    for start in range(0, batch.num_rows, _AT_ONCE):
        part = batch.slice(start, _AT_ONCE)
        try:
            yield from part.to_pylist()
        except UnicodeDecodeError:
            for index in range(part.num_rows):
                try:
                    yield from part.slice(index, 1).to_pylist()
                except UnicodeDecodeError as error:
                    yield Note("file.not-utf8", f"not UTF-8: byte 0x{error.object[error.start]:02x}.")


def _refuse_bomb(metadata: Any, file: File) -> None:
    """By the sizes that the file states of itself."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    expanded = max((group.total_byte_size for group in groups), default=0)
    if file.size is not None and expanded > MOST_EXPANDED and expanded > MOST_RATIO * file.size:
        message = f"{file.size:,} bytes that say they become {expanded:,}, more than {MOST_RATIO} times as many."
        raise Broken("file.expands-too-much", message)


# In memory


def batches_of(data: Any) -> Iterator[Any]:
    """Anything that speaks Arrow's C interface (polars, pyarrow, DuckDB …), a few hundred rows at a time."""
    pyarrow = need("pyarrow", why=f"reading a {type(data).__name__}")
    for batch in pyarrow.RecordBatchReader.from_stream(data):
        yield from _pylist(batch)


def pandas_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """A pandas frame's rows, slice by slice."""
    for start in range(0, len(frame), _AT_ONCE):
        yield from frame.iloc[start : start + _AT_ONCE].to_dict("records")


def polars_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """A polars frame's rows, slice by slice."""
    for part in frame.iter_slices(_AT_ONCE):
        yield from part.iter_rows(named=True)
