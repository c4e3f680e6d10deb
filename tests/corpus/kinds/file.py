# ruff: noqa: E501 - a table reads better in one line a row
"""The file itself: encoding, lines, JSON, compression, size, number of rows."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus import dialects as d
from tests.corpus import talk
from tests.corpus.clean import GEMINI_25, NOVA, OPENAI, SEED, base
from tests.corpus.plant import Planted, add, plants
from tests.corpus.words import Row


def _lines(of: str = "support") -> list[bytes]:
    return [d.line(row).encode() for row in base(of)]


def _save(folder: Path, lines: list[bytes]) -> Path:
    return d.save(folder, b"\n".join(lines) + b"\n")


def line(name: str, code: str, number: int, change: Callable[[bytes], bytes], *says: str, also: tuple[str, ...] = (), of: str = "support",
         paths: tuple[str | None, ...] = ()) -> None:  # fmt: skip
    """One line of a sound file, changed as bytes."""

    def plant(folder: Path) -> Planted:
        lines = _lines(of)
        before = lines[number - 1]
        lines[number - 1] = change(before)
        if lines[number - 1] == before:
            raise ValueError(f"{name} changed nothing")
        return Planted(_save(folder, lines), number, paths, says)

    add(name, code, plant, also=also)


def whole(name: str, code: str, file: str, data: Callable[[], bytes], *says: str, row: int | None = None, also: tuple[str, ...] = ()) -> None:  # fmt: skip
    """A file that is wrong as a whole."""
    add(
        name,
        code,
        lambda folder: Planted(d.save(folder, data(), file), row, (), says, anywhere=code == "file.damaged"),
        also=also,
    )


def _no_rows() -> bytes:
    pa, out = d.arrow(), io.BytesIO()
    nothing = pa.array([], pa.string())
    d.arrow(".parquet").write_table(pa.table({"prompt": nothing, "completion": nothing}), out)
    return out.getvalue()


def _wrong_checksum() -> bytes:
    data = bytearray(d.as_gzip(base("support")))
    data[-7] ^= 0x55
    return bytes(data)


def _pressed(byte: bytes) -> bytes:
    """64 MB of one byte, as one member of a gzip file."""
    engine = zlib.compressobj(9, wbits=31)
    return engine.compress(byte * (1 << 26)) + engine.flush()


@plants("missing", "file.missing")
def _missing(folder: Path) -> Planted:
    return Planted(folder / "nowhere.jsonl", says=(r"nowhere\.jsonl",))


@plants("missing-glob", "file.missing")
def _glob(folder: Path) -> Planted:
    d.save(folder, d.jsonl(base("support")))
    return Planted(str(folder / "train-*.jsonl"), says=(r"train-\*\.jsonl",))


@plants("directory", "file.directory")
def _directory(folder: Path) -> Planted:
    d.save(folder, d.jsonl(base("support")), "rows/data.jsonl")
    return Planted(folder / "rows", says=("rows", "directory"))


@plants("unreadable", "file.unreadable")
def _unreadable(folder: Path) -> Planted:
    path = folder / "locked.jsonl"
    if os.geteuid() == 0:  # root opens any file, but no one opens a socket
        os.mknod(path, stat.S_IFSOCK | 0o600)
    else:
        path.write_bytes(d.jsonl(base("support")))
        path.chmod(0)
    return Planted(path, says=(r"locked\.jsonl",))


whole("spreadsheet", "file.unknown-format", "data.xlsx", lambda: b"PK\x03\x04" + bytes(200), "xlsx")
whole("empty", "file.empty", "data.jsonl", lambda: b"")
whole("empty-only-line-breaks", "file.empty", "data.jsonl", lambda: b"\n \n\t\n", also=("file.blank-line",))
whole("empty-json-list", "file.empty", "data.json", lambda: b"[]\n")
whole("empty-csv-header", "file.empty", "data.csv", lambda: b"prompt,completion\r\n")
whole("empty-gzip", "file.empty", "data.jsonl.gz", lambda: gzip.compress(b"", mtime=0))
whole("empty-parquet", "file.empty", "data.parquet", _no_rows)
whole("cut-gzip", "file.damaged", "data.jsonl.gz", lambda: d.as_gzip(base("support"))[:-1000], also=("file.not-json",))
whole("cut-zstd", "file.damaged", "data.jsonl.zst", lambda: d.as_zstd(base("support"))[:-1000], also=("file.not-json",))
whole("cut-parquet", "file.damaged", "data.parquet", lambda: d.as_parquet(base("support"))[:-500])
whole("cut-arrow", "file.damaged", "data.arrow", lambda: d.as_arrow(base("support"))[:-500])
whole("wrong-checksum-gzip", "file.damaged", "data.jsonl.gz", _wrong_checksum)
whole("named-gzip-but-plain", "file.damaged", "data.jsonl.gz", lambda: d.jsonl(base("support")))


@plants("zip-bomb", "file.expands-too-much", slow=True, also=["file.blank-line", "file.empty", "file.few-rows"])
def _bomb(folder: Path) -> Planted:
    """16 GB of line breaks in 16 MB: one compressed piece, many times over (gzip allows members in a row)."""
    return Planted(d.save(folder, _pressed(b"\n") * 256, "data.jsonl.gz"), anywhere=True)


@plants("zip-bomb-in-one-line", "file.expands-too-much", also=["file.row-too-large", "file.nul", "file.few-rows"])
def _bomb_line(folder: Path) -> Planted:
    """16 GB of zeros without a line break."""
    return Planted(d.save(folder, _pressed(b"\0") * 256, "data.jsonl.gz"), anywhere=True)


line("latin-1-byte", "file.not-utf8", 57, lambda old: old.replace(b". ", b" caf\xe9. ", 1), "0xe9|e9")
whole("utf-16", "file.not-utf8", "data.jsonl", lambda: d.jsonl(base("support")).decode().encode("utf-16"), row=1, also=("file.nul", "file.not-json"))  # fmt: skip
line("cut-in-a-character", "file.not-utf8", 93, lambda old: old.replace(b". ", "é".encode()[:1] + b". ", 1))
whole("byte-order-mark", "file.bom", "data.jsonl", lambda: b"\xef\xbb\xbf" + d.jsonl(base("support")), row=1)
line("nul-byte", "file.nul", 24, lambda old: old.replace(b". ", b".\0 ", 1), also=("file.not-json",))
line("nul-escape", "file.nul", 25, lambda old: old.replace(b". ", b".\\u0000 ", 1), paths=("messages[0].content",))

line("cut-line", "file.not-json", 88, lambda old: old[: len(old) // 2], "column|position|character")
line("single-quotes", "file.not-json", 3, lambda old: str(json.loads(old)).encode(), "column|position|character")
line("trailing-comma", "file.not-json", 66, lambda old: old[:-1] + b",}")
line("two-objects", "file.not-json", 119, lambda old: old + b" " + old.replace(b". ", b"! "))
line("python-literals", "file.not-json", 50, lambda old: old[:-1] + b', "parallel_tool_calls": True}', also=("structure.unknown-key",))  # fmt: skip
line("raw-line-break", "file.not-json", 61, lambda old: old.replace(b". ", b".\t\x01", 1))
line("comma-after-row", "file.not-json", 72, lambda old: old + b",")
line("a-list", "file.not-an-object", 5, lambda old: b"[" + old + b"]", "list|array")
line("a-string", "file.not-an-object", 6, lambda old: json.dumps(old.decode()).encode(), "string|str|text")
line("null", "file.not-an-object", 7, lambda old: b"null", "null|None")
line(
    "key-twice",
    "file.duplicate-keys",
    33,
    lambda old: old[:-1] + b', "messages": []}',
    "messages",
    also=("structure.no-messages",),
)
line("key-twice-nested", "file.duplicate-keys", 34, lambda old: old.replace(b'"role": "user"', b'"role": "user", "content": "old draft"'), "content")  # fmt: skip
line("key-twice-in-schema", "file.duplicate-keys", 35, lambda old: old.replace(b'"minLength": 2', b'"minLength": 2, "minLength": 5'), "minLength", of="tools")  # fmt: skip
line("nan", "file.not-a-number", 70, lambda old: old.replace(b'"role": "assistant"', b'"role": "assistant", "weight": NaN'), "NaN", also=("structure.weight",))  # fmt: skip
line("nan-nested", "file.not-a-number", 71, lambda old: old.replace(b'"exclusiveMinimum": 0', b'"exclusiveMinimum": NaN'), "NaN", of="tools", also=("tools.schema",))  # fmt: skip
line("infinity", "file.not-a-number", 72, lambda old: old.replace(b'"minItems": 1', b'"minItems": -Infinity'), "Infinity", of="tools", also=("tools.schema",))  # fmt: skip
line("lone-surrogate", "file.lone-surrogate", 91, lambda old: old.replace(b". ", b" \\ud83d. ", 1), "ud83d", paths=("messages[0].content", None))  # fmt: skip
line("lone-low-surrogate", "file.lone-surrogate", 92, lambda old: old.replace(b". ", b" \\uDE00. ", 1), "ude00", paths=("messages[0].content", None))  # fmt: skip
line("deep", "file.too-deep", 108, lambda old: old[:-1] + b', "note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", also=("structure.unknown-key", "file.not-json"))  # fmt: skip
line("row-of-17-mb", "file.row-too-large", 40, lambda old: old.replace(b". ", b". " + b"long " * 3_500_000, 1), "16", also=("tokens.outlier",))  # fmt: skip


@plants("blank-line", "file.blank-line")
def _blank(folder: Path) -> Planted:
    lines = _lines()
    lines.insert(59, b"")
    return Planted(_save(folder, lines), 60)


@plants("blank-line-of-spaces", "file.blank-line")
def _spaces(folder: Path) -> Planted:
    lines = _lines()
    lines.insert(9, b"  \t")
    return Planted(_save(folder, lines), 10)


@plants("damage-in-second-file", "file.not-json")
def _second(folder: Path) -> Planted:
    lines = _lines()
    d.save(folder, b"\n".join(lines[:60]) + b"\n", "part-0.jsonl")
    lines[64] = lines[64][:-3]
    d.save(folder, b"\n".join(lines[60:]) + b"\n", "part-1.jsonl")
    return Planted(str(folder / "part-*.jsonl"), 5, source="part-1.jsonl")


@plants("cells-without-quotes", "file.columns")
def _cells(folder: Path) -> Planted:
    """A comma in a cell that isn't quoted: three cells where the header names two."""
    rows = [d.trl({"messages": row["messages"][1:]}) for row in base("support")]
    lines = d.as_csv(rows).split(b"\r\n")
    lines[33] = b"Do you ship to Bergen, and when?,By ship in nine days."
    return Planted(d.save(folder, b"\r\n".join(lines), "data.csv"), 33, says=(r"\b3\b|three", r"\b2\b|two"))


