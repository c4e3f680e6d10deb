"""Files as streams: opened, unpacked and cut into blocks of whole lines, in bounded memory, whatever is in them.

Limits, and why. A row of more than 16 MB is refused: no provider takes it. Text packs 3 to 50 times, so what has grown to
more than 1 GB and to more than 200 times its size is refused, and so are 256 MB without a line break, from anything but a
plain local file. A repetitive file that is meant so can be unpacked by hand.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from tuneport.dataset.lines import MAX_ROW, Block, Note
from tuneport.errors import DatasetError, NotInstalledError

MOST_EXPANDED = 1 << 30  # bytes that may come of a packed file before its ratio is looked at
MOST_RATIO = 200
MOST_UNBROKEN = 256 << 20  # bytes without a line break

_STEP = 1 << 16  # packed bytes that are read at once
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_GROWTH = 1 << 17  # bytes that are unpacked at once, the size of a block in zstd
_PACKINGS = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}
_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
MAGIC = (
    (b"\x1f\x8b", "gzip", ".gz"),
    (b"\x28\xb5\x2f\xfd", "zstd", ".zst"),
    (b"PAR1", "Parquet", ".parquet"),
    (b"ARROW1", "Arrow", ".arrow"),
    (b"PK\x03\x04", "zip", ".zip"),
)

Blocks = Generator[Block, None, bool]  # returns whether there was anything but blanks


class UnreadableError(DatasetError):
    """A whole source cannot be read. `.code` is the issue's, one of `codes.CODES`."""

    def __init__(
        self, message: str, *, source: str | None = None, row: int | None = None, code: str = "file.unreadable"
    ) -> None:
        super().__init__(message, source=source, row=row)
        self.code = code
        self._attributes["code"] = code


