"""A JSON file as rows: one list, one object, or one object that holds one list, be it in another object.

The list is never held. Its elements are found with numpy over each chunk, the commas between them become line breaks, and
what comes out is JSONL, with every check of a line. A line break inside a string, which JSON forbids, becomes a carriage
return, which it forbids as well, so it is still told.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from tuneport.dataset.formats import Blocks, Broken, File, Meter, UnreadableError, chunks, cut, refuse_disguised
from tuneport.dataset.json_shape import ROW_KEYS, shape
from tuneport.dataset.lines import BOM, MAX_DEPTH, MAX_ROW, Block, Note, depth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STEP = 1 << 20
_WHITE = b" \t\r\n"
_EMPTY = re.compile(rb"\n[ \t\r]*(?=\n)")
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"[ \t\r\n]*:[ \t\r\n]*$')


def json_file(file: File, size: int, say: Callable[[str], None] | None = None) -> Blocks:
    """Rows are numbered by their place in the list. `say` is told under which keys the list stands, if under any."""
    meter = Meter()
    stream = chunks(file, meter, size)
    head, stream, whole = _head(stream)
    refuse_disguised(file, head)
    notes: tuple[Note, ...] = ()
    if head.startswith(BOM):
        notes = (Note("file.bom", "the file begins with a byte order mark (EF BB BF).", 1),)
    text = head.removeprefix(BOM).lstrip(_WHITE)
    if not text and whole:
        return False
    if text[:1] not in {b"[", b"{", b""}:
        raise _not_json(file, text if whole else text[:200])
    level, under = 1, ""
    if text[:1] == b"{":
        level, under = _wrapped(file, text) if whole else _wrapped_large(text)
    if under and say is not None:
        say(under)
    if not level:
        if whole:
            line = text.rstrip(_WHITE).replace(b"\n", b"\r")
            yield Block(file.name, 1, 1, data=line, length=meter.since(), notes=notes)
        else:
            message = f"one object of more than {MAX_ROW:,} bytes; at most {MAX_ROW:,} are read."
            note = Note("file.row-too-large", message, 1)
            yield Block(file.name, 1, 1, length=meter.since(), notes=(*notes, note))
        return True
    solid = False
    for piece in cut(_elements(itertools.chain([text], stream), level, checked=whole), unit="row"):
        if not solid and whole and piece.notes and piece.notes[0].code == "file.not-json":
            raise _not_json(file, text)
        solid = solid or bool(piece.notes) or not (piece.data or b" ").isspace()
        yield Block(
            file.name, piece.first, piece.lines, data=piece.data, length=meter.since(), notes=(*notes, *piece.notes)
        )
        notes = ()
    return solid


def _head(stream: Iterator[bytes]) -> tuple[bytes, Iterator[bytes], bool]:
    """The first 16 MB, the rest, and whether that is all."""
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in stream:
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ROW:
                return b"".join(parts), stream, False
    except Broken as error:
        return b"".join(parts), _raise(error), False
    return b"".join(parts), iter(()), True


def _raise(error: Broken) -> Iterator[bytes]:
    yield b""
    raise error


def _not_json(file: File, text: bytes) -> UnreadableError:
    """Why there is nothing to read in it."""
    row = 1
    try:
        value = json.loads(text.decode())
    except UnicodeDecodeError as error:
        said, code = f"not UTF-8 (byte 0x{text[error.start]:02x}). Save the file as UTF-8.", "file.not-utf8"
    except RecursionError:
        said, code = "nested too deeply.", "file.too-deep"
    except ValueError as error:
        row, code = getattr(error, "lineno", 1), "file.not-json"
        more = "This looks like one object a line: name the file .jsonl." if "Extra data" in str(error) else ""
        said = f"not JSON ({_why(error)}). {more or 'Correct the file there.'}"
    else:
        kind = "an empty list" if value == [] else f"a {type(value).__name__}"
        message = f"{file.name} holds no rows: it is {kind}, and the top of a .json dataset is a list of objects."
        return UnreadableError(message, source=file.name, code="file.empty")
    return UnreadableError(f"{file.name}, line {row}: {said}", source=file.name, row=row, code=code)


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return str(error).partition(";")[0]


def _wrapped(file: File, text: bytes) -> tuple[int, str]:
    """How deep the object's only list lies, and under which keys; 0 where the object is itself the row."""
    if depth(text) > MAX_DEPTH:
        return 0, ""
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(text.decode(), strict=False)
        except UnicodeDecodeError:
            return 0, ""
        except ValueError:
            if b"\0" in text:  # told with the row
                return 0, ""
            raise _not_json(file, text) from None
    return shape(cast("dict[str, Any]", value), file.name)


def _wrapped_large(text: bytes) -> tuple[int, str]:
    """The same for an object that is not held: by its first list that begins with an object, else its first."""
    keys: list[str] = []
    first: dict[int, str] = {}  # of each level
    for at, char, level in _Scan().marks(text).each():
        if char not in "[{" or level < 2 or level > MAX_DEPTH:
            continue
        found = _KEY.search(text, max(0, at - 1000), at)
        key = found[1].decode(errors="replace") if found else ""
        if level == 2 and key in ROW_KEYS:
            return 0, ""
        keys = [*keys[: level - 2], key]
        if char == "[" and level not in first:
            first[level] = ".".join(keys)
            if text[at + 1 : at + 100].lstrip(_WHITE)[:1] == b"{":
                return level, first[level]
    return next(iter(first.items()), (0, ""))


