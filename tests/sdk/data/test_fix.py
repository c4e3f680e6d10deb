"""The repaired dataset: what is mended, what is left out, and that nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneport import Dataset, preflight, validate
from tuneport.dataset.codes import CODES
from tuneport.dataset.repairs import REDACTIONS, REPAIRS
from tuneport.errors import DatasetError

Write = Callable[..., Path]


def chat(question: str = "Where is my parcel?", answer: str = "It is on its way.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: Any, name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        made = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        path.write_bytes(b"".join(line + b"\n" for line in made))
        return path

    return write


def fixed(path: Path, target: str | None = None, **options: Any) -> tuple[list[Any], Any]:
    out = path.with_name("fixed.jsonl")
    report = preflight.fix(path, out, target, **options)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], report


def test_every_code_that_promises_a_repair_has_one() -> None:
    whole = {"file.bom", "file.blank-line", "quality.duplicate", "split.leak"}  # of the file, not of a row
    assert {code for code, known in CODES.items() if known.repairable} - whole == REPAIRS.keys() | REDACTIONS.keys()


def test_rows_without_a_finding_are_kept_byte_for_byte(write: Write) -> None:
    odd = b'{ "messages" :[{"role":"user","content":"Caf\\u00e9?"},  {"role":"assistant","content":"Oui."} ] }'
    path = write(odd, chat("And the other?", "Tomorrow."))
    fixed(path)
    assert path.with_name("fixed.jsonl").read_bytes().splitlines()[0] == odd


@pytest.mark.parametrize(
    ("row", "target", "expected"),
    [
        (
            {"messages": [{"role": "human", "content": "Hi, where is it?"}, {"role": "gpt", "content": "On its way."}]},
            None,
            [{"role": "user", "content": "Hi, where is it?"}, {"role": "assistant", "content": "On its way."}],
        ),
        (
            {"messages": [*chat()["messages"], {"role": "user", "content": "Thanks!"}]},
            None,
            chat()["messages"],
        ),
        (
            {"messages": [chat()["messages"][0], {"role": "system", "content": "Be kind."}, chat()["messages"][1]]},
            None,
            [{"role": "system", "content": "Be kind."}, *chat()["messages"]],
        ),
        (
            {"messages": [{**chat()["messages"][0], "mood": "cross"}, chat()["messages"][1]], "lang": "en"},
            None,
            chat()["messages"],
        ),
        (chat(answer="It is here.<|im_end|>"), None, chat(answer="It is here.")["messages"]),
        (chat(answer="Das Paket ist schon unterwegs, schÃ¶nen Tag fÃ¼r Sie."), None, None),
        (
            {"messages": [{"role": "user", "content": "One."}, *chat("Two.")["messages"]]},
            "bedrock:amazon.nova-lite-v1:0:300k",
            chat("One.\n\nTwo.")["messages"],
        ),
        (
            chat("User: what is it?"),
            "bedrock:amazon.nova-lite-v1:0:300k",
            chat("User : what is it?")["messages"],
        ),
    ],
)
def test_what_a_program_can_mend(write: Write, row: Any, target: str | None, expected: Any) -> None:
    rows, report = fixed(write(row, chat("Is this one fine?", "Yes, it is.")), target)
    if expected is None:
        expected = chat(answer="Das Paket ist schon unterwegs, schönen Tag für Sie.")["messages"]
    assert rows[0]["messages"] == expected
    assert report.changed == 1
    assert report.changes[0].row == 1
    assert report.removed == 0


def test_lines_that_json_would_not_write_are_mended(write: Write) -> None:
    duplicate = (
        b'{"messages": [{"role": "user", "content": "a", "content": "Which?"}, {"role": "assistant", "content": "b."}]}'
    )
    half = b'{"messages": [{"role": "user", "content": "Smile \\ud83d!"}, {"role": "assistant", "content": "I do."}]}'
    nul = b'{"messages": [{"role": "user", "content": "N\\u0000ul?"}, {"role": "assistant", "content": "No."}]}'
    rows, report = fixed(write(b"\xef\xbb\xbf" + duplicate, b"", half, nul))
    assert [row["messages"][0]["content"] for row in rows] == ["Which?", "Smile !", "Nul?"]
    assert validate(rows).counts.keys() <= {"file.few-rows"}
    assert {change.code for change in report.changes} >= {"file.duplicate-keys", "file.lone-surrogate", "file.nul"}


def test_what_no_program_can_mend_is_left_out_and_named(write: Write) -> None:
    rows, report = fixed(write(chat(), b"{oops", {"messages": [{"role": "user", "content": "And?"}]}, chat("B?", "C.")))
    assert len(rows) == 2
    assert [(left.row, left.code) for left in report.left_out] == [(2, "file.not-json"), (3, "structure.no-assistant")]
    assert (report.rows, report.written, report.removed) == (4, 2, 2)


def test_repeats_are_left_out_once_each(write: Write) -> None:
    rows, report = fixed(write(chat(), chat("where is  my PARCEL?"), chat("Another?", "Yes.")))
    assert len(rows) == 2
    assert [(left.row, left.code) for left in report.left_out] == [(2, "quality.duplicate")]


def card() -> str:
    digits = "453998" + "71823045" + "6"
    for last in "0123456789":
        number = digits + last
        doubled = [int(d) * 2 if i % 2 == 0 else int(d) for i, d in enumerate(number)]
        if sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0:
            return number
    raise AssertionError


def test_a_card_number_is_redacted_also_inside_tool_arguments_which_stay_json(write: Write) -> None:
    number = card()
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": json.dumps({"card": number})}}
    tool = {
        "type": "function",
        "function": {"name": "pay", "parameters": {"type": "object", "properties": {"card": {}}}},
    }
    row = {
        "messages": [
            {"role": "user", "content": f"Use {number}."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
    }
    path = write({**row, "tools": [tool]}, chat())
    assert not validate(path).ok
    rows, report = fixed(path)
    assert number not in json.dumps(rows)
    assert "[CARD]" in json.loads(rows[0]["messages"][1]["tool_calls"][0]["function"]["arguments"])["card"]
    assert number not in report.model_dump_json()


def test_an_email_is_redacted_only_where_that_was_asked_for(write: Write) -> None:
    path = write(chat("I am jane.roe@acme-corp.com, where is it?"), chat("Other?", "No."))
    assert "jane.roe" in json.dumps(fixed(path)[0])
    assert "jane.roe" not in json.dumps(fixed(path, privacy="redact")[0])


def test_the_report_gives_the_repaired_dataset(write: Write) -> None:
    report = validate(
        write({"messages": [{"role": "human", "content": "Hi?"}, {"role": "ai", "content": "Hello."}]}, chat())
    )
    data = report.fixed()
    assert isinstance(data, Dataset)
    assert validate(data).ok
    assert len(data) == 2
    assert data.changes.changed == 1


def test_other_dialects_are_mended_in_their_own_words(write: Write) -> None:
    row = {
        "conversations": [{"from": "human", "value": "What is it?<|im_end|>"}, {"from": "gpt", "value": "A parcel."}]
    }
    rows, _ = fixed(
        write(row, {"conversations": [{"from": "human", "value": "And that?"}, {"from": "gpt", "value": "A box."}]})
    )
    assert rows[0] == {
        "conversations": [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A parcel."}]
    }


def test_the_input_is_never_written_over(write: Write) -> None:
    path = write(chat())
    with pytest.raises(DatasetError, match="is the input"):
        preflight.fix(path, path)
    assert path.read_bytes()


def test_an_output_that_a_glob_matches_is_refused_and_another_is_written_over(write: Write) -> None:
    first = write(chat(), name="a.jsonl")
    write(chat("Other?", "No."), name="b.jsonl")
    pattern, out = str(first.with_name("*.jsonl")), first.with_name("out.json")
    with pytest.raises(DatasetError, match="is the input"):
        preflight.fix(pattern, first)
    for _ in range(2):
        assert preflight.fix(pattern, out).written == 2
