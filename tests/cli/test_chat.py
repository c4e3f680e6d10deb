"""`tuneport chat`: calls of tools are shown as one reads them, and the conversation goes on with what they gave."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tuneport.cli.chat import shown
from tuneport_backends.simulators.openai import OpenAISimulator

MODEL = "openai:gpt-4.1-mini-2025-04-14"
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome", "days": 2}'}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


def answer(_: str, turns: Sequence[Mapping[str, Any]]) -> str | Mapping[str, Any]:
    """A model that asks its tool, and says what came of it."""
    return f"It is {turns[-1]['content']}." if turns[-1]["role"] == "tool" else {"tool_calls": [CALL]}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(TOOLS))
    return path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tuneport.cli", "chat", MODEL, *words]


def test_a_call_is_shown_as_one_reads_it(home: Path, tools: Path) -> None:
    with OpenAISimulator(answer=answer) as simulator, simulator.pointed():
        asked = [*command("--message", "Weather?", "--tools", str(tools))]
        plain = subprocess.run(asked, capture_output=True, text=True, check=False)
        data = subprocess.run([*asked, "--json"], capture_output=True, text=True, check=False)
    assert plain.stdout == 'weather(city="Rome", days=2)\n', plain.stderr
    said = json.loads(data.stdout)
    assert (said["content"], said["tool_calls"]) == ("", [CALL])
    assert simulator.requests("chat")[0].body["tools"] == TOOLS


def test_a_conversation_keeps_the_call_and_is_told_its_result(home: Path, tools: Path) -> None:
    with OpenAISimulator(answer=answer) as simulator, simulator.pointed():
        ours, theirs = pty.openpty()
        talk = subprocess.Popen(
            command("--tools", str(tools)), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        os.close(theirs)
        os.write(ours, b"Weather?\nsunny\nThanks.\nrainy\n\x04")
        out, _ = talk.communicate(timeout=120)
        os.close(ours)
    assert talk.returncode == 0, out
    assert 'weather(city="Rome", days=2)' in out
    assert "result of weather" in out
    assert "It is sunny." in out
    assert [turn["role"] for turn in simulator.requests("chat")[-1].body["messages"]] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant", "tool"),
    ]
    first = simulator.requests("chat")[1].body["messages"]
    assert first[1] == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert first[2] == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ({"name": "look", "arguments": "{}"}, "look()"),
        ({"name": "look", "arguments": '{"at": "Köln"}'}, 'look(at="Köln")'),
        ({"name": "look", "arguments": '{"at": '}, 'look({"at": )'),
        ({"name": "look", "arguments": "[1]"}, "look([1])"),
        ({}, "?()"),
    ],
)
def test_what_a_model_wrote_is_shown_whatever_it_is(function: dict[str, Any], said: str) -> None:
    assert shown({"function": function}) == said


@pytest.mark.parametrize("content", ["{", "{}", "[]", "[1]", '[{"name": "weather"}]'])
def test_tools_that_are_none_are_refused(home: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "tools.json").write_text(content)
    done = subprocess.run(
        command("--message", "Weather?", "--tools", str(tmp_path / "tools.json")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "tools.json" in done.stderr
    assert "Traceback" not in done.stderr
