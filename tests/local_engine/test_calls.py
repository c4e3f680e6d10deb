"""Tool calls read out of answers: every family's way of writing one, and text that only looks like it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport_local.calls import read_calls

NAMES = {"weather", "add"}


def called(text: str) -> tuple[str, list[tuple[str, Any]]]:
    rest, calls = read_calls(text, NAMES)
    return rest, [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


@pytest.mark.parametrize(
    ("text", "rest", "calls"),
    [
        ('<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', "", [("add", {"a": 1})]),
        ('Let me see.\n<tool_call>{"name": "add", "arguments": {}}</tool_call>', "Let me see.", [("add", {})]),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}}', "", [("add", {"a": 1})]),  # cut at the end, but whole
        ('<|tool_call|>[{"name": "add", "arguments": {"a": 2}}]<|/tool_call|>', "", [("add", {"a": 2})]),
        (
            '<tool_call>{"name": "add"}</tool_call>\n<tool_call>{"name": "weather", "arguments": {"in": "Köln"}}</tool_call>',
            "",
            [("add", {}), ("weather", {"in": "Köln"})],
        ),
        ('[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}]', "", [("add", {"a": 1})]),
        ('Now.[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}]', "Now.", [("add", {"a": 1})]),
        ('{"name": "weather", "parameters": {"in": "Rome"}}', "", [("weather", {"in": "Rome"})]),
        ('{"function": {"name": "add", "arguments": "{\\"a\\": 1}"}, "type": "function"}', "", [("add", {"a": 1})]),
        ('[{"name": "add", "arguments": {}}, {"name": "add", "arguments": {}}]', "", [("add", {}), ("add", {})]),
    ],
)
def test_what_each_family_writes_is_a_call(text: str, rest: str, calls: list[tuple[str, Any]]) -> None:
    assert called(text) == (rest, calls)


@pytest.mark.parametrize(
    "text",
    [
        "It is 21 degrees.",
        '{"name": "Ann", "age": 7}',  # an answer in JSON, and no tool is named so
        '{"city": "Rome"}',
        "<tool_call>add(1, 2)</tool_call>",
        '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',  # no JSON, though Python reads it
        '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "add", "arg',
        "[TOOL_CALLS] none",
        "[" * 100_000,
        '{"name": "add", "arguments": {"a": ' + "9" * 5000 + "}}",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert read_calls(text, NAMES) == (text, [])


def test_without_tools_nothing_is_read() -> None:
    text = '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
    assert read_calls(text, ()) == (text, [])


def test_beside_a_call_that_can_be_read_one_that_cannot_stays_in_the_text() -> None:
    text = '<tool_call>{"name": "add", "arguments": {}}</tool_call> <tool_call>add(1)</tool_call>'
    assert called(text) == ("<tool_call>add(1)</tool_call>", [("add", {})])


def test_calls_are_told_apart_by_their_ids() -> None:
    _, calls = read_calls('[{"name": "add", "arguments": {}}, {"name": "add", "arguments": {}}]', NAMES)
    assert len({call["id"] for call in calls}) == 2
    assert {call["type"] for call in calls} == {"function"}


PIECES = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<|tool_call|>",
        "[TOOL_CALLS]",
        '{"name": "add", "arguments": ',
        "{}",
        "}",
        "[",
        "]",
        *('"\\ud800"', '{"function": {}}', '{"name": 1}', "null", "NaN", "1e999", ",", " "),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12) | st.characters(), max_size=9).map("".join))
def test_no_text_is_refused_and_every_call_has_a_name_and_json_or_the_models_own_words(text: str) -> None:
    rest, calls = read_calls(text, NAMES)
    assert calls or rest == text
    for call in calls:
        assert isinstance(call["function"]["name"], str)
        assert isinstance(call["function"]["arguments"], str)
        json.dumps(call)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8) | st.booleans(), max_size=4))
def test_arguments_come_back_as_they_were_written(arguments: dict[str, Any]) -> None:
    written = json.dumps({"name": "add", "arguments": arguments})
    for text in (written, f"<tool_call>{written}</tool_call>", f"[TOOL_CALLS][{written}]"):
        if not any(mark in written for mark in ("tool_call", "TOOL_CALLS")):
            assert called(text) == ("", [("add", arguments)])
