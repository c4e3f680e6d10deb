"""Reading: every format and kind of source gives the same rows, every problem of a line is named, and nothing is lost."""

from __future__ import annotations

import csv
import gzip
import json
import pickle
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset import formats
from tuneport.dataset.checks.base import Context, Findings, Limits, Target
from tuneport.dataset.checks.file import FileCheck
from tuneport.dataset.lines import MAX_ROW
from tuneport.dataset.rows import Batch, Row, Split
from tuneport.dataset.sources import Block, UnreadableError, describe, open_source, parse
from tuneport.errors import DatasetError, NotInstalledError

ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": f"Frage {n}: wie spät ist es? 日本\u2028\n\"'\\"},
            {"role": "assistant", "content": f"{n} Uhr 😀"},
        ]
    }
    for n in range(40)
]


def collect(source: Any, **options: Any) -> tuple[list[Row], Findings]:
    findings = Findings()
    rows: list[Row] = []
    for block in open_source(source, **options):
        rows += parse(pickle.loads(pickle.dumps(block)), findings)  # as it would reach a worker
    return rows, findings


def data(rows: Iterable[Row]) -> list[Any]:
    return [row.data for row in rows]


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def told(findings: Findings) -> set[tuple[str, int | None]]:
    return {(issue.code, issue.row) for issue in findings.issues}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zstd(content: bytes) -> bytes:
    from backports import zstd as module

    return module.compress(content, options={module.CompressionParameter.checksum_flag: 1})


# Formats


def _jsonl(path: Path) -> None:
    path.write_bytes(lines(ROWS))


def _crlf(path: Path) -> None:
    path.write_bytes(lines(ROWS).replace(b"\n", b"\r\n").rstrip())


def _json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=1, ensure_ascii=False), encoding="utf-8")


def _wrapped(path: Path) -> None:
    path.write_text(json.dumps({"name": "x", "rows": ROWS, "n": {"of": 40}}), encoding="utf-8")


def _csv(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["messages"])
        out.writerows([json.dumps(row["messages"])] for row in ROWS)


def _tsv(path: Path) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file, delimiter="\t")
        out.writerow(["messages"])
        out.writerows([json.dumps(row["messages"])] for row in ROWS)


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=7)


def _feather(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather

    feather.write_feather(pa.Table.from_pylist(ROWS), str(path))


def _arrow_stream(path: Path) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(ROWS)
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=6)


FORMATS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "jsonl": ("d.jsonl", _jsonl),
    "ndjson, CRLF, no last line end": ("d.NDJSON", _crlf),
    "json": ("d.json", _json),
    "json in an object": ("d.json", _wrapped),
    "csv": ("d.csv", _csv),
    "tsv with a mark": ("d.tsv", _tsv),
    "parquet": ("d.parquet", _parquet),
    "feather": ("d.feather", _feather),
    "arrow stream": ("d.arrow", _arrow_stream),
}


@pytest.mark.parametrize("block_bytes", [1 << 10, 4 << 20])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_rows_in_order_and_numbered(tmp_path: Path, kind: str, block_bytes: int) -> None:
    name, make = FORMATS[kind]
    make(tmp_path / name)
    rows, findings = collect(tmp_path / name, block_bytes=block_bytes)
    assert data(rows) == ROWS
    assert [row.number for row in rows] == list(range(1, 41))
    assert findings.issues == []


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("zst", zstd), ("zstd", zstd)])
@pytest.mark.parametrize(
    "kind", [kind for kind in FORMATS if "d.p" not in FORMATS[kind][0] and "arrow" not in kind and kind != "feather"]
)
def test_text_formats_are_read_packed(tmp_path: Path, kind: str, ending: str, pack: Callable[[bytes], bytes]) -> None:
    name, make = FORMATS[kind]
    make(tmp_path / name)
    packed = write(tmp_path / f"{name}.{ending}", pack((tmp_path / name).read_bytes()))
    assert data(collect(packed, block_bytes=1 << 10)[0]) == ROWS
    source = open_source(packed)
    assert source.total_bytes == packed.stat().st_size
    assert source.format.endswith(".gz" if ending == "gz" else ".zst")


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz", "d.parquet"])
def test_the_lengths_of_the_blocks_come_to_the_size_of_the_file(tmp_path: Path, name: str) -> None:
    if name == "d.parquet":
        _parquet(tmp_path / name)
    else:
        write(tmp_path / name, gzip.compress(lines(ROWS)) if name.endswith("gz") else lines(ROWS))
    source = open_source(tmp_path / name, block_bytes=1 << 10)
    assert sum(block.length for block in source) == source.total_bytes == (tmp_path / name).stat().st_size


def test_members_and_frames_one_after_the_other_are_one_file(tmp_path: Path) -> None:
    half = lines(ROWS[:20]), lines(ROWS[20:])
    gz = write(tmp_path / "d.jsonl.gz", b"".join(map(gzip.compress, half)) + bytes(512))
    zst = write(tmp_path / "d.jsonl.zst", b"".join(map(zstd, half)))
    assert data(collect(gz)[0]) == data(collect(zst)[0]) == ROWS


