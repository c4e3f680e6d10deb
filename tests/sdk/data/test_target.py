"""`checks.target`: what each model family refuses, what its dialect cannot say, and rows of another objective."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset import dialects, scan
from tuneport.dataset.checks.base import Context, Findings, Limits, Problem, Target
from tuneport.dataset.checks.rules import NOVA_FORBIDDEN, RULES
from tuneport.dataset.checks.structure import StructureCheck
from tuneport.dataset.checks.target import TargetCheck
from tuneport.dataset.checks.tools import ToolsCheck
from tuneport.dataset.rows import Batch, Kind, Row
from tuneport.errors import ModelError

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "What is this?"}
ANSWER = {"role": "assistant", "content": "A cat."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
VIDEO = {"type": "file", "file": {"url": "s3://b/v.mp4", "mime_type": "video/mp4"}}
LOOK = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]

OPENAI = Target("openai:gpt-4.1", "openai", rules=("openai",))
OPENAI_PAIRS = Target("openai:gpt-4.1", "openai-preference", rules=("openai-preference",))
OPENAI_GRADED = Target("openai:o4-mini", "openai-reinforcement", rules=("openai-reinforcement",))
NOVA = Target("bedrock:nova", "bedrock-converse", rules=("nova",))
CLAUDE = Target("bedrock:claude", "bedrock-claude", rules=("claude-3",))
LLAMA = Target("bedrock:llama", "bedrock-completion", rules=("llama-3.1",))
GEMINI = Target("vertex:gemini", "vertex", rules=("gemini",))
GEMINI_PAIRS = Target("vertex:gemini", "vertex-preference", rules=("vertex-preference",))
BEDROCK_GRADED = Target("bedrock:nova", "openai-reinforcement", rules=("bedrock-rft",))
_OBJECTIVE = {"chat": "sft", "preference": "dpo", "reinforcement": "reinforcement", "text": "cpt"}


def checked(
    target: Target | None, *rows: Any, kind: Kind = "chat", objective: str | None = None
) -> tuple[Findings, dict[str, Any]]:
    """Structure, tools and target, in the order in which they are made."""
    context = Context(objective=objective or _OBJECTIVE[kind], target=target)
    findings = Findings(source="d.jsonl")
    batch = Batch("d.jsonl", "train", [Row(n, r, kind=kind, canonical=r) for n, r in enumerate(rows, 1)])
    stats: dict[str, Any] = {}
    for check in (StructureCheck(context), ToolsCheck(context), TargetCheck(context)):
        found = check.scan(batch, findings)
        check.reduce(pickle.loads(pickle.dumps(found)))
        stats = check.finish(findings)
    return findings, stats


def chat(*turns: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(turns), **more}


def pair(**changes: Any) -> dict[str, Any]:
    rejected = {"role": "assistant", "content": "A dog."}
    return {"input": {"messages": [ASK]}, "preferred_output": [ANSWER], "non_preferred_output": [rejected], **changes}


def looks(count: int) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "?"}, *[IMAGE] * count]}


@pytest.mark.parametrize(
    ("target", "row", "code", "path", "says"),
    [
        # OpenAI
        (OPENAI, chat(ASK, ANSWER, ASK), "target.ends", "messages[2]", "the user's"),
        (OPENAI, chat(ASK, ANSWER, id=1), "target.unknown-key", "id", "'id'"),
        (OPENAI, chat(ASK, {**ANSWER, "mood": 1}), "target.unknown-key", "messages[1].mood", "'mood'"),
        (OPENAI, chat({**ASK, "weight": 1}, ANSWER), "target.unknown-key", "messages[0].weight", "'weight'"),
        (
            OPENAI,
            chat(ASK, {**ANSWER, "reasoning_content": "Hm"}),
            "target.unknown-key",
            "messages[1].reasoning_content",
            "assistant",
        ),
        (OPENAI, chat({**ASK, "name": "Ann Lee"}, ANSWER), "target.name", "messages[0].name", "'Ann Lee'"),
        (OPENAI, chat({**ASK, "name": "n" * 65}, ANSWER), "target.name", "messages[0].name", "1 to 64"),
        (
            OPENAI,
            chat(ASK, {**ANSWER, "content": LOOK["content"]}),
            "target.image",
            "messages[1].content[1]",
            "the assistant's",
        ),
        (
            OPENAI,
            chat({**SYSTEM, "content": [IMAGE]}, ASK, ANSWER),
            "target.image",
            "messages[0].content[0]",
            "the system's",
        ),
        (
            Target("openai:x", "openai", Limits(max_images=2), ("openai",)),
            chat(looks(3), ANSWER),
            "target.too-many-images",
            "messages",
            "3 images",
        ),
        (
            OPENAI,
            chat(
                {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}]},
                ANSWER,
            ),
            "target.cannot-say",
            "messages[0].content[0]",
            "input_audio",
        ),
        (
            OPENAI,
            chat({"role": "user", "content": [VIDEO]}, ANSWER),
            "target.cannot-say",
            "messages[0].content[0]",
            "file",
        ),
        (
            OPENAI,
            chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "gs://b/x.png"}}]}, ANSWER),
            "target.cannot-say",
            "messages[0].content[0]",
            "gs://b/x.png",
        ),
        (OPENAI_PAIRS, pair(input={"messages": [LOOK]}), "target.image", "input.messages[0].content[1]", "text only"),
        (
            OPENAI_PAIRS,
            pair(preferred_output=[ANSWER, ASK, ANSWER]),
            "target.cannot-say",
            "preferred_output",
            "3 turns",
        ),
        (OPENAI_PAIRS, pair(note=1), "target.unknown-key", "note", "'note'"),
        (OPENAI_PAIRS, pair(input={"messages": [ASK], "note": 1}), "target.unknown-key", "input.note", "'note'"),
        (OPENAI_GRADED, chat(ASK, ANSWER, key="x"), "structure.last-not-user", "messages[1]", "the assistant's"),
        (OPENAI_GRADED, chat({**ASK, "mood": 1}, key="x"), "target.unknown-key", "messages[0].mood", "'mood'"),
        # Bedrock
        (NOVA, chat(ASK, ASK, ANSWER), "target.alternation", "messages[1]", "turn 2 is the user's"),
        (NOVA, chat(ANSWER, ASK, ANSWER), "target.alternation", "messages[0]", "turn 1 is the assistant's"),
        (NOVA, chat(ASK, ANSWER, SYSTEM, ASK, ANSWER), "target.alternation", "messages[2]", "place 3"),
        (NOVA, chat(ASK, ANSWER, ASK), "target.ends", "messages[2]", "the user's"),
        (NOVA, chat(ASK, ANSWER, tools=TOOLS), "target.tools", "tools", "declares tools"),
        (
            NOVA,
            chat(
                ASK,
                {**ANSWER, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
                ANSWER,
                tools=TOOLS,
            ),
            "target.tools",
            "tools",
            "Nova",
        ),
        (
            NOVA,
            chat({"role": "user", "content": "The EndUser: me"}, ANSWER),
            "target.forbidden-string",
            "messages[0].content",
            "'User:' at character 8",
        ),
        (
            NOVA,
            chat(ASK, {**ANSWER, "content": "Thought: a cat"}),
            "target.forbidden-string",
            "messages[1].content",
            "'Thought:'",
        ),
        (
            NOVA,
            chat({**SYSTEM, "content": "no <image> here"}, ASK, ANSWER),
            "target.forbidden-string",
            "messages[0].content",
            "<image>",
        ),
        (NOVA, chat(looks(11), ANSWER), "target.too-many-images", "messages", "11 images"),
        (
            NOVA,
            chat(ASK, {**ANSWER, "content": LOOK["content"]}),
            "target.image",
            "messages[1].content[1]",
            "the assistant's",
        ),
        (
            NOVA,
            chat({"role": "user", "content": [VIDEO, VIDEO]}, ANSWER),
            "target.too-many-images",
            "messages[0].content[1]",
            "2 videos",
        ),
        (
            NOVA,
            chat({"role": "user", "content": [VIDEO, IMAGE]}, ANSWER),
            "target.too-many-images",
            "messages[0].content[0]",
            "beside images",
        ),
        (NOVA, chat(ASK, {**ANSWER, "weight": 0}, ASK, ANSWER), "target.cannot-say", "messages[1].weight", "weight 0"),
        (
            NOVA,
            chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}, ANSWER),
            "target.cannot-say",
            "messages[0].content[0]",
            "https://x/y.png",
        ),
        (CLAUDE, chat(ASK, ASK, ANSWER), "target.alternation", "messages[1]", "Claude 3"),
        (CLAUDE, chat(LOOK, ANSWER), "target.image", "messages[0].content[1]", "image_url"),
        (
            CLAUDE,
            chat(ASK, {**ANSWER, "content": None, "tool_calls": [CALL]}, tools=TOOLS),
            "target.tools",
            "tools",
            "Claude 3",
        ),
        (CLAUDE, chat(ASK, ANSWER, ticket="T-1"), "target.unknown-key", "ticket", "'ticket'"),
        (CLAUDE, chat(ASK, {**ANSWER, "mood": 1}), "target.unknown-key", "messages[1].mood", "'mood'"),
        (LLAMA, chat(SYSTEM, ASK, ANSWER), "target.cannot-say", "messages[0]", "a system turn"),
        (LLAMA, chat(ASK, ANSWER, ASK, ANSWER), "target.cannot-say", "messages[2]", "4 turns"),
        (LLAMA, chat(ASK, ANSWER, tools=TOOLS), "target.tools", "tools", "declares tools"),
        (BEDROCK_GRADED, chat(ASK, other="x"), "structure.no-reference", "reference_answer", "reference_answer"),
        # Vertex
        (GEMINI, chat(ASK, ANSWER, ASK), "target.ends", "messages[2]", "the user's"),
        (GEMINI, chat(ASK, ANSWER, SYSTEM, ASK, ANSWER), "target.role", "messages[2].role", "a system turn"),
        (GEMINI, chat({"role": "user", "content": ""}, ANSWER), "target.blank", "messages[0].content", "''"),
        (
            GEMINI,
            chat({"role": "user", "content": [{"type": "text", "text": ""}, IMAGE]}, ANSWER),
            "target.blank",
            "messages[0].content[0].text",
            "empty",
        ),
        (
            GEMINI,
            chat(ASK, {**ANSWER, "content": LOOK["content"]}),
            "target.image",
            "messages[1].content[1]",
            "the assistant's",
        ),
        (
            Target("vertex:x", "vertex", Limits(max_images=1), ("gemini",)),
            chat(looks(2), ANSWER),
            "target.too-many-images",
            "messages",
            "2 images",
        ),
        (
            GEMINI,
            chat(ASK, {**ANSWER, "weight": 0}, ASK, ANSWER),
            "target.cannot-say",
            "messages[1].weight",
            "weight 0",
        ),
        (GEMINI_PAIRS, pair(scores=[0.9, 0.1]), "target.cannot-say", "scores", "0.9 and 0.1"),
        (GEMINI_PAIRS, pair(input={"messages": [ASK, ANSWER]}), "target.ends", "input.messages[1]", "the assistant's"),
    ],
)
def test_what_a_target_refuses_is_named(target: Target, row: dict[str, Any], code: str, path: str, says: str) -> None:
    kind: Kind = (
        "preference" if "input" in row else "reinforcement" if target in (OPENAI_GRADED, BEDROCK_GRADED) else "chat"
    )
    findings, _ = checked(target, row, kind=kind)
    every = [
        (i.code, i.row, i.path) for i in findings.issues if i.code not in {"structure.role-order", "tools.unanswered"}
    ]
    assert every == [(code, 1, path)]
    (issue,) = [i for i in findings.issues if i.code == code]
    assert says in issue.message
    assert issue.fix
    assert issue.severity == "error"


def test_a_call_of_no_declared_function_is_refused_by_gemini() -> None:
    findings, _ = checked(GEMINI, chat(ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}))
    assert [(i.code, i.severity) for i in findings.issues] == [
        ("tools.undeclared", "warning"),
        ("target.tools", "error"),
    ]


@pytest.mark.parametrize("word", NOVA_FORBIDDEN)
def test_every_forbidden_string_is_found_in_its_exact_form_only(word: str) -> None:
    def codes(content: str) -> list[str]:
        return [i.code for i in checked(NOVA, chat({"role": "user", "content": content}, ANSWER))[0].issues]

    assert codes(f"so {word} x") == ["target.forbidden-string"]
    assert codes(f"so {word.lower() if word.lower() != word else word.upper()} x") == []
    assert codes(f"so {word.replace(':', ' :').replace('[', '[ ').replace('<', '< ')} x") == []


def test_what_a_dialect_leaves_out_without_harm_is_a_warning() -> None:
    findings, _ = checked(NOVA, chat({"role": "user", "content": "x", "name": "ann"}, ANSWER))
    assert [(i.code, i.path, i.severity) for i in findings.issues] == [
        ("target.cannot-say", "messages[0].name", "warning")
    ]
    findings, _ = checked(GEMINI, chat({**SYSTEM, "role": "developer"}, ASK, ANSWER))
    assert [(i.code, i.path, i.severity) for i in findings.issues] == [
        ("target.cannot-say", "messages[0].role", "warning")
    ]


def test_a_row_with_an_error_is_not_also_one_that_cannot_be_said() -> None:
    for target in (OPENAI, NOVA, CLAUDE, LLAMA, GEMINI):
        findings, _ = checked(target, chat(ASK, {"role": "assistant", "content": 3}))
        assert [i.code for i in findings.issues] == ["structure.content"]


@pytest.mark.parametrize(
    ("target", "row"),
    [
        *((target, chat(ASK, ANSWER)) for target in (OPENAI, NOVA, CLAUDE, LLAMA, GEMINI)),
        *((target, chat(SYSTEM, ASK, ANSWER, ASK, ANSWER)) for target in (OPENAI, NOVA, CLAUDE, GEMINI)),
        *((target, chat(LOOK, ANSWER)) for target in (OPENAI, NOVA, GEMINI)),
        (NOVA, chat({"role": "user", "content": [{"type": "text", "text": "?"}, VIDEO]}, ANSWER)),
        (NOVA, chat(looks(10), ANSWER)),
        (OPENAI, chat({**ASK, "name": "ann_lee"}, {**ANSWER, "weight": 0, "name": "b"}, ASK, {**ANSWER, "weight": 1})),
        (OPENAI, chat(ASK, {**ANSWER, "tool_calls": [CALL]}, tools=TOOLS, parallel_tool_calls=True)),
        (
            OPENAI,
            chat(
                ASK,
                {**ANSWER, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
                ANSWER,
                tools=TOOLS,
            ),
        ),
        (
            GEMINI,
            chat(
                ASK,
                {**ANSWER, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
                ANSWER,
                tools=TOOLS,
            ),
        ),
        (OPENAI_PAIRS, pair()),
        (OPENAI_PAIRS, pair(input={"messages": [SYSTEM, ASK], "tools": TOOLS, "parallel_tool_calls": False})),
        (GEMINI_PAIRS, pair()),
        (OPENAI_GRADED, chat(SYSTEM, LOOK, anything={"x": 1})),
        (BEDROCK_GRADED, chat(ASK, reference_answer="A cat.")),
    ],
)
def test_a_valid_row_passes(target: Target, row: dict[str, Any]) -> None:
    kind: Kind = (
        "preference" if "input" in row else "reinforcement" if target in (OPENAI_GRADED, BEDROCK_GRADED) else "chat"
    )
    findings, stats = checked(target, row, kind=kind)
    assert findings.issues == []
    assert stats == {"model": target.model, "dialect": target.dialect, "rules": list(target.rules)}


def as_written(target: Target, row: dict[str, Any], objective: str = "sft") -> list[tuple[str, str | None, str]]:
    """From the file's own words on: codes, paths and messages of the target and of the checks before it."""
    context = Context(objective=objective, target=target)
    findings = Findings(source="d.jsonl", where=scan.where)
    batch = Batch("d.jsonl", "train", [scan.recognise(Row(1, row))])
    for check in (StructureCheck(context), ToolsCheck(context), TargetCheck(context)):
        check.scan(batch, findings)
    return [(issue.code, issue.path, f"{issue.message} {issue.fix}") for issue in findings.issues]


