"""`checks.structure`: each defect is one finding of one code, at its row and path, with the value; valid rows have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset.checks.base import Context, Findings, Target
from tuneport.dataset.checks.structure import StructureCheck
from tuneport.dataset.codes import CODES
from tuneport.dataset.issues import Issue
from tuneport.dataset.rows import Batch, Kind, Row
from tuneport.dataset.scan import recognise, where
from tuneport.dataset.shape import plain_turns

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "What is the capital of France?"}
ANSWER = {"role": "assistant", "content": "Paris."}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "ok"}


def found(row: Any, kind: Kind = "chat", **context: Any) -> Findings:
    """The row stands as the second of three; the others are valid."""
    findings = Findings(source="d.jsonl")
    good = Row(1, {}, kind="chat", canonical={"messages": [ASK, ANSWER]})
    last = Row(3, {}, kind="text", canonical={"text": "fine"})
    if context.get("objective") in {"reinforcement", "rlhf"}:
        good = last
    StructureCheck(Context(**context)).scan(
        Batch("d.jsonl", "train", [good, Row(2, row, kind=kind, canonical=row), last]), findings
    )
    return findings


def told(row: Any, kind: Kind = "chat", **context: Any) -> list[tuple[str, str | None]]:
    findings = found(row, kind, **context)
    assert all(issue.row == 2 for issue in findings.issues)
    return [(issue.code, issue.path) for issue in findings.issues]


def chat(*turns: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(turns), **more}


def pair(prompt: Any = None, preferred: Any = None, rejected: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "input": {"messages": [ASK]} if prompt is None else prompt,
        "preferred_output": [ANSWER] if preferred is None else preferred,
        "non_preferred_output": [{"role": "assistant", "content": "Lyon."}] if rejected is None else rejected,
        **more,
    }


@pytest.mark.parametrize(
    ("row", "code", "path", "says"),
    [
        ({"messages": None}, "structure.no-messages", "messages", "null"),
        ({}, "structure.no-messages", "messages", "null"),
        ({"messages": []}, "structure.no-messages", "messages", "an empty list"),
        ({"messages": "hello"}, "structure.no-messages", "messages", "'hello'"),
        (chat(ASK, "hello", ANSWER), "structure.turn", "messages[1]", "'hello'"),
        (chat(ASK, None, ANSWER), "structure.turn", "messages[1]", "null"),
        (chat(ASK, {"role": "robot", "content": "x"}), "structure.role", "messages[1].role", "'robot'"),
        (chat({"content": "x"}, ANSWER), "structure.role", "messages[0].role", "null"),
        (chat({"role": ["user"], "content": "x"}, ANSWER), "structure.role", "messages[0].role", "a list of 1"),
        (chat(ASK, ANSWER, SYSTEM, ASK, ANSWER), "structure.system-first", "messages[2]", "place 3"),
        (chat(SYSTEM, SYSTEM, ASK, ANSWER), "structure.system-first", "messages[1]", "place 2"),
        (chat(ASK, ASK, ANSWER), "structure.role-order", "messages[1]", "follows the user's"),
        (chat(ASK, ANSWER, ANSWER), "structure.role-order", "messages[2]", "follows the assistant's"),
        (chat(ANSWER), "structure.role-order", "messages[0]", "comes first"),
        (chat(SYSTEM, ANSWER), "structure.role-order", "messages[1]", "first after the system turn"),
        (
            chat(ASK, {**ANSWER, "tool_calls": [CALL]}, RESULT, ASK, ANSWER),
            "structure.role-order",
            "messages[3]",
            "follows the tool's",
        ),
        (chat(ASK, ANSWER, ASK), "structure.unfinished", "messages[2]", "the user's"),
        (chat(ASK, {"role": "assistant", "content": " \n"}), "structure.empty-turn", "messages[1].content", "' \\n'"),
        (chat(ASK, {"role": "assistant", "content": ""}), "structure.empty-turn", "messages[1].content", "''"),
        (
            chat(ASK, {"role": "assistant", "content": "\u200b\ufeff"}),
            "structure.empty-turn",
            "messages[1].content",
            "blank",
        ),
        (
            chat(ASK, {"role": "assistant", "content": []}),
            "structure.empty-turn",
            "messages[1].content",
            "an empty list",
        ),
        (
            chat(ASK, {"role": "assistant", "content": [{"type": "text", "text": " "}]}),
            "structure.empty-turn",
            "messages[1].content",
            "1 parts without text",
        ),
        (
            chat({"role": "user", "content": ""}, ANSWER),
            "structure.blank-turn",
            "messages[0].content",
            "the user's turn",
        ),
        (
            chat({"role": "system", "content": " "}, ASK, ANSWER),
            "structure.blank-turn",
            "messages[0].content",
            "the system's",
        ),
        (
            chat(ASK, {"role": "assistant", "content": "", "weight": 0}, ASK, ANSWER),
            "structure.blank-turn",
            "messages[1].content",
            "weight 0",
        ),
        (chat(ASK), "structure.no-assistant", "messages", "1 user turn,"),
        (chat(SYSTEM, ASK), "structure.no-assistant", "messages", "1 system turn and 1 user turn"),
        (
            chat(ASK, {**ANSWER, "weight": 0}),
            "structure.nothing-trainable",
            "messages",
            "the 1 assistant turns has weight 0",
        ),
        (chat(ASK, {**ANSWER, "weight": 2}), "structure.weight", "messages[1].weight", "weight is 2"),
        (chat(ASK, {**ANSWER, "weight": True}), "structure.weight", "messages[1].weight", "weight is true"),
        (chat(ASK, {**ANSWER, "weight": "1"}), "structure.weight", "messages[1].weight", "weight is '1'"),
        (chat(ASK, ANSWER, id=7), "structure.unknown-key", "id", "'id'"),
        (chat(ASK, ANSWER, functions=[]), "structure.unknown-key", "functions", "older name"),
        (chat(ASK, {**ANSWER, "mood": "glad"}), "structure.unknown-key", "messages[1].mood", "'mood' is not known"),
        (
            chat({**ASK, "weight": 1}, ANSWER),
            "structure.unknown-key",
            "messages[0].weight",
            "to the turns of assistant",
        ),
        (chat({"role": "user", "content": 3}, ANSWER), "structure.content", "messages[0].content", "content is 3"),
        (chat({"role": "user"}, ANSWER), "structure.content", "messages[0].content", "content is missing"),
        (
            chat(ASK, {"role": "assistant", "content": None}),
            "structure.content",
            "messages[1].content",
            "content is null",
        ),
        (
            chat({"role": "user", "content": {"text": "x"}}, ANSWER),
            "structure.content",
            "messages[0].content",
            "'text'",
        ),
        (chat({"role": "user", "content": ["x"]}, ANSWER), "structure.part", "messages[0].content[0]", "is 'x'"),
        (
            chat({"role": "user", "content": [{"text": "x"}]}, ANSWER),
            "structure.part",
            "messages[0].content[0]",
            "type null",
        ),
        (
            chat({"role": "user", "content": [{"type": "text", "text": 1}]}, ANSWER),
            "structure.part",
            "messages[0].content[0].text",
            "is 1",
        ),
        (
            chat({"role": "user", "content": [{"type": "image_url", "image_url": "https://x"}]}, ANSWER),
            "structure.part",
            "messages[0].content[0].image_url",
            "must be an object",
        ),
        (
            chat({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER),
            "structure.part",
            "messages[0].content[0].image_url.url",
            "null",
        ),
        (chat({**ASK, "name": 5}, ANSWER), "structure.type", "messages[0].name", "name is 5"),
    ],
)
def test_one_defect_of_a_chat_row_is_one_finding(row: dict[str, Any], code: str, path: str, says: str) -> None:
    findings = found(row)
    (issue,) = findings.issues
    assert (issue.code, issue.row, issue.path) == (code, 2, path)
    assert says in issue.message
    assert issue.fix
    assert issue.severity == CODES[code].severity


def test_every_defect_of_a_row_is_named_at_once() -> None:
    row = chat({"role": "human", "content": "hi"}, 5, {"role": "assistant", "content": "", "weight": 3, "x": 1}, y=2)
    assert told(row) == [
        ("structure.unknown-key", "y"),
        ("structure.role", "messages[0].role"),
        ("structure.turn", "messages[1]"),
        ("structure.unknown-key", "messages[2].x"),
        ("structure.weight", "messages[2].weight"),
        ("structure.empty-turn", "messages[2].content"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"), [("human", "user"), ("GPT", "assistant"), (" User ", "user"), ("model", "assistant")]
)
def test_the_fix_of_an_unknown_role_names_the_one_that_is_meant(written: str, meant: str) -> None:
    (issue,) = found(chat({"role": written, "content": "x"})).issues
    assert issue.fix is not None
    assert repr(meant) in issue.fix


@pytest.mark.parametrize(
    "row",
    [
        chat(ASK, ANSWER),
        chat(SYSTEM, ASK, ANSWER, ASK, ANSWER),
        chat({**SYSTEM, "role": "developer"}, ASK, ANSWER),
        chat(ASK, {**ANSWER, "weight": 0}, ASK, {**ANSWER, "weight": 1}),
        chat(ASK, {**ANSWER, "weight": 1.0}),
        chat({**ASK, "name": "ann"}, {**ANSWER, "name": None, "tool_calls": None, "weight": None}),
        chat(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                ],
            },
            ANSWER,
        ),
        chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}, ANSWER),
        chat(
            {"role": "user", "content": [{"type": "file", "file": {"url": "gs://b/v.mp4", "mime_type": "video/mp4"}}]},
            ANSWER,
        ),
        chat(ASK, {"role": "assistant", "content": None, "refusal": "I cannot."}),
        chat(ASK, {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}),
        chat(ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        chat(ASK, {"role": "assistant", "content": "", "tool_calls": [CALL]}),
        chat(ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {**RESULT, "content": ""}, ANSWER),
        chat(
            ASK,
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "x"},
            ANSWER,
        ),
        chat(ASK, {**ANSWER, "reasoning_content": "Hm."}),
        chat(ASK, ANSWER, tools=[], parallel_tool_calls=True),
    ],
)
def test_a_valid_chat_row_has_no_finding(row: dict[str, Any]) -> None:
    assert told(row) == []


@pytest.mark.parametrize(
    ("row", "code", "path", "says"),
    [
        (pair(prompt=3), "structure.preference", "input", "input is 3"),
        (
            {"preferred_output": [ANSWER], "non_preferred_output": [ASK]},
            "structure.prompts-differ",
            "non_preferred_output",
            "a user turn",
        ),
        (pair(prompt={"messages": []}), "structure.no-messages", "input.messages", "an empty list"),
        (pair(preferred=[]), "structure.preference", "preferred_output", "an empty list"),
        (pair(rejected="Lyon."), "structure.preference", "non_preferred_output", "'Lyon.'"),
        (pair(rejected=[RESULT]), "structure.preference", "non_preferred_output", "1 tool turn, and no assistant turn"),
        (pair(rejected=[ANSWER]), "structure.same-answers", "non_preferred_output", "'Paris.'"),
        (
            pair(preferred=[ASK, ANSWER], rejected=[{"role": "user", "content": "And of Spain?"}, ANSWER]),
            "structure.prompts-differ",
            "non_preferred_output",
            "'And of Spain?'",
        ),
        (pair(prompt={"messages": [SYSTEM]}), "structure.role-order", "preferred_output[0]", "the user's was expected"),
        (
            pair(rejected=[{"role": "assistant", "content": " "}]),
            "structure.empty-turn",
            "non_preferred_output[0].content",
            "blank",
        ),
        (pair(prompt={"messages": [ASK], "mood": 1}), "structure.unknown-key", "input.mood", "'mood'"),
        (pair(note="x"), "structure.unknown-key", "note", "'note'"),
        (
            {
                "input": {"messages": [ASK]},
                "completions": [{"score": 1, "completion": {}}, {"score": 1, "completion": {}}],
            },
            "structure.preference",
            "completions",
            "scores 1, 1",
        ),
    ],
)
def test_one_defect_of_a_preference_row_is_found(row: dict[str, Any], code: str, path: str, says: str) -> None:
    findings = found(row, "preference").issues
    assert (code, 2, path) in {(i.code, i.row, i.path) for i in findings}
    assert len({i.code for i in findings}) == 1
    assert any(says in i.message for i in findings)


def test_answers_are_compared_by_what_they_say() -> None:
    def same(left: Any, right: Any) -> list[tuple[str, str]]:
        row = pair(preferred=[{"role": "assistant", **left}], rejected=[{"role": "assistant", **right}])
        return [(issue.code, issue.severity) for issue in found(row, "preference").issues]

    equal, alike = [("structure.same-answers", "error")], [("structure.same-answers", "warning")]
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}
    assert same({"content": "Paris."}, {"content": "Paris.\n"}) == equal
    assert same({"content": "caf\u00e9"}, {"content": "cafe\u0301"}) == equal
    assert same({"content": "x"}, {"content": [{"type": "text", "text": "x"}]}) == equal
    assert same({"content": "Yes, Sir"}, {"content": "yes,\n\nsir"}) == alike
    assert same({"content": None, "tool_calls": [{**call, "id": "1"}]}, {"content": None, "tool_calls": [
        {"id": "2", "type": "function", "function": {"name": "f", "arguments": '{"b":2,"a":1}'}}]}) == equal  # fmt: skip
    assert same({"content": None, "tool_calls": [{**call, "id": "1"}]}, {"content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 2}'}}]}) == []  # fmt: skip
    assert same({"content": "Paris."}, {"content": "Lyon."}) == []


GRADER = {
    "type": "multi",
    "graders": {
        "exact": {
            "type": "string_check",
            "operation": "eq",
            "input": "{{ sample.output_text }}",
            "reference": "{{item.answer}}",
        },
        "deep": {"type": "score_model", "input": [{"role": "user", "content": "Compare with {{ item.meta.key }}"}]},
        "code": {
            "type": "python",
            "source": "def grade(sample, item):\n    return item['points'] + item.get('bonus', 0)",
        },
    },
}


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"answer": None}, "answer", "item.answer"),
        ({"answer": " "}, "answer", "blank: ' '"),
        ({"meta": {}}, "meta", "item.meta.key"),
        ({"meta": "x"}, "meta", "item.meta.key"),
        ({"points": None}, "points", "item.points"),
    ],
)
def test_what_the_grader_reads_must_be_there(changes: dict[str, Any], path: str, says: str) -> None:
    row = {"messages": [ASK], "answer": "Paris", "meta": {"key": "k"}, "points": 0, **changes}
    (issue,) = found(row, "reinforcement", objective="reinforcement", grader=GRADER).issues
    assert (issue.code, issue.path) == ("structure.no-reference", path)
    assert says in issue.message


def test_a_valid_reinforcement_row_has_no_finding() -> None:
    row = {"messages": [SYSTEM, ASK], "answer": "Paris", "meta": {"key": "k"}, "points": 0, "anything": [1]}
    assert told(row, "reinforcement", objective="reinforcement", grader=GRADER) == []
    assert told({"messages": [ASK]}, "chat", objective="reinforcement", grader={"type": "python", "source": "…"}) == []


@pytest.mark.parametrize("kind", ["chat", "reinforcement"])
def test_a_reinforcement_row_ends_on_the_user(kind: Kind) -> None:
    row = {"messages": [ASK, ANSWER], "reference_answer": "Paris"}
    assert told(row, kind, objective="reinforcement") == [("structure.last-not-user", "messages[1]")]


def test_a_reinforcement_row_with_messages_alone_is_worth_a_warning_only() -> None:
    (issue,) = found({"messages": [ASK]}, "reinforcement", objective="reinforcement").issues
    assert (issue.code, issue.severity) == ("structure.no-reference", "warning")


@pytest.mark.parametrize(
    ("row", "code", "path"),
    [
        ({"text": None}, "structure.no-text", "text"),
        ({}, "structure.no-text", "text"),
        ({"text": " \u200b"}, "structure.no-text", "text"),
        ({"text": 5}, "structure.type", "text"),
        ({"text": "x", "id": 1}, "structure.unknown-key", "id"),
    ],
)
def test_text_rows(row: dict[str, Any], code: str, path: str) -> None:
    assert told(row, "text") == [(code, path)]


def as_written(*rows: dict[str, Any], objective: str = "dpo") -> list[Issue]:
    """From the file's own words on."""
    findings = Findings(source="d.jsonl", where=where)
    batch = Batch("d.jsonl", "train", [recognise(Row(number, row)) for number, row in enumerate(rows, 1)])
    StructureCheck(Context(objective=objective)).scan(batch, findings)
    return findings.issues