def test_a_plain_file_is_read_by_the_worker_and_a_block_stays_small(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", lines(ROWS * 200))
    blocks = list(open_source(path, block_bytes=1 << 16))
    assert len(blocks) > 5
    assert all(block.path and block.data is None and len(pickle.dumps(block)) < 1000 for block in blocks)
    assert all(block.length < 2 << 16 for block in blocks)
    assert [block.first_of_file for block in blocks] == [True] + [False] * (len(blocks) - 1)
    assert [block.first for block in blocks[1:]] == [block.first + block.lines for block in blocks[:-1]]


def test_raw_is_the_line_as_it_stands(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", b'{"a" : 1}\r\n{"b":\t2}')
    assert [row.raw for row in collect(path)[0]] == [b'{"a" : 1}', b'{"b":\t2}']


# CSV


def test_csv_cells_are_text_and_columns_of_turns_are_parsed(tmp_path: Path) -> None:
    turns = json.dumps([{"role": "user", "content": "q"}]).replace('"', '""')
    content = f'prompt,completion,tools,weight\n"{turns}","{{""label"": ""x""}}",,1\n"two\nlines",[1],"[]",\n'
    rows, findings = collect(write(tmp_path / "d.csv", content.encode()))
    assert data(rows) == [
        {"prompt": [{"role": "user", "content": "q"}], "completion": '{"label": "x"}', "weight": "1"},
        {"prompt": "two\nlines", "completion": "[1]", "tools": [], "weight": ""},
    ]
    assert findings.issues == []


def test_csv_problems_name_the_row_and_reading_goes_on(tmp_path: Path) -> None:
    content = b"messages;n\n[];1\n[{'role': 'user'}];2\n\n[];3;4\n[];\xe9\n[];5\n"
    rows, findings = collect(write(tmp_path / "d.csv", content))
    assert [(row.number, row.data["n"]) for row in rows] == [(1, "1"), (5, "5")]
    assert told(findings) == {("file.not-json", 2), ("file.columns", 3), ("file.not-utf8", 4)}
    assert "json.dumps" in str(findings.issues[0])


def test_a_quote_that_is_never_closed_is_refused_and_the_rows_before_stay(tmp_path: Path) -> None:
    content = b'prompt,completion\nq,a\n"q,a\n' + b"word,word\n" * (MAX_ROW // 9)
    rows, findings = collect(write(tmp_path / "d.csv", content))
    assert data(rows) == [{"prompt": "q", "completion": "a"}]
    assert told(findings) == {("file.row-too-large", 2)}


# In memory


def _pandas(rows: list[Any]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows)


def _polars(rows: list[Any]) -> Any:
    import polars as pl

    return pl.DataFrame(rows)


def _arrow_table(rows: list[Any]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(rows)


def _reader(rows: list[Any]) -> Any:
    return _arrow_table(rows).to_reader()


def _datasets(rows: list[Any]) -> Any:
    import datasets

    return datasets.Dataset.from_list(rows)


MEMORY: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "pandas": _pandas,
    "polars": _polars,
    "arrow table": _arrow_table,
    "arrow reader": _reader,
    "datasets": _datasets,
}


@pytest.mark.parametrize("kind", MEMORY)
def test_every_kind_in_memory_gives_the_same_rows(kind: str) -> None:
    rows, findings = collect(MEMORY[kind](ROWS), block_bytes=1 << 10)
    assert data(rows) == ROWS
    assert [row.number for row in rows] == list(range(1, 41))
    assert findings.issues == []


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow table", "datasets"])
def test_what_a_table_fills_up_with_nulls_is_left_out_again(kind: str) -> None:
    given = [
        {"messages": [{"role": "user", "content": "q"}], "n": 1.5},
        {"messages": [{"role": "user", "content": "q", "name": "x"}]},
    ]
    assert data(collect(MEMORY[kind](given))[0]) == given


def test_in_a_list_of_rows_nothing_is_left_out() -> None:
    given = [{"a": None, "b": [None, {"c": None}]}]
    assert data(collect(given)[0]) == given


def test_values_of_python_become_jsons_and_the_others_are_named() -> None:
    import datetime
    import decimal
    import uuid

    import numpy as np

    day = datetime.date(2026, 1, 2)
    cycle: dict[str, Any] = {}
    cycle["me"] = cycle
    given: list[Any] = [
        {"t": (1, 2), "n": np.int64(3), "f": np.float32(0.5), "l": np.array(["x", {"y": 1}], dtype=object), 7: day},
        {"u": uuid.UUID(int=0), "d": decimal.Decimal("1.50"), "b": b"text", "big": 2**70},
        {"x": {"y": [object()]}},
        {"z": b"\xff\xfe"},
        cycle,
        "text",
        {"ok": True},
    ]
    rows, findings = collect(given)
    assert data(rows) == [
        {"t": [1, 2], "n": 3, "f": 0.5, "l": ["x", {"y": 1}], "7": "2026-01-02"},
        {"u": "00000000-0000-0000-0000-000000000000", "d": 1.5, "b": "text", "big": 2**70},
        {"ok": True},
    ]
    assert [row.number for row in rows] == [1, 2, 7]
    assert told(findings) == {
        ("file.not-json", 3),
        ("file.not-json", 4),
        ("file.too-deep", 5),
        ("file.not-an-object", 6),
    }
    assert findings.issues[0].path == "x.y[0]"


def test_nan_and_surrogates_in_python_rows_are_named_and_kept() -> None:
    given = [{"a": 1}, {"a": [0.5, float("nan")]}, {"b": {"c": float("-inf")}}, {"d": "x\ud83d"}, {"e": "x\0"}]
    rows, findings = collect(given)
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert rows[1].data["a"][1] != rows[1].data["a"][1]
    assert rows[3].data == given[3]
    assert {(issue.code, issue.row, issue.path) for issue in findings.issues} == {
        ("file.not-a-number", 2, "a[1]"),
        ("file.not-a-number", 3, "b.c"),
        ("file.lone-surrogate", 4, "d"),
        ("file.nul", 5, "e"),
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"messages": []}, "the keys ['messages']"),
        (3, "cannot be read from int"),
        (None, "cannot be read from NoneType"),
        ([], "is empty"),
        (iter(()), "is empty"),
    ],
)
def test_what_is_no_source_is_one_clear_error(given: Any, says: str) -> None:
    with pytest.raises(DatasetError) as caught:
        collect(given)
    assert says in str(caught.value)