def _renamed(row: Row) -> Row:
    return {"frage": row["messages"][1]["content"], "antwort": row["messages"][2]["content"]}


@plants("unknown-keys-throughout", "file.unknown-dialect")
def _unknown(folder: Path) -> Planted:
    return Planted(d.save(folder, d.jsonl([_renamed(row) for row in base("support")])), 1, says=("frage",))


@plants("unknown-keys-in-one-row", "file.unknown-dialect", also=["file.mixed-dialects"])
def _one_unknown(folder: Path) -> Planted:
    rows = base("support")
    rows[84] = _renamed(rows[84])
    return Planted(d.save(folder, d.jsonl(rows)), 85, says=("frage",))


@plants("mixed-dialects", "file.mixed-dialects")
def _mixed(folder: Path) -> Planted:
    rows = base("support")
    rows[76] = {"prompt": rows[76]["messages"][1]["content"], "completion": rows[76]["messages"][2]["content"]}
    return Planted(d.save(folder, d.jsonl(rows)), 77, says=("trl|prompt|bedrock-completion", "openai|messages"))


@plants("mixed-dialects-vertex", "file.mixed-dialects")
def _mixed_vertex(folder: Path) -> Planted:
    rows = base("support")
    rows[20] = d.vertex(rows[20])
    return Planted(d.save(folder, d.jsonl(rows)), 21, says=("vertex", "openai"))


