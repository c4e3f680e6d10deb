"""Whatever a file holds: rows and findings, or a DatasetError; every line is a row or is named; in bounded memory.

hypothesis draws the files from fixed seeds (`derandomize`), each of many lines, so that tens of thousands of lines go through.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneport.dataset.checks.base import Findings
from tuneport.dataset.lines import MAX_DEPTH, depth
from tuneport.dataset.rows import Row
from tuneport.dataset.sources import open_source, parse
from tuneport.errors import DatasetError

often = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def collect(source: Any, block_bytes: int = 4 << 20) -> tuple[list[Row], Findings] | None:
    findings = Findings(kept=1 << 30)
    rows: list[Row] = []
    try:
        for block in open_source(source, block_bytes=block_bytes):
            rows += parse(block, findings)
    except DatasetError as error:
        assert str(error)
        return None
    for issue in findings.issues:
        issue.model_dump_json()
        str(issue).encode("utf-8", "backslashreplace")
    return rows, findings


def seen(found: tuple[list[Row], Findings] | None) -> Any:
    if found is None:
        return None
    rows, findings = found
    return [(row.number, repr(row.data)) for row in rows], [
        (issue.code, issue.row, issue.path) for issue in findings.issues
    ]


# An oracle for one line, by the standard library alone


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("twice")
    return made


def _values(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item)


def _whole(digits: str) -> int | float:
    """As most readers of JSON: beyond 64 bits, a double."""
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(digits)


def clean(line: bytes) -> bool:
    """Whether a line is one JSON object without anything to say about it."""
    if line.endswith(b"\r"):
        line = line[:-1]
    try:
        value = json.loads(line.decode(), parse_constant=_no_constant, object_pairs_hook=_no_twice)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or depth(line) > MAX_DEPTH:
        return False
    for item in _values(value):
        if isinstance(item, str) and ("\0" in item or any("\ud800" <= c <= "\udfff" for c in item)):
            return False
        if isinstance(item, float) and not math.isfinite(item):
            return False
        if isinstance(item, int) and item.bit_length() > 1023:
            return False
    return True


def check_lines(content: bytes, found: tuple[list[Row], Findings] | None) -> None:
    """Each line is a row without a word, or is named; rows are in order."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    if found is None:
        assert not any(map(clean, lines))
        return
    rows, findings = found
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))
    named = {issue.row for issue in findings.issues if not (issue.code == "file.bom" and issue.row == 1)}
    assert named <= set(range(1, len(lines) + 1))
    for number, line in enumerate(lines, 1):
        assert (number not in named) == clean(line), line
    assert set(numbers) | named >= set(range(1, len(lines) + 1))
    for row in rows:
        if row.number not in named:
            assert row.data == json.loads(lines[row.number - 1], parse_int=_whole)
    assert all(row.raw for row in rows)


# Lines that were valid once

_text = ["q", "é", "日本\u2028", "😀", '"', "\\", "\n", ":", "{", "]", "\0", "a" * 300, "\ufeff", "\x7f"]


def _valid(rng: random.Random) -> bytes:
    turns = [
        {
            "role": rng.choice(["user", "assistant", "system"]),
            "content": "".join(rng.choices(_text, k=rng.randint(0, 6))),
        }
        for _ in range(rng.randint(1, 3))
    ]
    row: dict[str, Any] = {"messages": turns}
    if rng.random() < 0.2:
        row["n"] = rng.choice([1, -2.5, 1e300, None, True, 2**64, 10**25, [], {}])
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
    return json.dumps(row, ensure_ascii=rng.random() < 0.3, separators=separators).encode()


_pieces = [
    *(
        b"",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\r",
        b"\0",
        b"'",
        b" ",
        b"\t",
        b"\x1f",
        b"//",
        b"-",
        b"0",
        b".5",
    ),
    *(
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\\u0000",
        b"\\ud83d",
        b"\\u003a",
        b"\\u003A",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"null", b'"a":1,"a":1', b'{"a":1,"\\u0061":2}'),
    *(b"9" * 400, b"[" * 300, b'{"a":' * 260 + b"1" + b"}" * 260),
]


def _mutated(rng: random.Random, line: bytes) -> bytes:
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(line))
        kind = rng.random()
        if kind < 0.5:
            line = line[:at] + rng.choice(_pieces) + line[at:]
        elif kind < 0.7:
            line = line[:at] + rng.choice(_pieces) + line[at + rng.randint(1, 4) :]
        elif kind < 0.85:
            line = line[:at] + line[rng.randint(at, len(line)) :]
        elif line and at < len(line):
            line = line[:at] + bytes([line[at] ^ (1 << rng.randint(0, 7))]) + line[at + 1 :]
    return line


def _file(seed: int, share: float) -> bytes:
    rng = random.Random(seed)
    lines = [_valid(rng) for _ in range(150)]
    lines = [_mutated(rng, line) if rng.random() < share else line for line in lines]
    return rng.choice([b"\n", b"\n", b"\r\n"]).join(lines) + rng.choice([b"", b"\n"])


