"""Every row has its ledger line: used, truncated, or dropped with the reason; and what a batch is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneport_local.data import IGNORED, Prepared, collate, load_chat_tokenizer, prepare

Tiny = Callable[..., Path]
USER = {"role": "user", "content": "Capital of France?"}
ANSWER = {"role": "assistant", "content": "Paris."}


def run(folder: Path, *rows: Any, max_length: int = 1000, truncation: str = "drop") -> Prepared:
    numbered = [{"row": n, "hash": f"h{n}", **row} for n, row in enumerate(rows, 1)]
    return prepare(numbered, load_chat_tokenizer(folder), split="train", max_length=max_length, truncation=truncation)


def reason(folder: Path, row: dict[str, Any]) -> str:
    result = run(folder, row)
    assert result.examples == []
    (entry,) = result.ledger
    assert entry.status == "dropped"
    assert entry.tokens == entry.trainable_tokens == 0
    assert entry.reason is not None
    return entry.reason


def test_each_row_has_a_line_and_the_totals_add_up(tiny_tokenizer: Tiny) -> None:
    folder = tiny_tokenizer("qwen3")
    short = {"messages": [USER, ANSWER]}
    partly = {"messages": [USER, {"role": "assistant", "content": "Paris " * 60}]}
    hidden = {"messages": [{"role": "user", "content": "France " * 60}, ANSWER]}
    mute = {"messages": [USER, {**ANSWER, "weight": 0}]}
    result = run(folder, short, partly, hidden, mute, max_length=64)
    assert [entry.status for entry in result.ledger] == ["used", "truncated", "dropped", "dropped"]
    assert [entry.row for entry in result.ledger] == [1, 2, 3, 4]
    assert [entry.hash for entry in result.ledger] == ["h1", "h2", "h3", "h4"]
    assert [example.row for example in result.examples] == [1, 2]
    for example, entry in zip(result.examples, result.ledger[:2], strict=True):
        assert entry.tokens == len(example.input_ids) == len(example.labels)
        assert entry.trainable_tokens == sum(label != IGNORED for label in example.labels) > 0
    assert len(result.examples[1].input_ids) == 64
    assert "trainable ones lost" in (result.ledger[1].reason or "")
    assert "the limit of 64" in (result.ledger[2].reason or "")
    totals = result.totals()
    assert (totals.rows, totals.used, totals.truncated, totals.dropped) == (4, 1, 1, 2)
    assert totals.tokens == sum(len(example.input_ids) for example in result.examples)
    assert totals.trainable_tokens == sum(entry.trainable_tokens for entry in result.ledger)
    assert totals.reasons == {"cut": 1, "answer cut off": 1, "nothing trainable": 1}


def test_left_keeps_the_answer_and_cuts_the_beginning(tiny_tokenizer: Tiny) -> None:
    hidden = {"messages": [{"role": "user", "content": "France " * 60}, ANSWER]}
    whole = run(tiny_tokenizer("qwen3"), hidden)
    result = run(tiny_tokenizer("qwen3"), hidden, max_length=32, truncation="left")
    (entry,) = result.ledger
    assert (entry.status, entry.tokens, entry.trainable_tokens) == ("truncated", 32, whole.ledger[0].trainable_tokens)
    assert (entry.reason or "").startswith("beginning cut:")
    assert result.examples[0].input_ids == whole.examples[0].input_ids[-32:]


def test_losing_only_untrained_tokens_is_not_called_truncated(tiny_tokenizer: Tiny) -> None:
    folder = tiny_tokenizer("qwen3")
    whole = run(folder, {"messages": [USER, ANSWER]})
    longer = {"messages": [USER, ANSWER, {"role": "user", "content": "Thanks " * 50}]}
    cut = run(folder, longer, max_length=whole.ledger[0].tokens)
    assert cut.ledger[0].status == "used"
    assert cut.ledger[0].tokens == whole.ledger[0].tokens


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([USER, USER, ANSWER], "refused by the chat template: Conversation roles must alternate"),
        ([USER], "nothing trainable: "),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ANSWER],
            "not text: message 1",
        ),
        ([{"content": "no role"}], "not a chat row: "),
        ("text", "not a chat row: "),
        ([{"role": "user", "content": 7}, ANSWER], "not a chat row: message 1 has int"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(tiny_tokenizer: Tiny, messages: Any, expected: str) -> None:
    assert reason(tiny_tokenizer("gemma3"), {"messages": messages}).startswith(expected)


def test_parts_of_text_are_one_text(tiny_tokenizer: Tiny) -> None:
    parts = [{"type": "text", "text": "Capital "}, {"type": "text", "text": "of France?"}]
    rows = [{"messages": [{"role": "user", "content": said}, ANSWER]} for said in (parts, "Capital of France?")]
    result = run(tiny_tokenizer("llama"), *rows)
    assert result.examples[0].input_ids == result.examples[1].input_ids


def test_a_developer_turn_is_the_system_turn_of_a_template_that_knows_none(tiny_tokenizer: Tiny) -> None:
    rows = [{"messages": [{"role": role, "content": "Be brief."}, USER, ANSWER]} for role in ("developer", "system")]
    result = run(tiny_tokenizer("qwen3"), *rows)
    assert result.examples[0].input_ids == result.examples[1].input_ids


def test_openais_older_function_calls_are_tool_calls(tiny_tokenizer: Tiny) -> None:
    function = {"name": "f", "arguments": "{}"}
    older = [
        USER,
        {"role": "assistant", "content": None, "function_call": function},
        {"role": "function", "content": "1"},
    ]
    call = {"id": "a", "type": "function", "function": function}
    result_turn = {"role": "tool", "tool_call_id": "a", "content": "1"}
    newer = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}, result_turn]
    result = run(tiny_tokenizer("qwen3"), {"messages": [*older, ANSWER]}, {"messages": [*newer, ANSWER]})
    assert [entry.status for entry in result.ledger] == ["used", "used"]
    assert result.examples[0].labels == result.examples[1].labels


def test_a_template_without_an_end_of_turn_gets_one_and_it_is_said(tiny_tokenizer: Tiny) -> None:
    bare = "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
    bare += "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    folder = tiny_tokenizer("granite", bare)
    chat = load_chat_tokenizer(folder)
    result = run(folder, {"messages": [USER, ANSWER, USER, ANSWER]})
    (example,) = result.examples
    assert example.labels[-1] == example.input_ids[-1] == chat.tokenizer.eos_token_id
    assert (
        chat.tokenizer.decode([token for token in example.labels if token != IGNORED]) == "Paris.Paris.<|end_of_text|>"
    )
    assert any("ends an assistant turn with no token" in warning for warning in result.warnings)


def test_what_a_template_leaves_out_is_warned_of(tiny_tokenizer: Tiny) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    both = [USER, {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}]
    result = run(tiny_tokenizer("llama"), {"messages": both})
    assert any("leaves out the text of an assistant turn that calls a tool" in warning for warning in result.warnings)


def test_a_tool_is_not_silently_left_out_by_a_template_that_has_none(tiny_tokenizer: Tiny) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]
    folder = tiny_tokenizer("gemma3")
    with_tools = run(folder, {"messages": [USER, ANSWER], "tools": tools})
    assert any("tuneport:tools" in warning for warning in with_tools.warnings)
    assert run(folder, {"messages": [USER, ANSWER]}).warnings == []


def test_the_white_space_of_an_answer_never_trains_the_header_before_it(tiny_tokenizer: Tiny) -> None:
    folder = tiny_tokenizer("phi3")  # its <|assistant|> swallows the white space behind it
    chat = load_chat_tokenizer(folder)
    (example,) = run(folder, {"messages": [USER, {"role": "assistant", "content": "\n\n Paris."}]}).examples
    assert chat.tokenizer.convert_tokens_to_ids("<|assistant|>") not in example.labels


def test_a_batch_keeps_the_end_of_turn_where_padding_is_the_same_token(tiny_tokenizer: Tiny) -> None:
    folder = tiny_tokenizer("gpt2")
    chat = load_chat_tokenizer(folder)
    assert chat.pad_token_id == chat.tokenizer.eos_token_id
    longer = {"messages": [USER, {"role": "assistant", "content": "Lima, or Paris."}]}
    result = run(folder, {"messages": [USER, ANSWER]}, longer)
    batch = collate(result.examples, chat.pad_token_id)
    longest = max(entry.tokens for entry in result.ledger)
    for name in ("input_ids", "attention_mask", "labels"):
        assert batch[name].shape == (2, longest)
    for index, (example, entry) in enumerate(zip(result.examples, result.ledger, strict=True)):
        assert batch["attention_mask"][index].tolist() == [1] * entry.tokens + [0] * (longest - entry.tokens)
        assert batch["input_ids"][index].tolist() == example.input_ids + [chat.pad_token_id] * (longest - entry.tokens)
        assert batch["labels"][index].tolist() == example.labels + [IGNORED] * (longest - entry.tokens)
        assert batch["labels"][index].tolist().count(chat.tokenizer.eos_token_id) == 1