def few(name: str, code: str, count: int, *says: str, written: Callable[[Row], Row] | None = None, also: tuple[str, ...] = (), **options: Any) -> None:  # fmt: skip
    def plant(folder: Path) -> Planted:
        rows = base("support")[:count]
        return Planted(d.save(folder, d.jsonl([written(row) for row in rows] if written else rows)), says=says)

    add(name, code, plant, also=also, **options)


few("three-rows", "file.few-rows", 3, r"\b3\b", "50")
few("thirty-rows", "file.few-rows", 30, r"\b30\b", "50")
few("nine-rows-openai", "file.too-few-rows", 9, r"\b9\b", r"\b10\b", also=("file.few-rows",), target=OPENAI)
few("seven-rows-nova", "file.too-few-rows", 7, r"\b7\b", r"\b8\b", also=("file.few-rows",), target=NOVA, written=d.bedrock_converse)  # fmt: skip


# So many rows of one grammar repeat themselves here and there
_REPEATS = ("quality.near-duplicate", "quality.contradiction", "split.near-leak")


@plants("20001-rows-nova", "file.too-many-rows", slow=True, target=NOVA, also=_REPEATS)
def _many(folder: Path) -> Planted:
    rows = [d.bedrock_converse(row) for row in talk.support(SEED, 20_001, check=False)]
    return Planted(d.save(folder, d.jsonl(rows)), says=("20.?001", "20.?000"))


@plants("5001-validation-rows-gemini", "file.too-many-rows", slow=True, target=GEMINI_25, also=_REPEATS)
def _many_held_out(folder: Path) -> Planted:
    held = d.save(folder, d.jsonl(talk.support("held out", 5_001, check=False)), "held.jsonl")
    return Planted(d.save(folder, d.jsonl(base("support"))), says=("5.?001", "5.?000"), options={"validation": held})


@plants("600-mb-openai", "file.too-large", slow=True, target=OPENAI)
def _large(folder: Path) -> Planted:
    """Sound rows, each followed by 5 MB of blanks that JSON ignores."""
    path = folder / "data.jsonl"
    with path.open("wb") as file:
        for row in base("support"):
            file.write(d.line(row).encode() + b" " * 5_000_000 + b"\n")
    return Planted(path, says=("MB|GB|MiB|GiB|bytes",))