@pytest.mark.parametrize(
    ("row", "path", "fix"),
    [
        ({"prompt": "q", "rejected": "b"}, "chosen", '"chosen": [{'),
        ({"prompt": [ASK], "chosen": [ANSWER]}, "rejected", '"rejected": [{'),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "rejected", '"rejected": [{'),
        ({"input": {"messages": [ASK]}, "preferred_output": [ANSWER]}, "non_preferred_output", "non_preferred_output"),
    ],
)
def test_an_answer_that_is_missing_is_named_as_the_file_names_it(row: dict[str, Any], path: str, fix: str) -> None:
    (issue,) = as_written(row)
    assert (issue.code, issue.path) == ("structure.preference", path)
    assert issue.message.startswith(f"{path} is null")
    assert fix in (issue.fix or "")


@pytest.mark.parametrize("row", [{"text": None}, {"input": None}, {"text": None, "url": "https://a.example/"}])
def test_a_row_whose_text_is_null_is_a_row_without_text(row: dict[str, Any]) -> None:
    key = next(iter(row))
    issues = [issue for issue in as_written(row, objective="cpt") if issue.code != "structure.unknown-key"]
    assert [(issue.code, issue.path) for issue in issues] == [("structure.no-text", key)]
    assert issues[0].message.startswith(f"{key} is null")


