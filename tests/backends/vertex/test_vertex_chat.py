"""What a chat sends and how its answers are read: tools, seeds, thoughts, answers that were withheld."""

from __future__ import annotations

from typing import Any

import pytest

from tuneport.errors import NotDeployedError, RejectedError, RemoteNotFoundError
from tuneport_backends.vertex import VertexBackend

Simulate = Any
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": ["string", "null"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Rome?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
]


def test_tools_and_settings_are_sent(backend: VertexBackend, simulate: Simulate) -> None:
    """The schema goes as JSON Schema, with what google-genai's own Schema lacks."""
    simulator = simulate(answer=lambda model, contents: "It is sunny.")
    said = backend.open_model("gemini-3.5-flash").chat(TALK, tools=[TOOL], seed=7, temperature=0.5, max_tokens=9)
    assert said.content == "It is sunny."
    (entry,) = simulator.requests("generate")
    assert entry.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert [turn["role"] for turn in entry.body["contents"]] == ["user", "model", "user"]
    assert entry.body["contents"][1]["parts"][0]["functionCall"] == {"name": "weather", "args": {"city": "Rome"}}
    (declared,) = entry.body["tools"][0]["functionDeclarations"]
    sent = declared.get("parametersJsonSchema") or declared.get("parameters_json_schema")
    assert sent == TOOL["function"]["parameters"]  # type: ignore[index]
    config = entry.body["generationConfig"]
    assert (config["temperature"], config["maxOutputTokens"], config["seed"]) == (0.5, 9, 7)


def reply(parts: Any, finish: str = "STOP") -> dict[str, Any]:
    return {"content": {"role": "model", "parts": parts}, "finishReason": finish}


@pytest.mark.parametrize(
    ("candidates", "content"),
    [
        ([reply([{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}])], "ab"),
        ([reply([])], ""),
        ([{"finishReason": "MAX_TOKENS"}], ""),
        ([reply([{"text": None}, {"new": 1}, 7])], ""),
    ],
)
def test_answers_are_read(backend: VertexBackend, simulate: Simulate, candidates: Any, content: str) -> None:
    simulate(faults=[{"on": "generate", "do": "field", "field": "candidates", "value": candidates}])
    assert backend.open_model("gemini-3.5-flash").chat(TALK[:2]).content == content


def test_a_call_is_given_in_openais_shape(backend: VertexBackend, simulate: Simulate) -> None:
    part = {"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "eA=="}
    parts = [part]
    simulate(answer=lambda model, contents: parts)
    session = backend.open_model("gemini-3.5-flash")
    said = session.chat(TALK[:2], tools=[TOOL])
    (call,) = said.tool_calls
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert (call["type"], said.content, said.finish_reason) == ("function", "", "stop")
    parts[:] = [{"text": "Let me look."}, part, part]
    said = session.chat(TALK[:2], tools=[TOOL])
    assert said.content == "Let me look."
    assert len({call["id"] for call in said.tool_calls}) == 2


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("candidates", [reply([], "SAFETY")], "withheld .* SAFETY"),
        ("candidates", None, "without a candidate"),
        ("candidates", [], "without a candidate"),
    ],
)
def test_no_answer_is_said(backend: VertexBackend, simulate: Simulate, field: str, value: Any, said: str) -> None:
    simulate(faults=[{"on": "generate", "do": "field", "field": field, "value": value}])
    with pytest.raises(RejectedError, match=said):
        backend.open_model("gemini-3.5-flash").chat(TALK[:2])


def test_what_is_not_there(backend: VertexBackend, simulate: Simulate) -> None:
    simulator = simulate()
    with pytest.raises(RemoteNotFoundError, match="gemini-99"):
        backend.open_model("gemini-99").chat(TALK[:2])
    with pytest.raises(NotDeployedError, match="Nothing answers"):
        backend.open_model(f"{simulator.parent}/endpoints/1").chat(TALK[:2])
    with pytest.raises(NotDeployedError, match="not an endpoint"):
        backend.open_model(f"{simulator.parent}/models/1@1")