class Broken(Exception):
    """A stream ends before its time: what came before is kept, and this is told."""

    def __init__(self, code: str, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.fix = code, message, fix

    def note(self, row: int | None = None) -> Note:
        return Note(self.code, self.message, row, fix=self.fix)


def need(module: str, package: str | None = None, *, why: str) -> Any:
    """An optional package, or NotInstalledError with what to type."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise NotInstalledError(
            f"{why} needs {package or module}: pip install 'tuneport[data]'", extra="data"
        ) from None


def format_of(name: str) -> tuple[str, str | None] | None:
    """`("jsonl", "gz")` for `x.jsonl.gz`; None where the ending says nothing known."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    packing = _PACKINGS.get(suffixes[-1]) if suffixes else None
    if packing:
        suffixes.pop()
    kind = _FORMATS.get(suffixes[-1]) if suffixes else None
    if kind is None or (packing and kind in {"parquet", "arrow"}):
        return None
    return kind, packing


@dataclass(frozen=True)
class File:
    """One file to read: local, or by fsspec's file system `remote`. `name` is what messages say: no query, no password."""

    name: str
    path: str
    kind: str
    packing: str | None = None
    size: int | None = None
    remote: Any = None
    plain: bool = False  # a regular local file as it is, so that a worker can read its part itself

    @property
    def format(self) -> str:
        return f"{self.kind}.{self.packing}" if self.packing else self.kind

    def open(self) -> IO[bytes]:
        try:
            return Path(self.path).open("rb") if self.remote is None else self.remote.open(self.path, "rb")
        except Exception as error:  # fsspec's file systems raise what their libraries raise
            raise UnreadableError(f"{self.name} cannot be read: {reason(error)}.", source=self.name) from error


def safe_name(url: str) -> str:
    """A URL without what may be a secret: user and password, query, fragment."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def reason(error: BaseException) -> str:
    """Why the system or a library refused, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().splitlines()[0].rstrip(".")


class Meter:
    """How far a file has been read, in its own bytes."""

    def __init__(self) -> None:
        self.read = 0
        self._told = 0

    def since(self) -> int:
        """Bytes read since this was asked before."""
        new, self._told = self.read - self._told, self.read
        return new


def chunks(file: File, meter: Meter, size: int) -> Iterator[bytes]:
    """The file's bytes, unpacked. Raises Broken where they end before their time."""
    with file.open() as stream:
        if file.packing is None:
            yield from _raw(stream, meter, size)
            return
        unpack = _gzip if file.packing == "gz" else _zstd
        held: list[bytes] = []
        expanded = gathered = 0
        try:
            for piece in unpack(_raw(stream, meter, _STEP)):
                held.append(piece)
                gathered += len(piece)
                expanded += len(piece)
                if expanded > MOST_EXPANDED and expanded > MOST_RATIO * meter.read:
                    raise Broken(
                        "file.expands-too-much",
                        f"{meter.read:,} bytes have become {expanded:,}, more than {MOST_RATIO} times as many; "
                        "the rest was not read.",
                    )
                if gathered >= size:
                    yield b"".join(held)
                    held, gathered = [], 0
        except Broken:
            yield b"".join(held)
            raise
        yield b"".join(held)


def _raw(stream: IO[bytes], meter: Meter, size: int) -> Iterator[bytes]:
    while True:
        try:
            data = stream.read(size)
        except Exception as error:  # as in File.open
            raise Broken("file.unreadable", f"reading stopped after {meter.read:,} bytes: {reason(error)}.") from error
        if not data:
            return
        meter.read += len(data)
        yield data


def _gzip(packed: Iterator[bytes]) -> Iterator[bytes]:
    """All members of a gzip file. zlib is asked for a little at a time, and again byte by byte where it stumbles."""
    decoder, fresh = zlib.decompressobj(31), True
    for data in packed:
        rest = data
        while rest:
            if fresh:
                rest = rest.lstrip(b"\0")  # padding between members and after the last, as tape and dd leave it
                if not rest:
                    break
            before = decoder.copy()
            try:
                made = decoder.decompress(rest, _GROWTH)
            except zlib.error as error:
                yield _bytewise(before, rest)
                raise Broken("file.damaged", f"the gzip data is damaged ({reason(error)}).") from None
            fresh = False
            if made:
                yield made
            if decoder.eof:
                rest, decoder, fresh = decoder.unused_data, zlib.decompressobj(31), True
            else:
                rest = decoder.unconsumed_tail
                while not rest and len(made) == _GROWTH:  # what zlib still holds
                    made = decoder.decompress(b"", _GROWTH)
                    yield made
    if not fresh:
        raise Broken("file.damaged", "the gzip data ends before its end.")


def _bytewise(decoder: Any, data: bytes) -> bytes:
    made = b""
    try:
        for index in range(len(data)):
            made += decoder.decompress(data[index : index + 1], _GROWTH)
    except zlib.error:
        return made
    return made


def _zstd(packed: Iterator[bytes]) -> Iterator[bytes]:
    """All frames of a zstd file. With the standard library's interface: it can be bounded, and says where a frame ends."""
    zstd = need(ZSTD, why="reading .zst")
    decoder, fresh = zstd.ZstdDecompressor(), True
    for data in packed:
        rest: bytes = data
        while rest:
            try:
                made: bytes = decoder.decompress(rest, _GROWTH)
                fresh = False
                while True:
                    if made:
                        yield made
                    if decoder.eof or decoder.needs_input:
                        break
                    made = decoder.decompress(b"", _GROWTH)
            except zstd.ZstdError as error:
                raise Broken("file.damaged", f"the zstd data is damaged ({reason(error)}).") from None
            rest = b""
            if decoder.eof:
                rest, decoder, fresh = decoder.unused_data, zstd.ZstdDecompressor(), True
    if not fresh:
        raise Broken("file.damaged", "the zstd data ends before its end.")


class Piece(NamedTuple):
    """Whole lines, and what there is to say before them."""

    data: bytes
    offset: int
    first: int
    lines: int
    notes: tuple[Note, ...] = ()


def cut(stream: Iterator[bytes], unit: str = "line") -> Iterator[Piece]:
    """Cut a stream at line breaks. Of a line that is too large no more than 16 MB are ever held.

    Where the stream breaks, the whole lines before are given, then a piece with the note; a line cut off there is not.
    """
    held: list[bytes] = []
    size = offset = skipped = 0  # of the line begun; where it begins; what was passed over of a line too large
    number = 1

    def too_large(length: int) -> Note:
        message = f"the {unit} has {length:,} bytes; at most {MAX_ROW:,} are read."
        return Note("file.row-too-large", message, number)

    try:
        for chunk in stream:
            rest = chunk
            end = rest.find(b"\n")
            if end >= 0 and (skipped or size + end > MAX_ROW):
                length = skipped or size
                yield Piece(b"", offset, number, 1, (too_large(length + end),))
                offset += length + end + 1
                number += 1
                rest = rest[end + 1 :]
                held, size, skipped = [], 0, 0
                end = rest.find(b"\n")
            if end < 0:
                if skipped or size + len(rest) > MAX_ROW:
                    skipped = (skipped or size) + len(rest)
                    held, size = [], 0
                    if skipped > MOST_UNBROKEN:
                        raise Broken(
                            "file.expands-too-much",
                            f"{skipped:,} bytes without a line break; the rest was not read.",
                            fix="Write one row on each line.",
                        )
                elif rest:
                    held.append(rest)
                    size += len(rest)
                continue
            last = rest.rfind(b"\n") + 1
            lines = rest.count(b"\n", 0, last)
            body = b"".join([*held, memoryview(rest)[:last]])
            yield Piece(body, offset, number, lines)
            offset += len(body)
            number += lines
            held = [rest[last:]] if last < len(rest) else []
            size = len(rest) - last
    except Broken as error:
        yield Piece(b"", offset, number, 0, (error.note(number),))
        return
    if skipped:
        yield Piece(b"", offset, number, 1, (too_large(skipped),))
    elif size:
        yield Piece(b"".join(held), offset, number, 1)


def refuse_disguised(file: File, data: bytes) -> None:
    for magic, what, ending in MAGIC:
        if data.startswith(magic):
            raise UnreadableError(
                f"{file.name} is {what} data, not text. "
                + ("Unpack it." if ending == ".zip" else f"Give it a name that ends in {ending}."),
                source=file.name,
                code="file.unknown-format",
            )