def test_what_a_targets_own_rules_say_is_not_said_twice() -> None:
    row = chat(ASK, {**ANSWER, "mood": 1}, ASK)
    assert told(row) == [("structure.unknown-key", "messages[1].mood"), ("structure.unfinished", "messages[2]")]
    assert told(row, target=Target("openai:gpt-4.1", rules=("openai",))) == []
    assert told(chat(ASK, ASK, ANSWER), target=Target("nova", rules=("nova",))) == []


def test_a_row_without_a_canonical_form_is_passed_over() -> None:
    findings = Findings()
    StructureCheck(Context()).scan(Batch("d", "train", [Row(1, {"x": 1})]), findings)
    assert findings.issues == []


# Whatever JSON holds

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_key = st.sampled_from(
    ["role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call", "type", "text", "image_url"]
)
_role = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "model"])
_part = st.dictionaries(_key, st.sampled_from(["text", "image_url", ""]) | json_values, max_size=3)
_turn = st.fixed_dictionaries(
    {}, optional={"role": _role | json_values, "content": st.text(max_size=4) | st.lists(_part, max_size=2)}
) | (st.dictionaries(_key, json_values, max_size=4))
_turns = st.lists(_turn | json_values, max_size=4) | json_values
any_row = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("messages", "preferred_output", "non_preferred_output"), _turns),
        "input": st.fixed_dictionaries({"messages": _turns}) | json_values,
        **dict.fromkeys(("text", "tools", "completions", "answer"), json_values),
    },
)