def test_a_lazy_frame_and_a_dict_of_splits_say_what_to_give() -> None:
    import datasets
    import polars as pl

    with pytest.raises(DatasetError, match=r"collect\(\)"):
        open_source(pl.LazyFrame(ROWS))
    with pytest.raises(DatasetError, match=r"data\['train'\]"):
        open_source(datasets.DatasetDict({"train": _datasets(ROWS)}))


# Lines

LINES: dict[str, tuple[bytes, str, str | None, str, bool]] = {
    "blank": (b" \t", "file.blank-line", None, "blank", False),
    "nul escaped": (rb'{"a": {"b": "x\u0000"}}', "file.nul", "a.b", r"x\x00", True),
    "nul in a string": (b'{"a": "x\0"}', "file.nul", "a", r"x\x00", True),
    "nul between": (b'{"a": 1}\0\0', "file.nul", None, "column 9", True),
    "only nul": (b"\0" * 50, "file.nul", None, "column 1", False),
    "latin": (b'{"a": "caf\xe9"}', "file.not-utf8", None, "byte 0xe9 at position 11", False),
    "surrogate in utf-8": (b'{"a": "\xed\xa0\xbd"}', "file.not-utf8", None, "byte 0xed at position 8", False),
    "broken": (b'{"a": [1, 2}', "file.not-json", None, "column 12", False),
    "two": (b'{"a": 1}{"a": 2}', "file.not-json", None, "line of its own", False),
    "python": (b"{'a': True}", "file.not-json", None, "json.dumps", False),
    "comma": (b'{"a": 1,}', "file.not-json", None, "column 9", False),
    "indented": (b"{", "file.not-json", None, "jq -c", False),
    "raw tab": (b'{"a": "x\ty"}', "file.not-json", None, "control character at column 9", True),
    "list": (b"[1]", "file.not-an-object", None, "a list", False),
    "null": (b"null", "file.not-an-object", None, "null", False),
    "twice": (b'{"a": 1, "b": [{"c": 1, "c": 1}]}', "file.duplicate-keys", "b[0].c", "'c' stands twice in b[0]", True),
    "twice, spaced": (b'{"a" :1,"b":":","b":2}', "file.duplicate-keys", "b", "twice", True),
    "twice, a colon escaped": (rb'{"a":"\u003a","a":":"}', "file.duplicate-keys", "a", "twice", True),
    "twice, the key escaped": (rb'{"a":1,"\u0061":2}', "file.duplicate-keys", "a", "twice", True),
    "nan": (b'{"a": [1, NaN], "b": NaN}', "file.not-a-number", "a[1]", "NaN is not JSON (1 more", True),
    "infinity": (b'{"a": -Infinity}', "file.not-a-number", "a", "-Infinity", True),
    "too large a number": (b'{"a": 1e999}', "file.not-a-number", "a", "Infinity", True),
    "thousands of digits": (b'{"a": ' + b"9" * 5000 + b"}", "file.not-json", None, "4300 digits", False),
    "surrogate": (rb'{"a": "\ud83d."}', "file.lone-surrogate", "a", r"\ud83d", True),
    "surrogate far in": (
        b'{"a": "' + b"long " * 50 + rb'\udE00 end"}',
        "file.lone-surrogate",
        "a",
        r"\ude00 at ch",
        True,
    ),
    "surrogate in a key": (rb'{"a": {"x\ud83d": "y"}}', "file.lone-surrogate", r"a.x\ud83d", r"\ud83d at ch", True),
    "nul far in": (b'{"a": "' + b"long " * 50 + rb'\u0000 end"}', "file.nul", "a", r"long \x00 end", True),
    "deep list": (b"[" * 100_000, "file.too-deep", None, "100,000 levels", False),
    "deep object": (b'{"a":' * 251 + b"1" + b"}" * 251, "file.too-deep", None, "251 levels", False),
    "mark": (b'\xef\xbb\xbf{"a": 1}', "file.bom", None, "EF BB BF", True),
    "UTF-16": ('{"a": "x"}'.encode("utf-16"), "file.not-utf8", None, "UTF-16", False),
}


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("around", [1, 300])
def test_every_problem_of_a_line_is_named_alone_and_reading_goes_on(tmp_path: Path, kind: str, around: int) -> None:
    line, code, path, says, kept = LINES[kind]
    good = lines(ROWS[:1])
    rows, findings = collect(write(tmp_path / "d.jsonl", good * around + line + b"\n" + good * around))
    (issue,) = findings.issues
    assert (issue.code, issue.row, issue.path) == (code, around + 1, path)
    assert says in str(issue)
    assert issue.fix
    assert len(rows) == 2 * around + kept
    assert (around + 1 in {row.number for row in rows}) is kept


