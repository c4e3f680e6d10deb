"""Standard input as a source: `-`, spooled to a temporary file once, so that all who ask can read it again.

What it is, its first bytes tell: a packed file, Parquet or Arrow by their marks, a JSON list or an object over several lines,
a table whose header names what rows hold. All else is taken for JSONL, whose reader says what is wrong with a line.
"""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import sys
import tempfile
from pathlib import Path

import orjson

from tuneport.dataset.formats import MAGIC, Broken, File, Meter, UnreadableError, chunks, format_of, reason
from tuneport.dataset.lines import BOM

MARK = "-"
NAME = "standard input"

_HEAD = 1 << 16  # bytes that are looked at
_STEP = 1 << 20  # bytes that are copied at once
_COLUMNS = frozenset(
    {"messages", "prompt", "completion", "chosen", "rejected", "conversations", "instruction", "output", "text"}
)
_CELLS = re.compile(r"[,;\t]")


@functools.cache
def spooled() -> File:
    """The file that holds what came in. It is removed when the process ends.

    Raises UnreadableError where there is no standard input, or no room for it.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  (so it is where it was closed)
        raise UnreadableError(f"{NAME} is closed: pipe rows in, or name a file.", source=NAME)
    try:
        with tempfile.NamedTemporaryFile(prefix="tuneport-stdin-", delete=False) as file:
            path = Path(file.name)
            atexit.register(path.unlink, missing_ok=True)
            shutil.copyfileobj(sys.stdin.buffer, file, _STEP)
            size = file.tell()
    except OSError as error:
        message = (
            f"{NAME} cannot be kept in {tempfile.gettempdir()}: {reason(error)}. Set TMPDIR to where there is room."
        )
        raise UnreadableError(message, source=NAME) from None
    kind, packing = _format(path)
    return File(NAME, str(path), kind, packing, size, plain=packing is None)


def _format(path: Path) -> tuple[str, str | None]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for magic, _, ending in MAGIC:
        if head.startswith(magic):
            named = format_of(f"x{ending}") or format_of(f"x.jsonl{ending}")
            if named is None:  # a zip archive: the reader says so
                return "jsonl", None
            kind, packing = named
            return (_kind(_unpacked(path, packing)) if packing else kind), packing
    return _kind(head), None


def _unpacked(path: Path, packing: str) -> bytes:
    try:
        return next(chunks(File(NAME, str(path), "jsonl", packing), Meter(), _HEAD), b"")
    except Broken:  # the reader says so
        return b""


def _kind(head: bytes) -> str:
    text = head.removeprefix(BOM).lstrip()
    first, *others = text.split(b"\n", 1)
    first = first.strip()
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        # One object over several lines begins with what is not an object by itself.
        return "json" if others and not first.endswith(b"}") and not _whole(first) and _opens(first) else "jsonl"
    names = [name.strip().strip('"') for name in _CELLS.split(first.decode(errors="replace"))]
    if _COLUMNS.intersection(names):
        return "tsv" if b"\t" in first else "csv"
    return "jsonl"


def _opens(line: bytes) -> bool:
    return line.endswith((b"{", b"[", b",", b":"))


def _whole(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