def contents(*roles: Any, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": [{"text": f"It is {role}."}]} for role in roles], **more}


@pytest.mark.parametrize(
    ("row", "path", "says"),
    [
        (contents("user", "assistant"), "contents[1].role", "'assistant'; Gemini"),
        (contents("user", "assistant"), "contents[1].role", "write 'model'"),
        (contents("user", "model", "function", "model"), "contents[2].role", "'function'; Gemini"),
        (contents("user", "model", "tool", "model"), "contents[2].role", "write 'user'"),
        (contents("system", "user", "model"), "contents[0].role", "systemInstruction"),
        (contents("user", "model", "developer", "user", "model"), "contents[2].role", "systemInstruction"),
        (contents("user", "assistant", systemInstruction={"parts": [{"text": "s"}]}), "contents[1].role", "'model'"),
    ],
)
def test_a_role_that_gemini_does_not_know_is_named_as_it_is_written(row: dict[str, Any], path: str, says: str) -> None:
    ((code, place, message),) = as_written(GEMINI, row)
    assert (code, place) == ("target.role", path)
    assert says in message


def test_a_functions_result_under_an_older_role_is_refused_by_gemini_too() -> None:
    called = {"functionCall": {"name": "f", "args": {}}}
    answered = {"functionResponse": {"name": "f", "response": {"x": 1}}}
    row = contents("user", "model", "function", "model", tools=[{"functionDeclarations": [{"name": "f"}]}])
    row["contents"][1]["parts"], row["contents"][2]["parts"] = [called], [answered]
    assert [found[:2] for found in as_written(GEMINI, row)] == [("target.role", "contents[2].role")]
    row["contents"][2]["role"] = "user"
    assert as_written(GEMINI, row) == []


def test_the_roles_of_preference_rows_are_held_against_gemini_as_well() -> None:
    def turn(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "parts": [{"text": text}]}

    row = contents("user")
    row["completions"] = [
        {"score": 1, "completion": turn("model", "a")},
        {"score": 0, "completion": turn("assistant", "b")},
    ]
    assert [found[:2] for found in as_written(GEMINI_PAIRS, row, "dpo")] == [
        ("target.role", "completions[1].completion.role")
    ]


@pytest.mark.parametrize("target", [OPENAI, NOVA, CLAUDE])
def test_roles_that_only_gemini_refuses_are_none_of_another_targets_concern(target: Target) -> None:
    assert as_written(target, contents("user", "assistant")) == []
    assert as_written(GEMINI, chat(ASK, ANSWER)) == []


@pytest.mark.parametrize("broken", [None, 3, "x", [None], [3], [{}], [{"role": None}], [{"role": ["user"]}]])
def test_contents_of_any_shape_are_looked_at(broken: Any) -> None:
    assert "target.role" not in {code for code, _, _ in as_written(GEMINI, {"contents": broken})}
    as_written(GEMINI_PAIRS, {"contents": broken, "completions": broken}, "dpo")


def test_rows_of_another_objective_are_told_once_with_their_number() -> None:
    findings, _ = checked(OPENAI, *[pair()] * 7, kind="preference", objective="sft")
    (issue,) = findings.issues
    assert (issue.code, issue.row, issue.source) == ("target.objective", 1, "d.jsonl")
    assert "7 with a prompt with a preferred and a rejected answer" in issue.message
    assert issue.fix is not None
    assert "dpo" in issue.fix


def test_a_few_strays_are_not_another_objective() -> None:
    context = Context(target=OPENAI)
    check, findings = TargetCheck(context), Findings()
    rows = [Row(n, {}, canonical=chat(ASK, ANSWER)) for n in range(1, 5)]
    rows.append(Row(5, {}, kind="preference", canonical=pair()))
    check.reduce(check.scan(Batch("d", "train", rows), findings))
    check.finish(findings)
    assert findings.issues == []


def test_without_a_target_only_the_objective_is_checked() -> None:
    assert checked(None, chat(LOOK, ANSWER))[0].issues == []
    assert [i.code for i in checked(None, chat(ASK, ANSWER), objective="dpo")[0].issues] == ["target.objective"]


def test_prompts_alone_may_be_rows_for_reinforcement() -> None:
    assert checked(OPENAI_GRADED, chat(ASK), kind="chat", objective="reinforcement")[0].issues == []


def test_an_unknown_rule_set_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'nova-9'.*nova"):
        TargetCheck(Context(target=Target("x", rules=("nova-9",))))


# A rendering of the target's own, as the local engine has one; it is named and made in each process.


def rendering(model: str) -> Callable[[Mapping[str, Any]], Sequence[Problem]]:
    if model == "gone":
        raise ModelError("there is no model at 'gone'")

    def check(row: Mapping[str, Any]) -> Sequence[Problem]:
        text = json.dumps(row)
        refused = [Problem("target.template", "the template refuses cats.", "messages[1].content", "write dog.")]
        return [
            *(refused if "cat" in text else []),
            *([Problem("target.template-note", "completed")] if "user" in text else []),
        ]

    return check


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> str:
    import sys
    from types import ModuleType

    module = ModuleType("a_rendering")
    module.rendering = rendering  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_rendering", module)
    return "a_rendering:rendering"


def test_a_targets_own_rendering_is_asked_for_each_row_and_notes_are_told_once(named: str) -> None:
    target = Target("local:starter", rendering=named)
    dog = chat(ASK, {**ANSWER, "content": "A dog."})
    findings, stats = checked(target, chat(ASK, ANSWER), dog, dog, chat(ASK, {"role": "assistant", "content": ""}))
    assert [(i.code, i.row, i.path, i.severity) for i in findings.issues] == [
        ("structure.empty-turn", 4, "messages[1].content", "error"),
        ("target.template", 1, "messages[1].content", "error"),
        ("target.template-note", None, None, "warning"),
    ]
    assert findings.issues[1].fix == "write dog."
    assert findings.issues[2].message == "completed (3 rows)."
    assert stats["rendered"] == 3


@pytest.mark.parametrize("name", ["", "no_such_module:check", "a_rendering:other"])
def test_a_rendering_that_cannot_be_had_is_an_issue_of_the_whole(named: str, name: str) -> None:
    target = Target("gone", rendering=name or named)
    findings, _ = checked(target, chat(ASK, ANSWER), chat(ASK, ANSWER))
    (issue,) = findings.issues
    assert (issue.code, issue.row) == ("target.template", None)
    assert any(word in issue.message for word in ("gone", "no_such_module", "other"))


# Whatever JSON holds

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_key = st.sampled_from(["role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call"])
_part = st.sampled_from([IMAGE, VIDEO, {"type": "text", "text": "User:"}, {"type": "text", "text": ""}]) | _json
_turn = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool", "function"]) | _json,
        "content": st.text(max_size=4) | st.lists(_part, max_size=3) | _json,
        "tool_calls": st.lists(st.just(CALL) | _json, max_size=2) | _json,
        "name": _json,
    },
) | st.dictionaries(_key, _json, max_size=3)
_turns = st.lists(_turn | _json, max_size=4) | _json
_any = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("messages", "preferred_output", "non_preferred_output"), _turns),
        "input": st.fixed_dictionaries({"messages": _turns}) | _json,
        **dict.fromkeys(("text", "tools", "scores", "completions", "reference_answer"), _json),
    },
)
_TARGETS = [Target("x", name, Limits(max_images=1), tuple(RULES)) for name in dialects.DIALECTS]