def test_half_a_pair_is_shown_with_what_stands_around_it(tmp_path: Path) -> None:
    text = (
        b"Once upon a time there was a parcel " + rb"\ud83d\ude00 \ud83d" + b" that went to Bergen and to Oslo by ship."
    )
    _, findings = collect(write(tmp_path / "d.jsonl", b'{"a": "' + text * 30 + b'"}'))
    (issue,) = findings.issues
    assert r"\ud83d at character 39 (29 more in this row)" in issue.message
    assert r"re was a parcel 😀 \ud83d that went to Ber" in issue.message
    assert "Once" not in issue.message
    assert issue.message.encode()  # it can be written


@pytest.mark.parametrize(
    "line",
    [
        rb'{"a": "\\u0000 \\ud83d \\u003a"}',
        rb'{"a": "\ud83d\ude00 \u00e9 \u003a"}',
        b'{"a:b": "::", ":": "\\":"}',
        b'{"a": "' + b'\\":' * 50 + b'"}',
        b'{"a":' * 250 + b"1" + b"}" * 250,
        b'{"a": "' + b"[" * 1000 + b'"}',
        b'{"a": 1e308, "b": 123456789012345678901234567890, "c": 1E-400}',
        b'{"a": {"b": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}',
        b'{"": {"": ""}}',
        '{"a": "\u2028\x7f\ufeff"}'.encode(),
    ],
)
def test_lines_that_only_look_wrong_raise_nothing(tmp_path: Path, line: bytes) -> None:
    rows, findings = collect(write(tmp_path / "d.jsonl", line + b"\n" + line))
    assert findings.issues == []
    assert data(rows) == [json.loads(line)] * 2 or b"1234567890" in line


_ODD = ['a"b', "\\", '\\\\"', '":"', "role", "{}", "\u00e9"]
_TEXT = st.one_of(st.sampled_from(_ODD), st.text(min_size=1, max_size=20))


