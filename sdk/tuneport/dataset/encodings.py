"""Files that are not UTF-8, as UTF-8: for repairs only, since what a file is written in is not always certain.

With a byte order mark, UTF-16 and UTF-32 are certain. Without one, a line that is not UTF-8 and mostly ASCII is read as
Windows-1252, which much of Europe's and America's software writes: a guess, made line by line, told with what it gives, and not
made where the outcome is not what people write (another code page, a broken character in UTF-8).
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, cast

from tuneport.dataset.formats import File, Meter, chunks
from tuneport.dataset.lines import MAX_ROW

GUESS = "Windows-1252"

_STEP = 1 << 16
_MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HIGH = re.compile(rb"[\x80-\xff]")
_LETTERS = re.compile(rb"[A-Za-z\x80-\xff]")
_MOST_HIGH = 0.2  # of the letters: what is written in another script has more
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# Within a word stand letters, an apostrophe, a dash, a middle dot; a ³ or ¿ there is another code page's letter.
_WITHIN = re.compile("[^\\W\\d_][^\\w\\s\x00-\x7f‘’“”–—…·\xad€£«»]+[^\\W\\d_]|[^\\W\\d_][²³¹ªº¼½¾]+[^\\W\\d_]")
_CONTROL = re.compile("[\x80-\x9f]")
_AROUND = 20  # characters shown on each side of one that was guessed

Say = Callable[[int | None, str], None]  # the line (None: the whole file), and what was done


@dataclass(frozen=True)
class Decoded(File):
    """A file whose bytes come as UTF-8, unpacked. `say` is told what was not UTF-8 and how it was read."""

    given: File | None = None
    say: Say | None = None

    def open(self) -> IO[bytes]:
        given = cast("File", self.given)
        return cast("IO[bytes]", io.BufferedReader(_Stream(_utf8(given, cast("Say", self.say))), _STEP))


def decoded(file: File, say: Say) -> File:
    """The file as UTF-8. Parquet and Arrow say themselves what their texts are."""
    if file.kind in {"parquet", "arrow"}:
        return file
    fields = {name: getattr(file, name) for name in ("name", "path", "kind", "size", "remote")}
    return Decoded(**fields, given=replace(file, plain=False), say=say)


class _Stream(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _utf8(file: File, say: Say) -> Iterator[bytes]:
    stream = chunks(file, Meter(), _STEP)
    head = b""
    while len(head) < 4 and (piece := next(stream, None)) is not None:
        head += piece
    for mark, name in _MARKS:
        if head.startswith(mark):
            say(None, f"read as {name.upper()}, which its byte order mark says, and written as UTF-8")
            yield from _wide(head, stream, name)
            return
    yield from _by_line(head, stream, say)


def _wide(head: bytes, stream: Iterator[bytes], name: str) -> Iterator[bytes]:
    """What is no character becomes U+FFFD, and half of a surrogate pair with it."""
    decoder = codecs.getincrementaldecoder(name)(errors="replace")
    yield decoder.decode(head).encode()
    for piece in stream:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()


def _by_line(head: bytes, stream: Iterator[bytes], say: Say) -> Iterator[bytes]:
    """Whole lines, each mended where it can be. Of a line without an end, no more than a row may have is held."""
    number, held = 1, head
    while True:
        piece = next(stream, None)
        if piece is not None:
            held += piece
        end = len(held) if piece is None or len(held) > MAX_ROW else held.rfind(b"\n") + 1
        whole, held = held[:end], held[end:]
        if not _is_utf8(whole):
            lines = whole.split(b"\n")
            whole = b"\n".join(
                line if _is_utf8(line) else _guessed(line, number + at, say) for at, line in enumerate(lines)
            )
        yield whole
        number += whole.count(b"\n")
        if piece is None:
            return


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guessed(line: bytes, number: int, say: Say) -> bytes:
    """The line as UTF-8 where Windows-1252 is a good guess; else as it was, and the reader refuses it."""
    text = guess(line)
    if text is None:
        return line
    first = next(at for at, character in enumerate(text) if not character.isascii())
    start, end = max(0, first - _AROUND), first + 1 + _AROUND
    around = repr(("…" if start else "") + text[start:end].strip() + ("…" if end < len(text) else ""))
    say(number, f"read as {GUESS}, which is a guess, and written as UTF-8: {around}")
    return text.encode()


def guess(line: bytes) -> str | None:
    """A line that is not UTF-8, read as Windows-1252; None where that is unlikely to be what it is."""
    high = len(_HIGH.findall(line))
    if b"\0" in line or high > _MOST_HIGH * len(_LETTERS.findall(line)) or _UTF8.search(line):
        return None
    try:
        text = line.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) or _WITHIN.search(text) else text
