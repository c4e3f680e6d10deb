"""Every dialect: recognised, read, written, and each text found again where it was written."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset.dialects import DIALECTS, KIND_OF_OBJECTIVE, Loss, detect, get, value_at
from tuneport.dataset.dialects.base import text_of
from tuneport.dataset.rows import Row
from tuneport.errors import SpecError

CHAT = [name for name, dialect in DIALECTS.items() if dialect.kind == "chat"]
PREFERENCE = [name for name, dialect in DIALECTS.items() if dialect.kind == "preference"]
REINFORCEMENT = [name for name, dialect in DIALECTS.items() if dialect.kind == "reinforcement"]
TEXT = [name for name, dialect in DIALECTS.items() if dialect.kind == "text"]
many = settings(max_examples=150, deadline=None)

# Generated rows, well formed

texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "",
            " ",
            "Grüße",
            "你好，世界",
            "مرحبا",
            "🙂‍↔️",
            '{"a": 1}',
            '{"output": "x"}',
            "[1, 2]",
            "line\nline",
            "\u2028",
        ]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=6), values, max_size=3)
urls = st.sampled_from(
    [
        "data:image/png;base64,iVBORw0KGgo=",
        "data:image/webp;base64,AAAA",
        "https://example.com/cat.jpg",
        "gs://bucket/dog.png",
        "s3://bucket/bird.gif",
    ]
)
names = st.sampled_from(["get_weather", "search", "f"])


@st.composite
def contents(draw: Any, *, images: bool = False) -> Any:
    if draw(st.integers(0, 3)):
        return draw(texts)
    parts: list[Any] = [{"type": "text", "text": text} for text in draw(st.lists(texts, min_size=1, max_size=3))]
    if images and draw(st.booleans()):
        detail = draw(st.sampled_from([{}, {"detail": "low"}]))
        parts.insert(
            draw(st.integers(0, len(parts))), {"type": "image_url", "image_url": {"url": draw(urls), **detail}}
        )
    return parts


@st.composite
def exchanges(draw: Any, first_id: int) -> list[Any]:
    """A question and its answer, perhaps by way of tools."""
    user = {"role": "user", "content": draw(contents(images=True)), **draw(st.sampled_from([{}, {}, {"name": "Ada"}]))}
    turns: list[Any] = [user]
    if draw(st.integers(0, 2)) == 0:
        calls = [
            {
                "id": f"id-{first_id + index}",
                "type": "function",
                "function": {
                    "name": draw(names),
                    "arguments": json.dumps(draw(arguments), ensure_ascii=draw(st.booleans())),
                },
            }
            for index in range(draw(st.integers(1, 3)))
        ]
        said = draw(st.sampled_from([None, None, "", "Let me see."]))
        turns.append({"role": "assistant", "content": said, "tool_calls": calls, **draw(weights)})
        results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(contents())} for call in calls]
        turns.extend(draw(st.permutations(results)))
    turns.append({"role": "assistant", "content": draw(contents()), **draw(weights)})
    return turns


weights = st.sampled_from([{}, {}, {}, {"weight": 1}, {"weight": 0}])
system = st.one_of(
    st.just([]),
    contents().map(lambda said: [{"role": "system", "content": said}]),
    texts.map(lambda said: [{"role": "developer", "content": said}]),
)
tools = st.lists(
    st.builds(
        lambda name, more, strict: {"type": "function", "function": {"name": name, **more, **strict}},
        names,
        st.sampled_from(
            [
                {},
                {
                    "description": "Reads.",
                    "parameters": {"type": "object", "properties": {"type": {"type": "string", "enum": ["STRING"]}}},
                },
            ]
        ),
        st.sampled_from([{}, {"strict": True}]),
    ),
    max_size=2,
)


@st.composite
def conversations(draw: Any, *, answered: bool = True) -> dict[str, Any]:
    turns = list(draw(system))
    for number in range(draw(st.integers(1, 3))):
        turns.extend(draw(exchanges(10 * number)))
    if not answered:
        turns.append({"role": "user", "content": draw(contents())})
    row: dict[str, Any] = {"messages": turns}
    if declared := draw(tools):
        row["tools"] = declared
    if draw(st.integers(0, 4)) == 0:
        row["parallel_tool_calls"] = draw(st.booleans())
    return row


@st.composite
def chats(draw: Any) -> dict[str, Any]:
    row = draw(conversations())
    if draw(st.booleans()):  # what the one-exchange dialects can say would be rare otherwise
        row = {"messages": [{"role": "user", "content": draw(texts)}, {"role": "assistant", "content": draw(texts)}]}
    return row | draw(st.sampled_from([{}, {}, {"id": 7}, {"topic": "weather", "prompt": "own", "input": "own"}]))


@st.composite
def preferences(draw: Any) -> dict[str, Any]:
    answers = [[{"role": "assistant", "content": draw(contents())}] for _ in range(2)]
    if draw(st.integers(0, 3)) == 0:
        call = {
            "id": "last",
            "type": "function",
            "function": {"name": draw(names), "arguments": text_of(draw(arguments))},
        }
        answers[draw(st.integers(0, 1))] = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    row = {
        "input": draw(conversations(answered=False)),
        "preferred_output": answers[0],
        "non_preferred_output": answers[1],
    }
    return row | draw(st.sampled_from([{}, {"id": 7}, {"prompt": "own"}]))


@st.composite
def tasks(draw: Any) -> dict[str, Any]:
    return draw(conversations(answered=False)) | {
        "reference_answer": draw(values.filter(lambda value: value is not None))
    }


pages = st.builds(lambda text, more: {"text": text, **more}, texts, st.sampled_from([{}, {"id": 7}, {"input": "own"}]))
ROWS = {"chat": chats(), "preference": preferences(), "reinforcement": tasks(), "text": pages}

# What counts as the same row


def normal(row: Any) -> Any:
    """JSON values by value, one text part as a text, weight 1 as none, ids by order, results in the order of their calls."""
    row = copy.deepcopy(row)
    for holder in (row, row.get("input") if isinstance(row.get("input"), dict) else {}):
        if holder.get("tools") == []:
            del holder["tools"]
    ids: dict[Any, int] = {}
    for turns in _lists(row):
        for index, turn in enumerate(turns):
            turns[index] = _turn(
                {key: value for key, value in turn.items() if value is not None or key == "content"}, ids
            )
        start = 0
        while start < len(turns):  # a run of results
            end = start
            while end < len(turns) and turns[end]["role"] == "tool":
                end += 1
            turns[start:end] = sorted(turns[start:end], key=lambda turn: turn["tool_call_id"])
            start = end + 1
    return row


def _lists(row: Any) -> list[Any]:
    found = [row.get("messages"), row.get("preferred_output"), row.get("non_preferred_output")]
    if isinstance(row.get("input"), dict):
        found.insert(0, row["input"].get("messages"))
    return [turns for turns in found if isinstance(turns, list)]


def _turn(turn: dict[str, Any], ids: dict[Any, int]) -> dict[str, Any]:
    content = turn.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        content = content[0]["text"]
    if turn["role"] == "tool" and isinstance(content, str):
        content = _value(content)
    if "tool_calls" in turn and content in ("", []):
        content = None
    turn["content"] = content
    if turn.get("weight") == 1:
        del turn["weight"]
    for call in turn.get("tool_calls", []):
        call["id"] = ids.setdefault(call["id"], len(ids))
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    if turn["role"] == "tool":
        turn["tool_call_id"] = ids.get(turn["tool_call_id"])
    return turn


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def minus(row: Any, losses: list[Loss], name: str) -> Any:
    """The row without exactly what the losses name."""
    row = copy.deepcopy(row)
    whole = [loss for loss in losses if loss.path.endswith("]")]
    for loss in [loss for loss in losses if not loss.path.endswith("]")]:
        holder, _, key = loss.path.rpartition(".")
        place = value_at(row, holder) if holder else row
        if key == "role":
            place[key] = "system"
        elif loss.what.startswith("the division into"):
            place[key] = "\n".join(part["text"] for part in place[key])
        elif loss.what.startswith("the type of"):
            place[key] = text_of(place[key])
        elif loss.what == "training on an earlier answer":
            place[key] = 0
        else:
            del place[key]
    for loss in sorted(whole, key=lambda loss: [int(n) for n in re.findall(r"\d+", loss.path)], reverse=True):
        holder, _, index = loss.path[:-1].rpartition("[")
        del value_at(row, holder)[int(index)]
    return row


def sayable(name: str, row: Any) -> bool:
    """Which rows a dialect can say, told apart from how it is written."""
    turns = [turn for found in _lists(row) for turn in found]
    links = [
        part["image_url"]["url"].partition(":")[0]
        for turn in turns
        if isinstance(turn["content"], list)
        for part in turn["content"]
        if part["type"] == "image_url"
    ]
    calls = any("tool_calls" in turn for turn in turns)
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if name.startswith("openai"):
        return not {"gs", "s3"} & {*links}
    if name == "trl":
        return any(turn.get("weight") != 0 for turn in answers)
    if name.startswith("vertex"):
        return "s3" not in links
    if name == "bedrock-converse":
        return not {"gs", "https"} & {*links}
    if name == "sharegpt":
        return not links and not any(turn["content"] and "tool_calls" in turn for turn in turns)
    if name == "bedrock-claude":
        return not links and not calls
    if name in {"alpaca", "bedrock-completion"}:
        roles = [turn["role"] for turn in turns if turn["role"] not in {"system", "developer"}]
        return not links and roles == ["user", "assistant"] and answers[0].get("weight") != 0
    return True


@pytest.mark.parametrize("name", DIALECTS)
@many
@given(data=st.data())
def test_a_round_trip_loses_what_is_named_and_nothing_else(name: str, data: Any) -> None:
    dialect = DIALECTS[name]
    row = data.draw(ROWS[dialect.kind])
    before = copy.deepcopy(row)
    written, losses = dialect.write(row)
    assert row == before  # what it was given is as it was
    assert bool(written) == sayable(name, row) == (not any(loss.fatal for loss in losses)), losses
    if not written:
        assert losses[-1].fatal
        return
    written = json.loads(json.dumps(written))
    assert normal(dialect.read(written)) == normal(minus(row, losses, name))
    assert dialect.matches(written) or name in {"bedrock-claude", "bedrock-completion"}
    found = detect(written)
    assert found == name or (name, found) in {("bedrock-claude", "openai"), ("bedrock-completion", "trl")}


@pytest.mark.parametrize("kind", ROWS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_pair_of_a_kind_both_ways(kind: str, data: Any) -> None:
    row = data.draw(ROWS[kind])
    for one in (dialect for dialect in DIALECTS.values() if dialect.kind == kind):
        written, _ = one.write(row)
        if not written:
            continue
        read = one.read(written)
        for other in (dialect for dialect in DIALECTS.values() if dialect.kind == kind):
            again, losses = other.write(read)
            if again:
                assert normal(other.read(again)) == normal(minus(read, losses, other.name)), (one.name, other.name)


@pytest.mark.parametrize("name", DIALECTS)
@many
@given(data=st.data())
def test_where_leads_to_each_text_as_it_was_written(name: str, data: Any) -> None:
    dialect = DIALECTS[name]
    written, _ = dialect.write(data.draw(ROWS[dialect.kind]))
    if not written:
        return
    row = Row(1, written, kind=dialect.kind, canonical=dialect.read(written))
    for text in row.texts:
        found = value_at(written, dialect.where(text.path, written))
        if text.path.endswith(".arguments"):
            if name == "sharegpt":  # the call's whole text, in which the arguments stand
                calls = json.loads(found)
                assert json.loads(text.text) in [
                    call["arguments"] for call in (calls if isinstance(calls, list) else [calls])
                ]
                continue
            assert found == text.text or found == json.loads(text.text)
        elif text.role == "tool":
            assert found == text.text or found == _value(text.text)
        else:
            assert found == text.text


# Anything at all

_KEYS = st.sampled_from(
    """messages role content type text image_url url tools function name arguments tool_calls tool_call_id id weight input
    preferred_output non_preferred_output prompt completion chosen rejected conversations from value instruction output history
    system schemaVersion toolConfig toolSpec inputSchema json toolUse toolUseId toolResult status image format source bytes
    s3Location uri contents parts functionCall function_call args functionResponse response fileData mimeType fileUri inlineData
    data systemInstruction system_instruction functionDeclarations parameters completions score references reasoningContent
    reasoningText signature thought thoughtSignature""".split()
) | st.text(max_size=4)
_WORDS = st.sampled_from(
    "user assistant model system tool human gpt function_call observation function text image_url".split()
) | (
    st.sampled_from(
        'file data:image/png;base64,AA s3://b/x.mp4 gs://b/x {} [] STRING {"name":"f","arguments":{}} [{"name":1}]'.split()
    )
)
anything = st.recursive(
    scalars | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)
_SHAPES: dict[str, list[str]] = {
    "openai": ["messages", "tools"],
    "openai-preference": ["input", "preferred_output", "non_preferred_output"],
    "openai-reinforcement": ["messages", "answer"],
    "trl": ["prompt", "completion", "tools"],
    "trl-preference": ["prompt", "chosen", "rejected"],
    "sharegpt": ["conversations", "system", "tools"],
    "alpaca": ["instruction", "input", "output", "system", "history"],
    "text": ["text"],
    "bedrock-converse": ["schemaVersion", "system", "messages", "toolConfig"],
    "bedrock-claude": ["system", "messages"],
    "bedrock-completion": ["prompt", "completion"],
    "bedrock-text": ["input"],
    "vertex": ["systemInstruction", "contents", "tools"],
    "vertex-preference": ["system_instruction", "contents", "completions"],
    "vertex-reinforcement": ["contents", "references"],
}


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_row_makes_a_dialect_raise(name: str, data: Any) -> None:
    turns = st.lists(st.dictionaries(_KEYS, anything, max_size=4) | anything, max_size=4)
    row = {key: data.draw(st.one_of(turns, anything)) for key in _SHAPES[name] if data.draw(st.integers(0, 5))}
    row |= data.draw(st.dictionaries(_KEYS, anything, max_size=2))
    found = detect(row)
    assert found is None or found in DIALECTS
    dialect = DIALECTS[name]
    dialect.matches(row)
    canonical = dialect.read(row)
    assert isinstance(canonical, dict)
    for text in Row(1, row, kind=dialect.kind, canonical=canonical).texts:
        assert isinstance(dialect.where(text.path, row), str)
    for other in DIALECTS.values():
        if other.kind == dialect.kind:
            written, losses = other.write(canonical)
            assert bool(written) != any(loss.fatal for loss in losses)
            other.read(written)


def test_deep_nesting_is_handed_on() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"type": "OBJECT", "items": [deep]}
    row = {
        "contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": deep}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": deep}]}],
    }
    assert DIALECTS["vertex"].read(row)["messages"][0]["tool_calls"][0]["function"]["name"] == "f"


# Recognition

_USER, _MODEL = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
DETECTED = [
    ("openai", {"messages": [_USER, _MODEL]}),
    ("openai", {"messages": [_USER]}),
    ("openai", {"messages": [_USER], "tools": [], "parallel_tool_calls": False}),
    ("openai", {"messages": [_USER], "id": 3, "source": "crm"}),  # it merely lacks its answer
    ("openai", {"messages": [_USER], "reference_answer": None}),
    ("openai", {"messages": [{"role": "system", "content": "s"}, _USER, _MODEL], "system": "a column"}),
    ("openai", {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, _MODEL]}),
    ("openai", {"messages": None}),
    ("openai", {"messages": "oops"}),
    ("openai", {"messages": []}),
    ("openai-reinforcement", {"messages": [_USER], "reference_answer": "4"}),
    ("openai-reinforcement", {"id": "sample-001", "messages": [_USER], "reference_answer": {"solution": "x = 4"}}),
    (
        "openai-preference",
        {"input": {"messages": [_USER]}, "preferred_output": [_MODEL], "non_preferred_output": [_MODEL]},
    ),
    ("openai-preference", {"input": {"messages": [_USER]}, "preferred_output": [_MODEL]}),
    ("openai-preference", {"input": {"messages": [_USER]}}),
    ("bedrock-claude", {"system": "s", "messages": [_USER, _MODEL]}),
    (
        "bedrock-converse",
        {"schemaVersion": "bedrock-conversation-2024", "messages": [{"role": "user", "content": [{"text": "q"}]}]},
    ),
    ("bedrock-converse", {"messages": [{"role": "user", "content": [{"text": "q"}]}]}),
    ("bedrock-converse", {"system": [{"text": "s"}], "messages": [_USER]}),
    ("trl", {"prompt": "q", "completion": "a"}),
    ("trl", {"prompt": [_USER], "completion": [_MODEL]}),
    ("trl-preference", {"prompt": "q", "chosen": "a", "rejected": "b"}),
    ("trl-preference", {"prompt": [_USER], "chosen": [_MODEL], "rejected": [_MODEL]}),
    ("trl-preference", {"chosen": [_USER, _MODEL], "rejected": [_USER, _MODEL]}),
    ("trl-preference", {"prompt": "q", "chosen": "a"}),
    (
        "trl-preference",
        {"prompt": "q", "messages": [_USER, _MODEL], "chosen": [_USER, _MODEL], "rejected": [_USER, _MODEL]},
    ),
    ("openai", {"messages": [_USER, _MODEL], "rejected": False}),
    ("alpaca", {"instruction": "i", "input": "", "output": "o"}),
    ("alpaca", {"instruction": "i", "output": "o", "text": "as Stanford's files have it"}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
    ("sharegpt", {"conversations": [_USER, _MODEL]}),
    ("text", {"text": "t"}),
    ("text", {"text": "t", "meta": {}}),
    ("bedrock-text", {"input": "t"}),
    ("text", {"text": None}),
    ("text", {"text": None, "id": 3}),
    ("bedrock-text", {"input": None}),
    ("vertex", {"contents": [{"role": "user", "parts": [{"text": "q"}]}]}),
    ("vertex-preference", {"contents": [], "completions": []}),
    ("vertex-reinforcement", {"contents": [], "references": {"answer": "4"}}),
    ("trl", {"prompt": "q", "completion": "a", "messages": None, "text": None}),  # empty cells of a columnar file
    (None, {}),
    (None, {"question": "q", "answer": "a"}),
    (None, {"prompt": "q", "response": "a"}),
    (None, {"prompt": "q", "response": "a", "text": None}),
    (None, {"instruction": None, "input": None, "output": "o"}),
    (None, {"instruction": "i", "input": "", "chosen": "a", "rejected": "b"}),
    (None, {"conversations": [], "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}),
]


@pytest.mark.parametrize(
    ("expected", "row"), DETECTED, ids=lambda value: None if isinstance(value, dict) else str(value)
)
def test_recognition(expected: str | None, row: dict[str, Any]) -> None:
    assert detect(row) == expected
    assert [name for name, dialect in DIALECTS.items() if dialect.matches(row) and name != "bedrock-completion"] == (
        [expected] if expected else []
    )


def test_bedrock_completion_matches_text_only() -> None:
    assert DIALECTS["bedrock-completion"].matches({"prompt": "q", "completion": "a"})
    assert not DIALECTS["bedrock-completion"].matches({"prompt": [_USER], "completion": [_MODEL]})


def test_an_unknown_dialect_is_answered_with_the_one_meant() -> None:
    with pytest.raises(SpecError, match="did you mean 'bedrock-converse'"):
        get("bedrock-convers")
    assert get("trl", "preference").name == "trl-preference"
    assert {DIALECTS[name].kind for name in ("openai", "text")} <= {*KIND_OF_OBJECTIVE.values()}


# Rows as the providers' pages write them


def test_vertex_in_snake_case_with_tools_in_capitals() -> None:
    row = {
        "system_instruction": {"role": "system", "parts": [{"text": "Help."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Stock?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "sku", "args": {"product": "Pixel"}}}]},
            {"role": "function", "parts": [{"function_response": {"name": "sku", "response": {"sku": "GA04"}}}]},
            {"role": "model", "parts": [{"text": "thinking", "thought": True}, {"text": "GA04."}]},
        ],
        "tools": [
            {
                "function_declarations": [
                    {"name": "sku", "parameters": {"type": "OBJECT", "properties": {"product": {"type": "STRING"}}}}
                ]
            }
        ],
    }
    read = DIALECTS["vertex"].read(row)
    call = read["messages"][2]["tool_calls"][0]
    assert read["messages"][0] == {"role": "system", "content": "Help."}
    assert (call["function"]["name"], call["function"]["arguments"]) == ("sku", '{"product":"Pixel"}')
    assert read["messages"][3] == {"role": "tool", "tool_call_id": call["id"], "content": '{"sku":"GA04"}'}
    assert read["messages"][4] == {"role": "assistant", "content": "GA04.", "reasoning_content": "thinking"}
    assert read["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"product": {"type": "string"}},
    }
    where = DIALECTS["vertex"].where
    assert where("messages[0].content", row) == "system_instruction.parts[0].text"
    assert where("messages[2].tool_calls[0].function.name", row) == "contents[1].parts[0].functionCall.name"
    assert where("messages[3].content", row) == "contents[2].parts[0].function_response.response"
    assert where("tools[0].function.parameters", row) == "tools[0].function_declarations[0].parameters"
    written, losses = DIALECTS["vertex"].write(read)
    assert losses == []
    assert written["contents"][2] == {
        "role": "user",
        "parts": [{"functionResponse": {"name": "sku", "response": {"sku": "GA04"}}}],
    }
    assert written["tools"][0]["functionDeclarations"][0]["name"] == "sku"


def test_vertex_preference_goes_by_the_score() -> None:
    def completion(score: float, text: str) -> dict[str, Any]:
        return {"score": score, "completion": {"role": "model", "parts": [{"text": text}]}}

    contents = [{"role": "user", "parts": [{"text": "q"}]}]
    dialect = DIALECTS["vertex-preference"]
    row = {"contents": contents, "completions": [completion(0, "bad"), completion(1, "good")]}
    read = dialect.read(row)
    assert read["preferred_output"] == [{"role": "assistant", "content": "good"}]
    assert dialect.where("preferred_output[0].content", row) == "completions[1].completion.parts[0].text"
    assert "scores" not in read
    read = dialect.read({"contents": contents, "completions": [completion(0.7, "good"), completion(0.2, "bad")]})
    assert read["scores"] == [0.7, 0.2]
    assert [loss.path for loss in DIALECTS["openai-preference"].write(read)[1]] == []  # a column, kept
    assert dialect.write(read)[0]["completions"][0]["score"] == 0.7
    same = dialect.read({"contents": contents, "completions": [completion(1, "x"), completion(1, "y")]})
    assert "preferred_output" not in same
    assert same["completions"]  # kept for the checks to name


def test_converse_as_nova_has_it() -> None:
    row = {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "s"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "q"},
                    {
                        "image": {
                            "format": "jpeg",
                            "source": {"s3Location": {"uri": "s3://b/i.jpg", "bucketOwner": "1"}},
                        }
                    },
                ],
            },
            {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "a"}]},
            {
                "role": "user",
                "content": [
                    {"video": {"format": "mov", "source": {"s3Location": {"uri": "s3://b/v.mov"}}}},
                    {"text": "and?"},
                ],
            },
            {"role": "assistant", "content": [{"text": "b"}]},
        ],
    }
    dialect = DIALECTS["bedrock-converse"]
    read = dialect.read(row)
    assert read["messages"][1]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "s3://b/i.jpg", "bucketOwner": "1"},
    }
    assert read["messages"][2] == {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    assert dialect.write(read) == (row, [])
    refused = DIALECTS["openai"].write(read)
    assert refused[0] == {}
    assert refused[1][0].path == "messages[1].content[1]"


def test_results_and_the_next_question_share_a_converse_turn() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [
            _USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            _USER,
            _MODEL,
        ]
    }
    written, _ = DIALECTS["bedrock-converse"].write(row)
    assert [turn["role"] for turn in written["messages"]] == ["user", "assistant", "user", "assistant"]
    assert DIALECTS["bedrock-converse"].read(written) == row


def test_sharegpt_as_llamafactory_has_it() -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "17 * 19?"},
            {"from": "function_call", "value": '{"name": "mul", "arguments": {"a": 17, "b": 19}}'},
            {"from": "observation", "value": "323"},
            {"from": "gpt", "value": "323."},
        ],
        "system": "Calculate.",
        "tools": '[{"name": "mul", "parameters": {"type": "object"}}]',
    }
    dialect = DIALECTS["sharegpt"]
    read = dialect.read(row)
    call = read["messages"][2]["tool_calls"][0]
    assert read["messages"][0] == {"role": "system", "content": "Calculate."}
    assert call["function"] == {"name": "mul", "arguments": '{"a":17,"b":19}'}
    assert read["messages"][3]["tool_call_id"] == call["id"]
    assert read["tools"] == [{"type": "function", "function": {"name": "mul", "parameters": {"type": "object"}}}]
    assert dialect.where("messages[0].content", row) == "system"
    assert dialect.where("messages[2].tool_calls[0].function.arguments", row) == "conversations[1].value"
    assert dialect.where("messages[4].role", row) == "conversations[3].from"


def test_alpaca_with_input_history_and_system() -> None:
    row = {"instruction": "Translate.", "input": "Hallo", "output": "Hello", "system": "s", "history": [["q", "a"]]}
    dialect = DIALECTS["alpaca"]
    read = dialect.read(row)
    assert [turn["content"] for turn in read["messages"]] == ["s", "q", "a", "Translate.\nHallo", "Hello"]
    assert dialect.where("messages[2].content", row) == "history[0][1]"
    assert dialect.where("messages[3].content", row) == "instruction, input"
    assert dialect.where("messages[4].content", row) == "output"
    written, losses = dialect.write({"messages": [{"role": "system", "content": "s"}, _USER, _MODEL]})
    assert written == {"instruction": "q", "input": "", "output": "a"}
    assert [loss.path for loss in losses] == ["messages[0]"]


def test_trl_text_and_messages() -> None:
    dialect = DIALECTS["trl"]
    row: dict[str, Any] = {"prompt": "q", "completion": "a"}
    assert dialect.read(row) == {"messages": [_USER, _MODEL]}
    assert (dialect.where("messages[0].content", row), dialect.where("messages[1].content", row)) == (
        "prompt",
        "completion",
    )
    row = {"prompt": [_USER, _MODEL, _USER], "completion": [_MODEL]}
    assert dialect.read(row)["messages"][1] == {**_MODEL, "weight": 0}  # TRL trains on the completion
    assert dialect.where("messages[3].content", row) == "completion[0].content"
    written, losses = dialect.write({"messages": [_USER, _MODEL, _USER, _MODEL]})
    assert written == {"prompt": [_USER, _MODEL, _USER], "completion": [_MODEL]}
    assert [loss.path for loss in losses] == ["messages[1].weight"]


def test_trl_preference_with_an_implicit_prompt() -> None:
    dialect = DIALECTS["trl-preference"]
    good, bad = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}
    row: dict[str, Any] = {"prompt": "q", "chosen": [_USER, good], "rejected": [_USER, bad]}
    read = dialect.read(row)
    assert read == {"input": {"messages": [_USER]}, "preferred_output": [good], "non_preferred_output": [bad]}
    assert dialect.where("non_preferred_output[0].content", row) == "rejected[1].content"
    assert dialect.where("input.messages[0].content", row) == "chosen[0].content"
    assert dialect.read({"prompt": "q", "chosen": [good], "rejected": [bad]}) == read
    text = dialect.read({"chosen": "The sky is blue.", "rejected": "The sky is green."})
    assert text["input"]["messages"] == [{"role": "user", "content": "The sky is"}]
    assert text["preferred_output"] == [{"role": "assistant", "content": " blue."}]


def test_results_out_of_order_follow_their_calls() -> None:
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in ("a", "b")]
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("b", "a")]
    row = {"messages": [_USER, {"role": "assistant", "content": None, "tool_calls": calls}, *results, _MODEL]}
    for name in ("vertex", "sharegpt"):
        written, losses = DIALECTS[name].write(row)
        assert losses == []
        read = DIALECTS[name].read(written)["messages"]
        assert [turn["content"] for turn in read[2:4]] == ["a", "b"]
    missing = {"messages": [_USER, {"role": "assistant", "content": None, "tool_calls": calls}, results[0], _MODEL]}
    for name in ("vertex", "sharegpt"):
        assert [loss.path for loss in DIALECTS[name].write(missing)[1]] == ["messages[2].tool_call_id"]
    orphan = {"messages": [_USER, results[0], _MODEL]}
    assert DIALECTS["vertex"].write(orphan)[1][0].fatal


def test_long_whole_numbers_stay_exact() -> None:
    call = {
        "id": "a",
        "type": "function",
        "function": {"name": "f", "arguments": '{"n": 123456789012345678901234567890}'},
    }
    row = {"messages": [_USER, {"role": "assistant", "content": None, "tool_calls": [call]}]}
    for name in ("vertex", "bedrock-converse", "sharegpt", "trl"):
        read = DIALECTS[name].read(DIALECTS[name].write(row)[0])
        assert read["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"n":123456789012345678901234567890}'


def test_empty_cells_of_a_columnar_file_are_left_off() -> None:
    row = {"messages": [{**_USER, "tool_calls": None, "weight": None}, _MODEL], "tools": None}
    assert DIALECTS["openai"].read(row) == {"messages": [_USER, _MODEL]}


def _with_nulls(value: Any, data: Any) -> Any:
    """The row and its turns with empty cells beside what they hold."""
    cells = data.draw(
        st.lists(st.sampled_from(["weight", "name", "tool_calls", "tools", "note", "refusal"]), max_size=2)
    )
    return {**dict.fromkeys(cells), **value}


@pytest.mark.parametrize("kind", ROWS)
@many
@given(data=st.data())
def test_empty_cells_change_nothing_that_is_written(kind: str, data: Any) -> None:
    row = _with_nulls(data.draw(ROWS[kind]), data)
    for turns in _lists(row):
        turns[:] = [_with_nulls(turn, data) for turn in turns]
    source = DIALECTS[{"chat": "openai", "text": "text"}.get(kind, f"openai-{kind}")]
    for name, dialect in DIALECTS.items():
        if dialect.kind == kind and not name.startswith("openai") and name != "text":
            assert dialect.write(row) == dialect.write(source.read(row)), name


def test_a_file_keeps_the_type_that_its_name_does_not_tell() -> None:
    parts = [
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/object"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/clip.mp4"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"text": "What is it?"},
    ]
    row = {"contents": [{"role": "user", "parts": parts}, {"role": "model", "parts": [{"text": "A cat."}]}]}
    read = DIALECTS["vertex"].read(row)
    assert read["messages"][0]["content"][0]["image_url"] == {"url": "gs://bucket/object", "mime_type": "image/png"}
    assert DIALECTS["vertex"].write(read) == (row, [])
    told = {"type": "image_url", "image_url": {"url": "https://example.com/cat", "mime_type": "image/png"}}
    written, losses = DIALECTS["openai"].write({"messages": [{"role": "user", "content": [told]}, _MODEL]})
    assert written["messages"][0]["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/cat"}}]
    assert [loss.path for loss in losses] == ["messages[0].content[0].image_url.mime_type"]
    untold = {"type": "image_url", "image_url": {"url": "https://example.com/cat"}}
    refused = DIALECTS["vertex"].write({"messages": [{"role": "user", "content": [untold]}, _MODEL]})[1]
    assert refused[0].fatal
    assert "its name does not tell it" in refused[0].why
