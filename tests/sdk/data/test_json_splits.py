"""JSON files whose rows do not stand at the top: which list is read, and what is said where none can be chosen."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tuneport import validate
from tuneport.dataset import json_file
from tuneport.dataset.sources import UnreadableError


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"Where is parcel {n * 37} of week {n % 50}?"},
                {"role": "assistant", "content": f"Parcel {n * 37} comes on day {n % 7}, from depot {n % 13}."},
            ]
        }
        for n in range(start, start + count)
    ]


def written(tmp_path: Path, value: Any, name: str = "d.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "under"),
    [
        ({"rows": rows(60)}, "rows"),
        ({"data": {"train": rows(60)}}, "data.train"),
        ({"version": 2, "a": {"about": "x", "b": {"c d": rows(60)}}, "end": {"n": 1}}, "a.b.c d"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_an_only_list_is_read_wherever_it_is_and_the_statement_says_where(
    tmp_path: Path, value: Any, under: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:  # a file of more than this is not held whole
        monkeypatch.setattr(json_file, "MAX_ROW", 2000)
    report = validate(written(tmp_path, value))
    assert report.rows == 60
    assert report.ok, report.issues
    assert f"the list under {under})" in report.detected
    assert report.detected.startswith("json (")


def test_a_list_at_the_top_needs_no_word(tmp_path: Path) -> None:
    assert "under" not in validate(written(tmp_path, rows(60))).detected


@pytest.mark.parametrize(
    ("value", "named", "query"),
    [
        ({"train": rows(60), "test": rows(20)}, ["train (60)", "test (20)"], "jq -c '.train[]'"),
        (
            {"data": {"my rows": rows(9), "x": rows(3)}},
            ["data.my rows (9)", "data.x (3)"],
            """jq -c '.["data"]["my rows"][]'""",
        ),
        ({"labels": ["a", "b"], "rows": rows(9)}, ["rows (9)", "2 lists, of which one has rows"], "jq -c '.rows[]'"),
    ],
)
def test_several_lists_are_named_with_what_to_type(tmp_path: Path, value: Any, named: list[str], query: str) -> None:
    path = written(tmp_path, value, "all splits.json")
    with pytest.raises(UnreadableError) as caught:
        validate(path)
    said = str(caught.value)
    for words in named:
        assert words in said
    assert query in said
    assert caught.value.code == "file.unknown-format"
    if shutil.which("jq"):
        command = said.partition("as in: ")[2]
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)  # as a reader would paste it
        made = next(tmp_path.glob("*.jsonl"))
        assert validate(made).rows in {60, 9}


def test_several_lists_in_a_file_that_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_ROW", 2000)
    report = validate(written(tmp_path, {"train": rows(60), "test": rows(20, 60)}))
    assert not report.ok
    assert any(
        "another list of rows follows under 'test', which was not read" in issue.message for issue in report.issues
    )


@pytest.mark.parametrize("large", [False, True])
def test_a_list_in_the_words_before_the_rows_is_passed_over(
    tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(json_file, "MAX_ROW", 2000)
    value = {"meta": {"tags": ["a", "b"]}, "rows": rows(60), "end": {"names": ["c"]}}
    assert validate(written(tmp_path, value)).rows == 60


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": ["Where?"] * 9, "completion": ["Here."] * 9},
        {"prompt": {"0": "Where?", "1": "When?"}, "completion": {"0": "Here.", "1": "Now."}},
    ],
)
def test_columns_are_told_from_rows(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnreadableError, match="holds columns \\(prompt, completion\\)") as caught:
        validate(written(tmp_path, value))
    assert "orient='records'" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        rows(1)[0],
        {"prompt": [{"role": "user", "content": "Where?"}], "completion": [{"role": "assistant", "content": "Here."}]},
        {"prompt": "Where is it?", "completion": "It is here."},
    ],
)
def test_one_object_that_is_a_row_stays_one(tmp_path: Path, value: Any) -> None:
    assert validate(written(tmp_path, value)).rows == 1