@settings(max_examples=600, deadline=None)
@given(
    any_row, st.sampled_from(["chat", "preference", "reinforcement", "text"]), st.sampled_from(["sft", "reinforcement"])
)
def test_whatever_the_row_holds_there_are_findings_and_no_exception(
    row: Mapping[str, Any], kind: Kind, objective: str
) -> None:
    findings = found(row, kind, objective=objective, grader=GRADER)
    assert all(len(issue.message) < 1000 for issue in findings.issues)


@settings(max_examples=300, deadline=None)
@given(any_row)
def test_what_the_short_look_takes_for_valid_the_long_one_does_too(row: dict[str, Any]) -> None:
    if plain_turns(row):
        detour = {"messages": [{**turn, "name": None} for turn in row["messages"]]}
        assert told(detour) == []


_words = st.text(min_size=1, max_size=30).filter(
    lambda t: bool(t.strip("".join(c for c in t if c.isspace() or not c.isprintable())))
)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    if draw(st.booleans()):
        turns.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(_words)})
    for number in range(draw(st.integers(1, 3))):
        turns.append(
            {"role": "user", "content": draw(_words | st.builds(lambda t: [{"type": "text", "text": t}], _words))}
        )
        if draw(st.booleans()):
            ids = [f"call_{number}_{i}" for i in range(draw(st.integers(1, 2)))]
            calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
            turns.append({"role": "assistant", "content": draw(st.none() | _words), "tool_calls": calls})
            turns.extend(
                {"role": "tool", "tool_call_id": i, "content": draw(_words)} for i in draw(st.permutations(ids))
            )
        turns.append({"role": "assistant", "content": draw(_words), "weight": 1})
    return {"messages": turns}


@settings(max_examples=200, deadline=None)
@given(conversations())
def test_a_generated_valid_conversation_has_no_finding(row: dict[str, Any]) -> None:
    assert told(row) == []


def test_values_of_any_size_or_depth_are_told_in_few_words() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    for value in (deep, {"a": deep}, "y" * 1_000_000, 10**5000, {f"key {n}": n for n in range(1000)}):
        for row in (
            chat(value),
            chat({"role": value, "content": "x"}),
            chat({"role": "user", "content": value}, ANSWER),
            {"messages": value},
        ):
            assert all(len(issue.message) < 1000 for issue in found(row).issues)
    same = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [deep, {"function": {"name": "f", "arguments": "[" * 100_000}}],
        }
    ]
    assert found(pair(preferred=same, rejected=same), "preference").issues