seeds = st.integers(0, 2**32)


@often
@given(seeds, st.sampled_from([0.01, 0.2, 0.9]), st.sampled_from([1 << 10, 1 << 14, 4 << 20]))
def test_of_mutated_lines_each_is_a_clean_row_or_is_named(tmp_path: Path, seed: int, share: float, size: int) -> None:
    content = _file(seed, share)
    path = tmp_path / "d.jsonl"
    path.write_bytes(content)
    found = collect(path, size)
    check_lines(content, found)
    packed = tmp_path / "d.jsonl.gz"
    packed.write_bytes(gzip.compress(content, 1))
    assert seen(collect(packed, size)) == seen(found)


@often
@given(
    st.lists(
        st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
        max_size=200,
    )
)
def test_random_bytes_are_read_or_refused(tmp_path: Path, lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    for name in ("d.jsonl", "d.json", "d.csv", "d.tsv", "d.jsonl.gz", "d.jsonl.zst", "d.parquet", "d.arrow"):
        (tmp_path / name).write_bytes(content)
        found = collect(tmp_path / name)
        if name == "d.jsonl" and content[:2] not in {b"\x1f\x8b", b"PK"}:
            check_lines(content, found)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(content, 1))
    collect(tmp_path / "d.jsonl.gz")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@often
@given(st.lists(_json, min_size=1, max_size=60), st.booleans())
def test_random_structures_are_read_or_named(tmp_path: Path, values: list[Any], ascii_only: bool) -> None:
    lines = [json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for value in values]
    content = b"\n".join(lines)
    (tmp_path / "d.jsonl").write_bytes(content)
    check_lines(content, collect(tmp_path / "d.jsonl"))


@often
@given(st.lists(_json, min_size=1, max_size=30), st.sampled_from([None, 1]))
def test_a_list_in_a_json_file_gives_what_its_lines_give(tmp_path: Path, values: list[Any], indent: int | None) -> None:
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, values)), encoding="utf-8")
    (tmp_path / "d.json").write_text(json.dumps(values, indent=indent), encoding="utf-8")
    assert seen(collect(tmp_path / "d.json", 1 << 10)) == seen(collect(tmp_path / "d.jsonl"))


_given = st.recursive(
    _json
    | st.binary(max_size=4)
    | st.dates()
    | st.uuids()
    | st.decimals()
    | st.complex_numbers()
    | st.integers(-(2**80), 2**80),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@often
@given(st.lists(_given | st.dictionaries(st.text(max_size=3), _given, max_size=4), min_size=1, max_size=20))
def test_rows_of_python_are_read_or_named(values: list[Any]) -> None:
    found = collect(values, 1 << 10)
    assert found is not None
    rows, findings = found
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))
    assert set(numbers) | {issue.row for issue in findings.issues} == set(range(1, len(values) + 1))
    for row in rows:
        json.dumps(row.data)


def _packed() -> dict[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from backports import zstd
    from pyarrow import feather

    rows = [{"messages": [{"role": "user", "content": f"{n} é"}], "n": n} for n in range(300)]
    text = "\n".join(map(json.dumps, rows)).encode()
    table = pa.Table.from_pylist(rows)
    made: dict[str, bytes] = {
        "d.jsonl.gz": gzip.compress(text),
        "d.jsonl.zst": zstd.compress(text),
        "d.json.gz": gzip.compress(json.dumps(rows).encode()),
        "d.csv.gz": gzip.compress(b"prompt,completion\n" + b'"a,b",c\n' * 300),
    }
    for name, write in (
        ("d.parquet", lambda out: pq.write_table(table, out)),
        ("d.feather", lambda out: feather.write_feather(table, out, compression="zstd")),
    ):
        buffer = io.BytesIO()
        write(buffer)
        made[name] = buffer.getvalue()
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as out:
        out.write_table(table)
    made["d.arrow"] = buffer.getvalue()
    return made


PACKED = _packed()


@pytest.mark.parametrize("name", PACKED)
@settings(often, max_examples=150)
@given(seed=seeds)
def test_damaged_files_give_rows_and_a_finding_or_are_refused(tmp_path: Path, name: str, seed: int) -> None:
    rng = random.Random(seed)
    content = bytearray(PACKED[name])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) or 1)  # all of it may have been cut off
        if content and rng.random() < 0.7:
            content[at] ^= 1 << rng.randint(0, 7)
        else:
            del content[at : at + rng.randint(1, 200)]
    (tmp_path / name).write_bytes(bytes(content))
    collect(tmp_path / name)


# What is made to fill the memory or never to end

_WATCHED = """
import sys
from tuneport.dataset.checks.base import Findings
from tuneport.dataset.sources import open_source, parse
from tuneport.errors import DatasetError
findings, rows = Findings(), 0
try:
    for block in open_source(sys.argv[1]):
        rows += len(parse(block, findings))
except DatasetError as error:
    print("refused:", error)
try:
    peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
print("rows", rows)
print("peak", int(peak))
for code, count in findings.counts.items():
    print(code, count)
for issue in findings.issues[:3]:
    print(ascii(str(issue)))
"""


