"""`convert`, from file to file: nothing is lost unnamed, order and bytes are kept, and what is asked wrongly is answered."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.cli.convert import convert as command
from tuneport.dataset.convert import ConversionReport, change, convert
from tuneport.dataset.dialects import DIALECTS
from tuneport.dataset.lines import Block
from tuneport.errors import DatasetError, SpecError


def chat(question: str, answer: str = "a", **turn: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer, **turn}]}


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_a_file_of_mixed_dialects_becomes_one(tmp_path: Path) -> None:
    given = write(
        tmp_path / "in.jsonl",
        [
            chat("one"),
            {"conversations": [{"from": "human", "value": "two"}, {"from": "gpt", "value": "a"}]},
            {"prompt": "three", "completion": "a"},
            {"contents": [{"role": "user", "parts": [{"text": "four"}]}, {"role": "model", "parts": [{"text": "a"}]}]},
        ],
    )
    report = convert(given, "bedrock-converse", tmp_path / "out.jsonl")
    assert report.ok
    assert (report.rows, report.written, report.refused) == (4, 4, 0)
    assert report.detected == {"openai": 1, "sharegpt": 1, "trl": 1, "vertex": 1}
    assert [row["messages"][0]["content"][0]["text"] for row in read(tmp_path / "out.jsonl")] == [
        "one",
        "two",
        "three",
        "four",
    ]
    assert {row["schemaVersion"] for row in read(tmp_path / "out.jsonl")} == {"bedrock-conversation-2024"}


def test_losses_and_refusals_are_named_where_the_row_has_them(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    given = write(
        tmp_path / "in.jsonl",
        [
            chat("one", weight=0),
            {"messages": [{"role": "user", "content": [image]}, {"role": "assistant", "content": "a"}]},
            {
                "conversations": [{"from": "human", "value": "q", "weight": 0}, {"from": "gpt", "value": "a"}],
                "topic": "x",
            },
            {"question": "q"},
            '{"messages": [',
            {"text": "a page"},
            chat("last"),
        ],
    )
    report = convert(given, "bedrock-converse", tmp_path / "out.jsonl")
    assert [(loss.row, loss.path) for loss in report.losses] == [
        (1, "messages[1].weight"),
        (3, "conversations[0].weight"),
        (3, "topic"),
    ]
    assert report.loss_counts == {"messages[].weight": 2, "topic": 1}
    refused = {refusal.row: refusal for refusal in report.refusals}
    assert sorted(refused) == [2, 4, 5, 6]  # type: ignore[type-var]
    assert refused[2].path == "messages[0].content[0]"
    assert "s3://" in refused[2].reason
    assert "'question'" in refused[4].reason
    assert "not JSON" in refused[5].reason
    assert "text row" in refused[6].reason
    assert (report.rows, report.written, report.refused, report.rows_with_losses) == (7, 3, 4, 2)
    assert not report.ok
    assert report.detected == {"openai": 3, "sharegpt": 1, "unknown": 2, "text": 1}
    assert len(read(tmp_path / "out.jsonl")) == 3


def test_strict_writes_only_what_loses_nothing(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [chat("one", weight=0), chat("two")])
    report = convert(given, "vertex", tmp_path / "out.jsonl", on_loss="refuse-row")
    assert (report.written, report.refused, report.losses) == (1, 1, [])
    assert report.refusals[0].path == "messages[1].weight"


def test_the_same_dialect_is_handed_on_byte_by_byte(tmp_path: Path) -> None:
    lines = [
        '{ "messages":[ {"role":"user","content":"\\u00fc"} ],  "id":1.50 }',
        json.dumps(chat("ü", weight=0), ensure_ascii=False),
    ]
    given = write(tmp_path / "in.jsonl", lines)
    assert convert(given, "openai", tmp_path / "out.jsonl").ok
    assert (tmp_path / "out.jsonl").read_bytes() == given.read_bytes()


def test_a_line_that_would_change_in_silence_is_refused(tmp_path: Path) -> None:
    given = write(
        tmp_path / "in.jsonl",
        [
            '{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
            '{"messages": [{"role": "user", "content": "a"}], "score": NaN}',
            '{"messages": [{"role": "user", "content": "\\ud800"}]}',
            chat("good"),
        ],
    )
    report = convert(given, "vertex", tmp_path / "out.jsonl")
    assert [refusal.row for refusal in report.refusals] == [1, 2, 3]
    assert "stands twice" in report.refusals[0].reason
    assert report.written == 1


def test_trl_follows_the_kind_of_the_rows(tmp_path: Path) -> None:
    row = {
        "input": {"messages": [{"role": "user", "content": "q"}]},
        "preferred_output": [{"role": "assistant", "content": "good"}],
        "non_preferred_output": [{"role": "assistant", "content": "bad"}],
    }
    report = convert([row], "trl", tmp_path / "out.jsonl")
    assert report.to == "trl-preference"
    assert read(tmp_path / "out.jsonl")[0]["chosen"] == [{"role": "assistant", "content": "good"}]


def test_another_kind_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": "good", "rejected": "bad"}]
    with pytest.raises(SpecError, match="Convert them to one of: openai-preference, trl-preference, vertex-preference"):
        convert(rows, "vertex", tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def _many(count: int) -> Iterable[dict[str, Any]]:
    for number in range(count):
        row = chat(f"question {number}", "answer " * (number % 40))
        if number % 97 == 0:
            row["messages"][1]["weight"] = 0
        if number % 1009 == 1:
            row["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": "s3://bucket/a.png"}}]
        yield row


def test_several_processes_write_what_one_writes(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", _many(6000))
    reports: list[ConversionReport] = []
    for workers, name in ((1, "one.jsonl"), (3, "three.jsonl"), (2, "packed.jsonl.gz")):
        reports.append(convert(given, "vertex", tmp_path / name, workers=workers))
    one = (tmp_path / "one.jsonl").read_bytes()
    assert (
        one == (tmp_path / "three.jsonl").read_bytes() == gzip.decompress((tmp_path / "packed.jsonl.gz").read_bytes())
    )
    texts = [row["contents"][0]["parts"][0]["text"] for row in read(tmp_path / "one.jsonl")]
    assert texts == [f"question {number}" for number in range(6000) if number % 1009 != 1]
    assert {report.model_dump_json(exclude={"out"}) for report in reports} == {
        reports[0].model_dump_json(exclude={"out"})
    }
    assert reports[0].loss_counts == {"messages[].weight": 62}
    assert [refusal.row for refusal in reports[0].refusals] == [2, 1011, 2020, 3029, 4038, 5047]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl",
        "one.jsonl",
        "packed.jsonl.gz",
        "three.jsonl",
    ]


def test_of_many_losses_the_first_thousand_are_told_and_all_are_counted(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", (chat(str(number), weight=0) for number in range(2500)))
    for workers in (1, 2):
        report = convert(given, "vertex", tmp_path / "out.jsonl", workers=workers)
        assert [loss.row for loss in report.losses] == list(range(1, 1001))
        assert report.loss_counts == {"messages[].weight": 2500}


def test_the_input_is_never_written_over(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [chat("q")])
    before = given.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(given)
    for out in (given, tmp_path / "link.jsonl", tmp_path / "." / "in.jsonl"):
        with pytest.raises(SpecError, match="is the input"):
            convert(given, "vertex", out)
    with pytest.raises(SpecError, match="is the input"):
        convert(str(tmp_path / "*.jsonl"), "vertex", given)
    assert given.read_bytes() == before


@pytest.mark.parametrize(
    ("to", "out", "said"),
    [
        ("vertx", "out.jsonl", "did you mean 'vertex'"),
        ("vertex", "out.parquet", "written as JSONL"),
        ("vertex", "nowhere/out.jsonl", "there is no folder"),
        ("vertex", "s3://bucket/out.jsonl", "only local files"),
        ("vertex", ".", "is a directory"),
    ],
)
def test_a_wrong_request_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, out: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=said):
        convert([chat("q")], to, out)
    assert list(tmp_path.iterdir()) == []


def test_where_no_row_can_be_said_no_file_is_made(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("kept\n", encoding="utf-8")
    rows = [{"messages": [{"role": "user", "content": "q"}]}]
    report = convert(rows, "alpaca", out)
    assert (report.out, report.written, report.refused) == (None, 0, 1)
    assert out.read_text(encoding="utf-8") == "kept\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", _many(6000))
    out = tmp_path / "out.jsonl"
    out.write_text("kept\n", encoding="utf-8")

    def interrupt(done: int, total: int | None, rows: int) -> None:
        raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            convert(given, "vertex", out, workers=workers, progress=interrupt)
        assert out.read_text(encoding="utf-8") == "kept\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by /dev/full")
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = write(tmp_path / "in.jsonl", _many(3000))
    (tmp_path / f".out.jsonl.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(DatasetError, match="cannot be written: No space left on device"):
        convert(given, "vertex", tmp_path / "out.jsonl", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_rows_in_memory_and_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None, int]] = []
    convert(
        iter([chat("one"), chat("two")]),
        "trl",
        tmp_path / "a.jsonl",
        progress=lambda *now: seen.append(now),
    )
    assert seen[-1][2] == 2
    given = tmp_path / "a.jsonl"
    convert(given, "openai", tmp_path / "b.jsonl", progress=lambda *now: seen.append(now))
    assert seen[-1] == (given.stat().st_size, given.stat().st_size, 2)
    assert read(tmp_path / "b.jsonl") == [chat("one"), chat("two")]


def test_a_value_that_is_no_json_refuses_its_row(tmp_path: Path) -> None:
    report = convert([chat("one"), {**chat("two"), "note": {1, 2}}], "trl", tmp_path / "out.jsonl")
    assert (report.written, report.refused) == (1, 1)
    assert report.refusals[0].row == 2


# The command


def run(*words: Any) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)


def test_the_command_says_what_it_found_and_lost(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [chat("one", weight=0), chat("two"), {"question": "q"}])
    result = run(given, "--to", "vertex", "-o", tmp_path / "out.jsonl")
    assert result.return_value == 1
    assert "3 rows; recognised as openai (2), unknown (1)" in result.output
    assert "2 rows written as vertex to" in result.output
    assert "1 row without a part that vertex cannot say: messages[].weight 1×" in result.output
    assert "row 1, messages[1].weight: weight 0" in result.output
    assert "1 row refused:" in result.output
    assert "row 3: the keys ['question'] belong to no known dialect" in result.output
    assert (
        run(write(tmp_path / "good.jsonl", [chat("q")]), "--to", "vertex", "-o", tmp_path / "o.jsonl").return_value == 0
    )


def test_the_command_as_json(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [chat("one", weight=0)])
    result = run(given, "--to", "vertex", "-o", tmp_path / "out.jsonl", "--json")
    report = ConversionReport.model_validate_json(result.stdout)
    assert report.losses[0].path == "messages[1].weight"
    assert report.to == "vertex"


def test_rows_on_the_standard_output_stay_alone_there(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [chat("one"), chat("two", weight=0)])
    code = "import sys; from tuneport.cli.convert import convert; convert(sys.argv[1:], standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(given), "--to", "trl", "-o", "-"], capture_output=True, text=True, check=False
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows == [
        {"prompt": [{"role": "user", "content": "one"}], "completion": [{"role": "assistant", "content": "a"}]}
    ]
    assert "1 row refused" in done.stderr


def test_help_names_every_dialect() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "Example: tuneport convert" in text
    for name in DIALECTS:
        assert name in text.replace("- ", "-")


def test_a_packed_output_is_read_back_as_what_was_written(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [chat(f"question {n}", f"answer {n}") for n in range(60)])
    convert(given, "vertex", tmp_path / "out.jsonl.zst")
    convert(tmp_path / "out.jsonl.zst", "openai", tmp_path / "back.jsonl")
    assert read(tmp_path / "back.jsonl") == read(given)


_SAID = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()) and text.isprintable())


@settings(max_examples=100, deadline=None)
@given(
    said=st.lists(_SAID, min_size=2, max_size=6),
    first=st.sampled_from([None, "system", "developer"]),
    to=st.sampled_from(["vertex", "bedrock-converse", "bedrock-claude", "sharegpt"]),
    content_first=st.booleans(),
    spoiled=st.booleans(),
)
def test_a_plain_conversation_is_written_as_its_dialect_writes_it(
    said: list[str], first: str | None, to: str, content_first: bool, spoiled: bool
) -> None:
    turns = [
        {"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said[: len(said) // 2 * 2])
    ]
    turns = ([] if first is None else [{"role": first, "content": "Be brief."}]) + turns
    if content_first:
        turns = [dict(reversed(turn.items())) for turn in turns]
    row = {"messages": turns}
    lines = [orjson.dumps(row)] * 3
    if spoiled:  # its neighbours are then read line by line
        lines[1] = b'{"messages": [], "messages": []}'
    piece = change(Block("d.jsonl", 1, 3, data=b"\n".join(lines)), to, "keep-row")
    wanted, losses = DIALECTS[to].write(row)
    kept = 2 if spoiled else 3
    assert [json.loads(line) for line in piece.data.splitlines()] == [wanted] * kept
    assert piece.data.splitlines() == [orjson.dumps(wanted)] * kept
    assert (piece.written, piece.refused, piece.detected) == (kept, 3 - kept, {"openai": 3})
    assert piece.counts == {loss.path.replace("[0]", "[]"): kept for loss in losses}
