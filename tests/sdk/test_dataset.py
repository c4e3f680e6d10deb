"""Reading, recognising, checking, splitting and hashing rows: every problem with its place, nothing lost in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset import Dataset
from tuneport.dataset.core import write_rows
from tuneport.dataset.split import row_hash, split
from tuneport.errors import DatasetError


def row(question: str = "q", answer: str = "a") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_keep_their_line_numbers_past_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", json.dumps(row("1")), "", json.dumps(row("2")))
    assert [r["row"] for r in Dataset(path)] == [1, 3]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n \n", "is empty"),
        ("table.xlsx", b"x", "files ending in '.xlsx' are not read yet"),
        ("keys.jsonl", b'{"question": "q", "answer": "a"}\n', "row 1: the keys ['answer', 'question']"),
        ("lines.json", b'{"a": 1}\n{"a": 2}\n', "name the file .jsonl"),
        ("cut.json", b'[{"messages": [', "not JSON"),
        ("scalar.json", b"3", "holds no rows"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        Dataset(path)
    assert says in str(caught.value)
    assert name in str(caught.value)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        Dataset(tmp_path / "none.jsonl")
    with pytest.raises(DatasetError, match="is a directory"):
        Dataset(tmp_path)


def test_every_bad_line_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    lines = [json.dumps(row(str(n))) for n in range(1, 10)]
    lines[6] = '{"messages": [oops'
    lines[2] = "[1, 2]"
    lines[4] = '{"messages": [{"role": "user", "content": "q"}]}'
    lines[5] = '{"messages": NaN}'
    data = Dataset(write(tmp_path / "d.jsonl", *lines))
    assert {(i.row, i.code) for i in data.issues} == {
        (3, "file.not-an-object"),
        (5, "structure.no-assistant"),
        (6, "file.not-a-number"),
        (7, "file.not-json"),
    }
    assert [r["row"] for r in data] == [1, 2, 4, 8, 9]
    (issue,) = [i for i in data.issues if i.row == 7]
    assert "column" in str(issue)
    assert "Fix:" in str(issue)


def test_a_line_that_is_not_utf8_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b"\n".join([json.dumps(row("1")).encode(), b'{"b": "\xe9"}', json.dumps(row("3")).encode()]))
    data = Dataset(path)
    assert [r["row"] for r in data] == [1, 3]
    (issue,) = data.issues
    assert (issue.code, issue.row) == ("file.not-utf8", 2)
    assert "byte 0xe9 at position 8" in issue.message


@pytest.mark.parametrize(
    ("messages", "code", "path"),
    [
        (None, "structure.no-messages", "messages"),
        ([], "structure.no-messages", "messages"),
        (["hello"], "structure.turn", "messages[0]"),
        ([{"role": "robot", "content": "x"}], "structure.role", "messages[0].role"),
        ([{"role": "user", "content": "x"}], "structure.no-assistant", "messages"),
        ([{"role": "assistant", "content": "x", "weight": 0}], "structure.nothing-trainable", "messages"),
        ([{"role": "assistant", "content": "x", "weight": 2}], "structure.weight", "messages[0].weight"),
        ([{"role": "assistant", "content": " \n"}], "structure.empty-turn", "messages[0].content"),
        ([{"role": "user", "content": 3}], "structure.content", "messages[0].content"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
            "tools.arguments",
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_structure_problems_have_code_and_path(messages: Any, code: str, path: str) -> None:
    data = Dataset([row(), {"messages": messages}])
    assert (code, path, 2) in {(i.code, i.path, i.row) for i in data.issues}
    assert len(data) == 1


def test_a_valid_tool_row_passes() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"},
        {"role": "assistant", "content": "4 degrees."},
    ]
    data = Dataset([{"messages": messages, "tools": tools}])
    assert data.issues == []
    assert data.rows[0]["tools"] == tools


def test_prompt_and_completion_become_turns() -> None:
    data = Dataset([{"prompt": "q", "completion": "a"}])
    assert data.dialect == "trl"
    assert data.rows[0]["messages"] == row()["messages"]


def test_a_list_a_generator_and_a_frame_read_alike() -> None:
    import pandas as pd

    rows = [row(str(n)) for n in range(3)]
    wanted = Dataset(rows).fingerprint
    assert Dataset(iter(rows)).fingerprint == wanted
    assert Dataset(pd.DataFrame(rows)).fingerprint == wanted


def test_datasets_library(tmp_path: Path) -> None:
    import datasets

    rows = [row(str(n)) for n in range(3)]
    assert Dataset(datasets.Dataset.from_list(rows)).fingerprint == Dataset(rows).fingerprint


def test_hash_ignores_case_width_and_space_but_not_words() -> None:
    assert row_hash(row("Hello  World")) == row_hash(row("hello\nworld "))
    assert row_hash(row("ﬁne")) == row_hash(row("fine"))
    assert row_hash(row("hello")) != row_hash(row("help"))
    assert row_hash(row("a", "b")) != row_hash(row("b", "a"))


def test_split_is_the_same_for_a_seed_and_rows_stay_where_they_were() -> None:
    rows = [row(f"question {n}") for n in range(400)]
    first = split(rows, validation=0.1, test=0.2, seed=7)
    grown = split([*rows, *(row(f"new {n}") for n in range(100))], validation=0.1, test=0.2, seed=7)
    for name, part in first.items():
        assert [r for r in part if r not in grown[name]] == []
    assert first == split(rows, validation=0.1, test=0.2, seed=7)
    assert first != split(rows, validation=0.1, test=0.2, seed=8)
    assert 50 < len(first["test"]) < 110


def test_rows_that_ask_the_same_share_a_split() -> None:
    rows = [row(f"question {n % 40}", answer=str(n)) for n in range(200)]
    parts = split(rows, validation=0.2, test=0.2, seed=1)
    asked = [{r["messages"][0]["content"] for r in part} for part in parts.values()]
    assert asked[0].isdisjoint(asked[1])
    assert asked[0].isdisjoint(asked[2])
    assert asked[1].isdisjoint(asked[2])


@pytest.mark.parametrize("count", range(3, 12))
def test_a_small_dataset_still_gets_each_split_it_asked_for(count: int) -> None:
    parts = split([row(str(n)) for n in range(count)], validation=0.1, test=0.1, seed=3)
    assert all(parts.values())
    assert sum(map(len, parts.values())) == count


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_turn = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool", "x"]) | _json,
        "content": st.text(max_size=8) | _json,
        "weight": _json,
        "tool_calls": st.lists(st.fixed_dictionaries({"function": _json}) | _json, max_size=2) | _json,
    },
)
_row = st.fixed_dictionaries({"messages": st.lists(_turn | _json, max_size=4) | _json}) | _json


@settings(max_examples=300, deadline=None)
@given(st.lists(_row, min_size=1, max_size=4))
def test_whatever_the_rows_are_there_is_a_report_and_each_row_is_kept_or_named(rows: list[Any]) -> None:
    try:
        data = Dataset(rows)
    except DatasetError:
        return
    kept = {r["row"] for r in data}
    named = {i.row for i in data.issues if i.severity == "error"}
    assert kept | named == set(range(1, len(rows) + 1))
    assert not kept & named
    assert len(data.fingerprint) == 64


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_there_is_no_traceback(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "d.jsonl"
    path.write_bytes(data)
    try:
        Dataset(path)
    except DatasetError as error:
        assert str(path) in str(error)


def test_deep_nesting_is_named_not_a_crash(tmp_path: Path) -> None:
    path = write(tmp_path / "deep.jsonl", json.dumps(row()), "[" * 200_000)
    assert [i.row for i in Dataset(path).issues] == [2]


def test_lone_surrogates_and_line_separators_survive_writing(tmp_path: Path) -> None:
    rows = [row("a\ud800b"), row("line\u2028separator\x85")]
    write_rows(tmp_path / "out.jsonl", rows)
    again = Dataset(tmp_path / "out.jsonl")
    assert [r["messages"] for r in again] == [r["messages"] for r in rows]