def watched(path: Path) -> dict[str, str]:
    """Read in a process of its own, which says how much memory it took at most (in MB)."""
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(path)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "refused" not in done.stdout, done.stdout
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def pack(path: Path, chunks: Iterator[bytes]) -> None:
    packer = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(packer.compress(chunk))
        file.write(packer.flush())


def _line_of_a_gigabyte(path: Path) -> None:
    sparse(path, 1 << 30)
    with path.open("r+b") as file:
        file.write(b'{"a": 1}\n{"a": "')
        file.seek(0, io.SEEK_END)
        file.write(b'"}\n{"a": 2}\n')


def _packed_line_of_a_gigabyte(path: Path) -> None:
    pack(path, (b'{"a": 1}\n{"a": "' if n == 0 else b"x" * (1 << 20) for n in range(1025)))


def _bomb(path: Path) -> None:
    pack(path, (b'{"a": "' + b"x" * (1 << 20) + b'"}\n' for _ in range(1100)))


def _zstd_bomb(path: Path) -> None:
    from backports import zstd

    frame = zstd.compress((b'{"a": "' + b"x" * (1 << 20) + b'"}\n') * 100, 3)
    path.write_bytes(frame * 25)


def _blank_bomb(path: Path) -> None:
    member = gzip.compress(b"\n" * (128 << 20), 1)
    path.write_bytes(member * 20)


def _deep(path: Path) -> None:
    path.write_bytes(
        b'{"a": 1}\n' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"\n" + b'{"a":' * 1_000_000 + b"\n" + b'{"a": 2}\n'
    )


def _deep_list(path: Path) -> None:
    path.write_bytes(b'[{"a": 1}, ' + b'{"a":[' * 1_000_000 + b"]}" * 1_000_000 + b', {"a": 2}]')


def _flat_and_wide(path: Path) -> None:
    path.write_bytes(b'{"a": [' + b"[]," * 5_000_000 + b"[]]}\n" + b'{"a": 2}\n')


def _many_bad_numbers(path: Path) -> None:
    path.write_bytes(b'{"a": [' + b"NaN," * 3_000_000 + b"NaN]}\n" + b'{"a": 2}\n')


def _csv_quote(path: Path) -> None:
    path.write_bytes(b'prompt,completion\nq,a\nq,"' + (b"word " * 200 + b"\n") * 100_000)


HOSTILE: dict[str, tuple[str, Callable[[Path], None], int, set[str], int]] = {
    # file, how it is made, the rows that are read, what is told, the most memory in MB
    "a line of 1 GB": ("d.jsonl", _line_of_a_gigabyte, 2, {"file.row-too-large"}, 200),
    "a packed line of 1 GB": ("d.jsonl.gz", _packed_line_of_a_gigabyte, 1, {"file.expands-too-much"}, 200),
    "1 GB of nothing": ("d.jsonl", lambda path: sparse(path, 1 << 30), 0, {"file.row-too-large"}, 200),
    "1 GB of nothing in CSV": (
        "d.csv",
        lambda path: sparse(path, 1 << 30),
        0,
        {"file.expands-too-much", "file.row-too-large"},
        250,
    ),
    "1 GB of nothing in Parquet": ("d.parquet", lambda path: sparse(path, 1 << 30), 0, {"file.damaged"}, 200),
    "a bomb": ("d.jsonl.gz", _bomb, 1024, {"file.expands-too-much"}, 200),
    "a zstd bomb": ("d.jsonl.zst", _zstd_bomb, 1020, {"file.expands-too-much"}, 200),
    "a bomb of line breaks": ("d.jsonl.gz", _blank_bomb, 0, {"file.expands-too-much", "file.blank-line"}, 200),
    "a million levels": ("d.jsonl", _deep, 2, {"file.too-deep"}, 400),
    "a million levels in a list": ("d.json", _deep_list, 2, {"file.too-deep"}, 400),
    "five million lists": ("d.jsonl", _flat_and_wide, 2, set(), 600),
    "three million NaN": ("d.jsonl", _many_bad_numbers, 2, {"file.not-a-number"}, 300),
    "a quote that is not closed": ("d.csv", _csv_quote, 1, {"file.row-too-large"}, 200),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_told_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    name, make, rows, codes, most = HOSTILE[kind]
    path = tmp_path / name
    make(path)
    said = watched(path)
    assert {code for code in said if code.startswith("file.")} <= codes
    assert bool(codes) == any(code.startswith("file.") for code in said)
    assert rows <= int(said["rows"]) <= rows + 10
    assert int(said["peak"]) < most


def test_the_oracle_knows_good_from_bad() -> None:
    assert clean(b'{"a": "\\u003a"}')
    assert not clean(b'{"a": 1, "a": 1}')
    assert not clean(b"[1]")
    assert not clean(rb'{"a": "\ud83d"}')