class _Marks(NamedTuple):
    """Brackets and commas outside strings: where, which, and the depth after each."""

    places: NDArray[np.intp]
    chars: NDArray[np.uint8]
    levels: NDArray[np.int64]

    def each(self) -> Iterator[tuple[int, str, int]]:
        for place, char, level in zip(self.places, self.chars, self.levels, strict=True):
            yield int(place), chr(char), int(level)


class _Scan:
    """Finds what structures JSON, chunk by chunk. A chunk must not end inside an escape."""

    def __init__(self) -> None:
        import numpy as np

        self.inside = 0  # a string
        self.level = 0
        self._wanted = np.zeros(256, bool)
        self._wanted[list(b'"[]{},')] = True
        self._step = np.zeros(256, np.int8)
        self._step[list(b"[{")] = 1
        self._step[list(b"]}")] = -1

    def marks(self, chunk: bytes) -> _Marks:
        import numpy as np

        text = np.frombuffer(chunk, np.uint8)
        slashes = np.flatnonzero(text == ord("\\"))
        if slashes.size:  # after an odd number of them, a quote does not end a string
            starts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
            lengths = np.diff(starts, append=slashes.size)
            escaped = slashes[starts + lengths - 1][lengths % 2 == 1] + 1
            text = text.copy()
            text[escaped[escaped < text.size]] = ord(" ")
        places = np.flatnonzero(self._wanted[text])
        chars = text[places]
        quotes = chars == ord('"')
        inside = (np.cumsum(quotes) + self.inside) & 1
        if inside.size:
            self.inside = int(inside[-1])
        outside = (inside == 0) & ~quotes
        places, chars = places[outside], chars[outside]
        levels = np.cumsum(self._step[chars], dtype=np.int64) + self.level
        if levels.size:
            self.level = int(levels[-1])
        return _Marks(places, chars, levels)


def _whole_escapes(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks of at most 1 MB that do not end between a backslash and what it escapes."""
    held = b""
    for part in stream:
        for start in range(0, len(part), _STEP):
            chunk = held + part[start : start + _STEP]
            held = b""
            if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2:
                chunk, held = chunk[:-1], b"\\"
            yield chunk
    yield held


def _elements(stream: Iterator[bytes], level: int, *, checked: bool) -> Iterator[bytes]:
    """The elements of the first list at `level`, one on each line. Raises Broken where the JSON around them is wrong.

    `checked`: what follows the list is known to be right.
    """
    import numpy as np

    scan = _Scan()
    opened = begun = several = False  # the list is reached; its present element has begun; and is not the first
    stream = _whole_escapes(stream)
    for chunk in stream:
        places, chars, levels = scan.marks(chunk)
        if not opened:
            found = np.flatnonzero((chars == ord("[")) & (levels == level))
            if not found.size:
                continue
            opened, skip = True, int(found[0]) + 1
            start = int(places[found[0]]) + 1
            places, chars, levels = places[skip:] - start, chars[skip:], levels[skip:]
            chunk = chunk[start:]  # noqa: PLW2901
        ends = np.flatnonzero(levels == level - 1)
        end = int(places[ends[0]]) if ends.size else None
        commas = places[(chars == ord(",")) & (levels == level)]
        if end is not None:
            commas = commas[commas < end]
        lines = bytearray(chunk[:end].replace(b"\n", b"\r"))
        if commas.size:
            np.frombuffer(lines, np.uint8)[commas] = ord("\n")
            several = True
        made = _EMPTY.sub(b"\n,", (b"x" if begun else b"\n") + bytes(lines))
        begun = bool(made[made.rfind(b"\n") + 1 :].strip(_WHITE))
        yield made[1:]
        if end is not None:
            if several and not begun:
                yield b","
            if begun or several:
                yield b"\n"
            if chunk[end : end + 1] != b"]":
                raise Broken("file.not-json", "the list is closed by }, not by ].")
            if not checked or level == 1:
                _after(itertools.chain([chunk[end + 1 :]], stream), level)
            return
    if begun and scan.level == level and not scan.inside:
        yield b"\n"
    raise Broken("file.not-json", "the file ends before its list is closed.", fix="Make the file again.")


def _after(stream: Iterator[bytes], level: int) -> None:
    """What follows the list: nothing, or the rest of the object, without another list."""
    rest = b""
    for chunk in stream:
        rest = (rest + chunk).lstrip(_WHITE)
        if len(rest) > MAX_ROW or (rest and level == 1):
            break
    if level == 1:
        if rest:
            shown = rest[:40].decode(errors="replace")
            raise Broken("file.not-json", f"text after the end of the list, which was not read: {shown!r}")
        return
    before = b'{"":' * (level - 2) + b'{"rows":0'
    for at, char, _ in _Scan().marks(rest).each():
        if char == "[" and rest[at + 1 : at + 100].lstrip(_WHITE)[:1] == b"{":
            key = _KEY.search(rest, max(0, at - 1000), at)
            named = f" under {key[1].decode(errors='replace')!r}" if key else ""
            message = f"another list of rows follows{named}, which was not read: a dataset is one list."
            fix = "Write each list to a file of its own: jq -c '.KEY[]' FILE > KEY.jsonl."
            raise Broken("file.not-json", message, fix)
    try:
        json.loads((before + rest).decode())
    except (ValueError, RecursionError):
        message = "what follows the list, which was not read, is not the rest of an object with one list."
        raise Broken("file.not-json", message) from None