@settings(max_examples=800, deadline=None)
@given(_any, st.sampled_from(["chat", "preference", "reinforcement", "text"]), st.sampled_from(_TARGETS))
def test_whatever_the_row_holds_there_are_findings_and_no_exception(
    row: dict[str, Any], kind: Kind, target: Target
) -> None:
    findings, stats = checked(target, row, kind=kind)
    assert all(len(issue.message) < 2000 for issue in findings.issues)
    assert json.dumps(stats)


@settings(max_examples=400, deadline=None)
@given(_any, st.sampled_from(_TARGETS))
def test_rules_alone_take_any_row(row: dict[str, Any], target: Target) -> None:
    """Without structure before it, also what is no row at all gets as far as the rules and the dialect."""
    check, findings = TargetCheck(Context(target=target)), Findings()
    check.scan(Batch("d", "train", [Row(1, row, canonical=row)]), findings)


@settings(max_examples=150, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.booleans()), min_size=1, max_size=4),
)
def test_a_generated_plain_conversation_suits_every_chat_family(
    system: bool, exchanges: list[tuple[str, bool]]
) -> None:
    turns: list[Any] = [SYSTEM] if system else []
    for text, image in exchanges:
        turns.append({"role": "user", "content": [{"type": "text", "text": text}, IMAGE] if image else text})
        turns.append({"role": "assistant", "content": text})
    images = any(image for _, image in exchanges)
    for target in (OPENAI, NOVA, GEMINI, *([] if images else [CLAUDE])):
        assert checked(target, chat(*turns))[0].issues == []