@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(_TEXT.filter(lambda text: text.isprintable() and bool(text.strip())), min_size=2, max_size=8),
    ascii_only=st.booleans(),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
    twice=st.sampled_from(["messages", "messages[0].role", "messages[1].content"]),
    where=st.integers(0, 4),
)
def test_a_key_that_stands_twice_is_found_among_plain_conversations(
    texts: list[str], ascii_only: bool, separators: tuple[str, str], twice: str, where: int
) -> None:
    def line(said: list[str]) -> str:
        turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
        return json.dumps({"messages": turns}, ensure_ascii=ascii_only, separators=separators)

    said = texts[: len(texts) // 2 * 2]
    lines = [line(said)] * 5

    def read() -> tuple[list[Row], Findings]:
        findings = Findings()
        return parse(Block("d.jsonl", 1, 5, data="\n".join(lines).encode()), findings), findings

    rows, findings = read()
    assert told(findings) == set()
    assert data(rows) == [json.loads(one) for one in lines]
    key = twice.rpartition(".")[2]
    old = f'"{key}"{separators[1]}'
    value = {"messages": "[]", "role": '"user"', "content": json.dumps(said[-1])}[key]
    at = lines[where].rfind(old) if key == "content" else lines[where].find(old)
    lines[where] = f"{lines[where][:at]}{old}{value}{separators[0]}{lines[where][at:]}"
    rows, findings = read()
    assert told(findings) == {("file.duplicate-keys", where + 1)}
    assert len(rows) == 5


def test_quotes_after_backslashes_hide_no_key_that_stands_twice() -> None:
    """As many texts end in a backslash as the key and its value have quotes: taken for escaped, they would make up for it."""
    text = rb'"content":"\\"'
    turns = [b'{"role":"user",' + text + b"}", b'{"role":"assistant",' + text + b"}"] * 2
    good = b'{"messages":[' + b",".join(turns) + b"]}"
    wrong = good.replace(b'"role":', b'"role":"user","role":', 1)
    for lines_, expected in (([good] * 3, set[Any]()), ([wrong], {("file.duplicate-keys", 1)})):
        findings = Findings()
        rows = parse(Block("d.jsonl", 1, len(lines_), data=b"\n".join(lines_)), findings)
        assert told(findings) == expected
        assert [row.data for row in rows] == [json.loads(good)] * len(lines_)


def test_a_mark_at_the_beginning_is_a_warning_of_its_own(tmp_path: Path) -> None:
    rows, findings = collect(write(tmp_path / "d.jsonl", b"\xef\xbb\xbf" + lines(ROWS)))
    assert data(rows) == ROWS
    assert [(issue.code, issue.row, issue.severity) for issue in findings.issues] == [("file.bom", 1, "warning")]


def test_a_row_that_is_too_large_is_refused_and_those_around_it_are_read(tmp_path: Path) -> None:
    good = lines(ROWS[:1])
    at_most = b'{"a": "' + b"x" * (MAX_ROW - 9) + b'"}'
    content = good + at_most + b"\n" + at_most + b" \n" + good + b'{"a": "' + b"x" * (MAX_ROW + 5)
    for name, packed in (("d.jsonl", content), ("d.jsonl.gz", gzip.compress(content, 1))):
        rows, findings = collect(write(tmp_path / name, packed))
        assert [row.number for row in rows] == [1, 2, 4]
        assert told(findings) == {("file.row-too-large", 3), ("file.row-too-large", 5)}
        assert "16,777,217 bytes" in findings.issues[0].message
    listed = b"[" + b",".join([good.strip(), at_most + b" ", good]) + b"]"
    rows, findings = collect(write(tmp_path / "d.json", listed))
    assert [row.number for row in rows] == [1, 3]
    assert told(findings) == {("file.row-too-large", 2)}
    rows, findings = collect([{"a": 1}, {"a": "x" * MAX_ROW}, {"a": 3}])
    assert [row.number for row in rows] == [1, 3]
    assert told(findings) == {("file.row-too-large", 2)}


def test_a_file_cut_short_after_it_was_opened_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", lines(ROWS))
    blocks = list(open_source(path))
    path.write_bytes(lines(ROWS[:3]))
    findings = Findings()
    assert len(parse(blocks[0], findings)) == 3
    assert [issue.code for issue in findings.issues] == ["file.unreadable"]


# Damage


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("zst", zstd)])
def test_rows_before_damage_are_kept(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    rng = random.Random(5)
    given = [{"text": "".join(rng.choices("abcdefghijklmnop ", k=400))} for _ in range(6000)]
    packed = pack(lines(given))
    middle = len(packed) // 2
    for content in (
        packed[:middle],
        packed[:middle] + bytes(b ^ 0x5A for b in packed[middle : middle + 400]) + packed[middle + 400 :],
    ):
        rows, findings = collect(write(tmp_path / f"d.jsonl.{ending}", content), block_bytes=1 << 16)
        (damage,) = [issue for issue in findings.issues if issue.code == "file.damaged"]
        sound = [row for row in rows if row.data == given[row.number - 1]]
        assert len(sound) > 2000
        assert damage.row is not None
        assert damage.row > 2000


def test_a_wrong_checksum_is_told_and_the_rows_are_there(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(lines(ROWS)))
    packed[-8] ^= 1
    rows, findings = collect(write(tmp_path / "d.jsonl.gz", bytes(packed)))
    assert data(rows) == ROWS
    assert [issue.code for issue in findings.issues] == ["file.damaged"]


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.csv.zst", "d.json.gz", "d.parquet", "d.arrow", "d.feather"])
def test_what_is_not_what_its_name_says_is_damaged(tmp_path: Path, name: str) -> None:
    rows, findings = collect(write(tmp_path / name, b"This is not it. " * 10))
    assert rows == []
    assert [issue.code for issue in findings.issues] == ["file.damaged"]


def test_a_parquet_file_without_its_end_is_damaged(tmp_path: Path) -> None:
    _parquet(tmp_path / "d.parquet")
    whole = (tmp_path / "d.parquet").read_bytes()
    _, findings = collect(write(tmp_path / "d.parquet", whole[: len(whole) // 2]))
    assert [issue.code for issue in findings.issues] == ["file.damaged"]


def test_an_arrow_stream_that_ends_early_keeps_its_first_rows(tmp_path: Path) -> None:
    _arrow_stream(tmp_path / "d.arrow")
    whole = (tmp_path / "d.arrow").read_bytes()
    rows, findings = collect(write(tmp_path / "d.arrow", whole[: len(whole) // 2]))
    assert 5 < len(rows) < 40
    assert data(rows) == ROWS[: len(rows)]
    assert told(findings) == {("file.damaged", len(rows) + 1)}


def test_text_in_parquet_that_is_not_utf8_is_one_row(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = pa.array([b"one", b"tw\xff", b"three"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "d.parquet")
    rows, findings = collect(tmp_path / "d.parquet")
    assert data(rows) == [{"text": "one"}, {"text": "three"}]
    assert told(findings) == {("file.not-utf8", 2)}


@pytest.mark.parametrize(
    ("content", "rows", "codes"),
    [
        (b'[{"a":1},,{"b":2},]', [1, 3], "2 not-json, 4 not-json"),
        (b'[{"a":1}, {"a":2}', [1, 2], "3 not-json"),
        (b'[{"a":1}, {"a":', [1], "2 not-json"),
        (b'[{"a":1}] {"b":1}', [1], "2 not-json"),
        (b'[{"a":1}}', [1], "2 not-json"),
        (b'\xef\xbb\xbf[{"a":"x\ny"}, 7, {"b": NaN}]', [1, 3], "1 bom, 1 not-json, 2 not-an-object, 3 not-a-number"),
        (b'{"messages": [1, 2], "n": 1}', [1], ""),
        (b'{"rows": [{"a": "\\\\\\"]"}, {"b": ["]", {}]}], "x": "[", "y": {"z": [1]}}', [1, 2], ""),
    ],
)
@pytest.mark.parametrize("block_bytes", [1 << 10, 4 << 20])
def test_json_files_name_the_row(tmp_path: Path, content: bytes, rows: list[int], codes: str, block_bytes: int) -> None:
    found, findings = collect(write(tmp_path / "d.json", content), block_bytes=block_bytes)
    assert [row.number for row in found] == rows
    assert ", ".join(f"{issue.row} {issue.code.removeprefix('file.')}" for issue in findings.issues) == codes


def test_a_large_json_object_is_read_by_its_one_list(tmp_path: Path) -> None:
    rows = [{"text": "x" * 1000, "n": n} for n in range(18_000)]
    body = json.dumps(rows).encode()
    found, findings = collect(write(tmp_path / "d.json", b'{"v": 1, "data": ' + body + b', "end": {"a": [1]}}'))
    assert data(found) == rows
    assert findings.issues == []
    found, findings = collect(write(tmp_path / "d.json", b'{"data": ' + body + b', "more": [{"a": 1}]}'))
    assert len(found) == len(rows)
    assert told(findings) == {("file.not-json", len(rows) + 1)}
    found, findings = collect(write(tmp_path / "d.json", b'{"messages": ' + body + b"}"))
    assert (found, told(findings)) == ([], {("file.row-too-large", 1)})


# Names


def test_globs_and_lists_number_each_files_rows_for_themselves(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, lines(ROWS[:2]) + b"oops\n")
    write(tmp_path / "odd[1].jsonl", lines(ROWS[:1]))
    _, findings = collect(f"{tmp_path}/**/*.jsonl")
    places = [(Path(issue.source or "").name, issue.row) for issue in findings.issues]
    assert places == [("a.jsonl", 3), ("b.jsonl", 3), ("c.jsonl", 3)]
    given = [tmp_path / "b.jsonl", str(tmp_path / "a.*")]
    source = open_source(given)
    assert [Path(name).name for name in source.files] == ["b.jsonl", "a.jsonl"]
    assert source.total_bytes == sum((tmp_path / name).stat().st_size for name in ("a.jsonl", "b.jsonl"))
    assert len(collect(given)[0]) == 4
    assert len(collect(tmp_path / "odd[1].jsonl")[0]) == 1
    assert describe([f"{n}.jsonl" for n in range(5)]) == "0.jsonl, 1.jsonl, 2.jsonl and 2 more"


def test_an_empty_file_among_several_is_named(tmp_path: Path) -> None:
    good, empty = write(tmp_path / "a.jsonl", lines(ROWS)), write(tmp_path / "b.jsonl", b"\n")
    rows, findings = collect([good, empty])
    assert len(rows) == 40
    assert ("file.empty", None) in told(findings)


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("none.jsonl", None, "file.missing", "no such file"),
        ("none*.jsonl", None, "file.missing", "matches the pattern"),
        (".", None, "file.directory", "/*.jsonl"),
        ("d.jsonl", b"", "file.empty", "is empty"),
        ("d.jsonl", b"\n \r\n", "file.empty", "is empty"),
        ("d.jsonl", b"\xef\xbb\xbf\n", "file.empty", "is empty"),
        ("d.json", b"[]", "file.empty", "is empty"),
        ("d.csv", b"prompt,completion\n", "file.empty", "is empty"),
        ("d.parquet", b"", "file.empty", "is empty"),
        ("d.jsonl.gz", gzip.compress(b""), "file.empty", "is empty"),
        ("d.xlsx", b"x", "file.unknown-format", "'.xlsx' are not read"),
        ("d", b"x", "file.unknown-format", "no suffix"),
        ("d.parquet.gz", b"x", "file.unknown-format", "not read"),
        ("d.jsonl", gzip.compress(b"{}"), "file.unknown-format", "ends in .gz"),
        ("d.json", b"PK\x03\x04xx", "file.unknown-format", "zip data"),
        ("d.json", b'{"a":1}\n{"a":2}', "file.not-json", "name the file .jsonl"),
        ("d\0.jsonl", None, "file.unreadable", "null byte"),
        ("x" * 5000 + ".jsonl", None, "file.unreadable", "too long"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_error_with_a_code(
    tmp_path: Path, name: str, content: bytes | None, code: str, says: str
) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(UnreadableError) as caught:
        collect(f"{tmp_path}/{name}" if name != "." else tmp_path)
    assert caught.value.code == code
    assert says in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.code, again.source) == (str(caught.value), code, caught.value.source)


def test_urls_are_read_through_fsspec_and_globs_too() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    try:
        for name in ("a.jsonl", "b.jsonl"):
            memory.pipe(f"/bucket/{name}", lines(ROWS))
        memory.pipe("/bucket/c.parquet.txt", b"x")
        memory.pipe("/bucket/d.json.gz", gzip.compress(json.dumps(ROWS).encode()))
        assert data(collect("memory://bucket/a.jsonl")[0]) == ROWS
        assert data(collect("memory://bucket/d.json.gz")[0]) == ROWS
        source = open_source("memory://bucket/*.jsonl")
        assert source.files == ["memory://bucket/a.jsonl", "memory://bucket/b.jsonl"]
        assert source.total_bytes == 2 * len(lines(ROWS))
        assert len(collect(["memory://bucket/a.jsonl", "memory://bucket/b.jsonl"])[0]) == 80
        for url, code in (
            ("memory://bucket/none.jsonl", "file.missing"),
            ("memory://bucket/none*.jsonl", "file.missing"),
            ("memory://bucket", "file.directory"),
            ("memory://bucket/c.parquet.txt", "file.unknown-format"),
            ("nothing://bucket/a.jsonl", "file.unreadable"),
        ):
            with pytest.raises(UnreadableError) as caught:
                open_source(url)
            assert caught.value.code == code, url
    finally:
        memory.rm("/bucket", recursive=True)


def test_a_file_is_read_over_http(tmp_path: Path) -> None:
    import functools
    import http.server
    import threading

    pytest.importorskip("aiohttp")
    write(tmp_path / "d.jsonl", lines(ROWS))
    write(tmp_path / "d.csv.gz", gzip.compress(b"text\nhello\n"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"
            assert data(collect(f"{base}/d.jsonl?token=secret")[0]) == ROWS
            assert open_source(f"{base}/d.jsonl?token=secret").files == [f"{base}/d.jsonl"]
            assert data(collect(f"{base}/d.csv.gz")[0]) == [{"text": "hello"}]
            with pytest.raises(UnreadableError) as caught:
                collect(f"{base}/none.jsonl?token=secret")
            assert caught.value.code == "file.missing"
            assert "secret" not in str(caught.value)
        finally:
            server.shutdown()
            thread.join()


def test_secrets_in_a_url_are_never_shown() -> None:
    url = "https://me:pass1@host.invalid/d.txt?sig=pass2#pass3"
    assert describe(url) == "https://host.invalid/d.txt"
    with pytest.raises((DatasetError, NotInstalledError)) as caught:
        open_source(url.replace("https", "nothing"))
    assert "pass" not in str(caught.value)


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow", "backports.zstd", "fsspec"):
        monkeypatch.setitem(sys.modules, module, None)
    write(tmp_path / "d.parquet", b"x")
    write(tmp_path / "d.jsonl.zst", b"x")
    for source in (tmp_path / "d.parquet", tmp_path / "d.jsonl.zst", "s3://bucket/d.jsonl"):
        with pytest.raises(NotInstalledError, match=r"pip install 'tuneport\[data\]'") as caught:
            open_source(source)
        assert caught.value.extra == "data"


def test_a_pipe_is_read_once_from_its_beginning(tmp_path: Path) -> None:
    import os
    import threading

    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(lines(ROWS),))
    writer.start()
    rows, _ = collect(path)
    writer.join()
    assert data(rows) == ROWS


def test_a_repetitive_file_is_not_taken_for_a_bomb(tmp_path: Path) -> None:
    content = lines(ROWS[:1]) * 400_000
    packed = gzip.compress(content, 9)
    assert len(content) / len(packed) > formats.MOST_RATIO
    rows = 0
    findings = Findings()
    for block in open_source(write(tmp_path / "d.jsonl.gz", packed)):
        rows += len(parse(block, findings))
    assert rows == 400_000
    assert findings.issues == []


# The whole file


def check(batches: list[Batch], context: Context | None = None) -> tuple[Findings, dict[str, Any]]:
    """As it goes: scanned in one object, gathered in another."""
    findings = Findings()
    worker, parent = FileCheck(context or Context()), FileCheck(context or Context())
    for batch in batches:
        parent.reduce(pickle.loads(pickle.dumps(worker.scan(batch, findings))))
    return findings, parent.finish(findings)


def made(count: int, dialect: str | None = "openai", first: int = 1) -> list[Row]:
    return [Row(n, {"messages": []}, b'{"messages":[]}', dialect) for n in range(first, first + count)]


def test_rows_of_another_dialect_are_each_named_and_the_unknown_too() -> None:
    batches = [
        Batch("a.jsonl", "train", [*made(3, "trl"), *made(1, None, 4)]),
        Batch("b.jsonl", "train", [*made(60), *made(2000, "alpaca", 61), *made(2100, first=2061)]),
    ]
    findings, stats = check(batches)
    mixed = [issue for issue in findings.issues if issue.code == "file.mixed-dialects"]
    assert [(issue.source, issue.row) for issue in mixed[:4]] == [
        ("a.jsonl", 1),
        ("a.jsonl", 2),
        ("a.jsonl", 3),
        ("b.jsonl", 61),
    ]
    assert findings.counts["file.mixed-dialects"] == 2003
    assert len(mixed) == 1000
    assert "alpaca" in mixed[3].message
    assert "openai" in mixed[3].message
    (unknown,) = [issue for issue in findings.issues if issue.code == "file.unknown-dialect"]
    assert unknown.row == 4
    assert "messages" in unknown.message
    assert stats["dialects"] == {"openai": 2160, "alpaca": 2000, "trl": 3}
    assert (stats["rows"], stats["bytes"], stats["format"]) == (4164, 4164 * 16, "jsonl")
    assert json.dumps(stats)


@pytest.mark.parametrize(
    ("rows", "code", "says"),
    [
        (49, "file.few-rows", "49 training rows: 50 to 100"),
        (50, None, "50 training rows: enough to begin with; 500 to 1,000 are good"),
        (999, None, "a good number"),
        (1000, None, "1,000 training rows: as many as are usual in production"),
    ],
)
def test_the_guideline_is_told_on_each_side(rows: int, code: str | None, says: str) -> None:
    findings, stats = check([Batch("a.jsonl", "train", made(rows))])
    assert [issue.code for issue in findings.issues] == ([code] if code else [])
    assert says in stats["guideline"]


def test_the_targets_limits_are_told_on_each_side() -> None:
    limits = Limits(min_rows=60, max_rows=100, max_validation_rows=10, max_bytes=1600)
    context = Context(target=Target(model="nova", limits=limits))

    def codes(train: int, validation: int = 1) -> list[tuple[str, str]]:
        batches = [Batch("t.jsonl", "train", made(train)), Batch("v.jsonl", "validation", made(validation))]
        issues = check(batches, context)[0].issues
        return [(issue.code, issue.source or "") for issue in issues if issue.code.startswith("file.")]

    assert codes(60, 10) == codes(100) == []
    assert codes(59) == [("file.too-few-rows", "t.jsonl")]
    assert codes(101) == [("file.too-many-rows", "t.jsonl"), ("file.too-large", "t.jsonl")]
    assert codes(60, 11) == [("file.too-many-rows", "v.jsonl")]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(("rows", "says"), [(1, "1 test row:"), (8, "±28 points"), (29, "±17 points"), (30, "")])
def test_a_held_out_split_of_few_rows_is_told_with_what_it_can_show(split: Split, rows: int, says: str) -> None:
    findings, _ = check([Batch("a.jsonl", "train", made(60)), Batch("b.jsonl", split, made(rows))])
    told = [(issue.code, issue.severity, issue.source) for issue in findings.issues]
    assert told == ([("split.small-test", "warning", "b.jsonl")] if says else [])
    assert not says or says.replace("test", split) in findings.issues[0].message


def test_of_a_damaged_file_it_is_not_said_that_it_has_few_rows() -> None:
    context = Context(target=Target(model="nova", limits=Limits(min_rows=8)))
    batches = [Batch("a.jsonl", "train", made(3)), Batch("b.jsonl", "test", made(4))]

    def codes(code: str, source: str | None) -> list[str]:
        findings = Findings()
        parent = FileCheck(context)
        for batch in batches:
            parent.reduce(parent.scan(batch, findings))
        findings.add(code, "it ends early.", source=source)
        parent.finish(findings)
        return [issue.code for issue in findings.issues[1:]]

    few, small = ["file.few-rows", "file.too-few-rows"], ["split.small-test"]
    assert codes("file.damaged", "a.jsonl") == codes("file.expands-too-much", "a.jsonl") == small
    assert codes("file.damaged", "b.jsonl") == few
    assert codes("file.blank-line", "a.jsonl") == [*few[:1], *small, *few[1:]]


def test_a_row_with_the_graders_keys_is_one_of_the_reinforcement_rows_among_which_it_stands() -> None:
    answered = {"messages": [{"role": "user"}, {"role": "assistant"}], "reference_answer": "4"}
    chat = {"messages": answered["messages"], "id": 3}

    def mixed(most: str) -> list[tuple[int | None, str]]:
        rows = [Row(1, answered, b"{}", "openai"), Row(2, chat, b"{}", "openai"), *made(60, most, 3)]
        findings, stats = check([Batch("a.jsonl", "train", rows)])
        assert sum(stats["dialects"].values()) == 62
        return [(issue.row, issue.message) for issue in findings.issues]

    ((row, message),) = mixed("openai-reinforcement")
    assert row == 2
    assert "is openai, that of most rows is openai-reinforcement" in message
    assert [row for row, _ in mixed("trl")] == [1, 2]
    assert mixed("openai") == []


def test_a_block_given_by_hand_is_parsed() -> None:
    findings = Findings()
    block = Block("x", 7, 2, data=b'{"a": 1}\n{"a": 2}')
    assert [(row.number, row.data) for row in parse(block, findings)] == [(7, {"a": 1}), (8, {"a": 2})]
    block = Block("x", 7, 2, rows=[{"a": 1}, 3])  # type: ignore[list-item]
    assert [row.number for row in parse(block, findings)] == [7]
    assert told(findings) == {("file.not-an-object", 8)}
