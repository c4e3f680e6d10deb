"""From a dialect to the canonical row (OpenAI's chat row), and the checks of its structure.

Two dialects are read so far: `openai` (`messages`, `tools`) and `trl` (`prompt` and `completion`, as text or as messages).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tuneport.dataset.issues import Issue

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ROW_KEYS = {"messages", "tools", "parallel_tool_calls"}
_MESSAGE_KEYS = {"role", "content", "name", "weight", "tool_calls", "tool_call_id", "refusal", "function_call", "audio"}


def detect(row: Mapping[str, Any]) -> str | None:
    """The dialect that a row is written in, or None."""
    if "messages" in row:
        return "openai"
    if "prompt" in row and "completion" in row:
        return "trl"
    return None


def to_canonical(row: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    """The same row as `{"messages": […], "tools": […]}`. Values that are wrong are kept for `check` to name."""
    if dialect == "openai":
        return {key: row[key] for key in row if row[key] is not None or key == "messages"}
    prompt, completion = row["prompt"], row["completion"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
    if not isinstance(turns, list) or not isinstance(answer, list):
        return {"messages": None}
    rest = {key: row[key] for key in row if key not in {"prompt", "completion"} and row[key] is not None}
    return {"messages": [*turns, *answer], **rest}


def check(row: Mapping[str, Any], number: int, source: str) -> Iterator[Issue]:
    """Every structural problem of one canonical row."""

    def issue(code: str, message: str, path: str, fix: str, severity: Any = "error") -> Issue:
        return Issue(code=code, severity=severity, message=message, source=source, row=number, path=path, fix=fix)

    for key in row:
        if key not in _ROW_KEYS:
            yield issue("structure.unknown-key", f"unknown key {key!r} is ignored.", key, "remove it.", "warning")
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        yield issue(
            "structure.no-messages",
            f"messages is {_shown(messages)}, not a list of turns.",
            "messages",
            'write a list of {"role": …, "content": …}.',
        )
        return
    trainable = False
    has_assistant = False
    for index, turn in enumerate(cast("list[Any]", messages)):
        path = f"messages[{index}]"
        if not isinstance(turn, Mapping):
            yield issue(
                "structure.turn", f"the turn is {_shown(turn)}, not an object.", path, "write role and content."
            )
            continue
        turn = cast("Mapping[str, Any]", turn)
        role = turn.get("role")
        if role not in ROLES:
            yield issue("structure.role", f"role is {_shown(role)}.", f"{path}.role", f"use one of {', '.join(ROLES)}.")
            continue
        if role in {"system", "developer"} and index > 0:
            yield issue(
                "structure.system-first", "a system turn after the first turn.", path, "put it first.", "warning"
            )
        yield from (i for i in _content(turn, path, issue))
        if role == "assistant":
            has_assistant = True
            weight = turn.get("weight")
            if weight not in (None, 0, 1):
                yield issue(
                    "structure.weight", f"weight is {_shown(weight)}.", f"{path}.weight", "use 0, 1 or nothing."
                )
            elif weight != 0:
                trainable = True
        yield from (i for i in _tool_calls(turn, path, issue))
    if not has_assistant:
        yield issue(
            "structure.no-assistant",
            "no assistant turn: there is no answer to learn from.",
            "messages",
            'add a turn with "role": "assistant".',
        )
    elif not trainable:
        yield issue(
            "structure.nothing-trainable",
            "every assistant turn has weight 0: nothing would be trained.",
            "messages",
            "give one assistant turn weight 1.",
        )
    tools = row.get("tools")
    if tools is not None and not isinstance(tools, list):
        yield issue("structure.tools", f"tools is {_shown(tools)}, not a list.", "tools", "write a list of tools.")


def _content(turn: Mapping[str, Any], path: str, issue: Any) -> Iterator[Issue]:
    for key in turn:
        if key not in _MESSAGE_KEYS:
            yield issue(
                "structure.unknown-key", f"unknown key {key!r} is ignored.", f"{path}.{key}", "remove it.", "warning"
            )
    content = turn.get("content")
    calls = bool(turn.get("tool_calls"))
    if content is None and calls:
        return
    if isinstance(content, list):
        for index, part in enumerate(cast("list[Any]", content)):
            if not isinstance(part, Mapping) or "type" not in part:
                yield issue(
                    "structure.part", f"the part is {_shown(part)}.", f"{path}.content[{index}]", "give it a type."
                )
        return
    if not isinstance(content, str):
        yield issue(
            "structure.content", f"content is {_shown(content)}, not text.", f"{path}.content", "write a string."
        )
    elif not content.strip() and turn.get("role") == "assistant" and not calls:
        yield issue("structure.empty-turn", "the assistant's answer is blank.", f"{path}.content", "write the answer.")


def _tool_calls(turn: Mapping[str, Any], path: str, issue: Any) -> Iterator[Issue]:
    calls = turn.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list):
        yield issue("structure.tool-calls", f"tool_calls is {_shown(calls)}.", f"{path}.tool_calls", "write a list.")
        return
    for index, call in enumerate(cast("list[Any]", calls)):
        place = f"{path}.tool_calls[{index}].function"
        found: Any = cast("Mapping[str, Any]", call).get("function") if isinstance(call, Mapping) else None
        function = cast("Mapping[str, Any]", found if isinstance(found, Mapping) else {})
        if not isinstance(function.get("name"), str):
            yield issue("tools.function", f"the call is {_shown(call)}.", place, "give it function.name and arguments.")
            continue
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                json.loads(arguments)
            except ValueError:
                yield issue(
                    "tools.arguments",
                    f"arguments do not parse as JSON: {_shown(arguments)}.",
                    f"{place}.arguments",
                    "write them as a JSON object in a string.",
                )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
