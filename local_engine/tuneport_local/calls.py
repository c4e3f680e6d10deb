"""Tool calls out of what a model wrote, in OpenAI's shape.

A template teaches a model one way to write a call, and no tokenizer says which in a form that can be read back for all
families. These three cover the families that tuneport's templates render: tags around JSON (Qwen, Hermes, Granite, Phi), a mark
before a list (Mistral), and one bare object (Llama). Text that is none of them stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, cast

_TAGGED = re.compile(r"<\|?tool_call\|?>(.*?)(?:<\|?/tool_call\|?>|\Z)", re.DOTALL)
_MARK = "[TOOL_CALLS]"


def read_calls(text: str, names: Collection[str]) -> tuple[str, list[dict[str, Any]]]:
    """What is left of `text`, and the calls in it; `names` are the tools that were offered.

    A call that is not JSON stays in the text: whoever reads the answer sees what the model wrote.
    """
    if not names:
        return text, []
    stripped = text.strip()
    calls: list[dict[str, Any]] = []

    def taken(found: re.Match[str]) -> str:
        part = _calls(found[1])
        calls.extend(part)
        return "" if part else found[0]

    rest = _TAGGED.sub(taken, text)
    if calls:
        return rest.strip(), _numbered(calls)
    before, mark, rest = text.partition(_MARK)
    if mark and (calls := _calls(rest)):
        return before.strip(), _numbered(calls)
    if stripped.startswith(("{", "[")):
        calls = _calls(stripped)
        if calls and all(call["name"] in names for call in calls):  # an answer may be JSON of its own
            return "", _numbered(calls)
    return text, []


def _calls(text: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text, parse_constant=_refused)  # Python also reads NaN, which is no JSON
    except (ValueError, RecursionError):
        return []
    found: list[dict[str, Any]] = []
    for one in cast("list[Any]", value) if isinstance(value, list) else [value]:
        call = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        call = call.get("function", call) if isinstance(call.get("function"), dict) else call
        arguments = call.get("arguments", call.get("parameters", {}))
        if not isinstance(call.get("name"), str) or not isinstance(arguments, (dict, str)):
            return []
        found.append({"name": call["name"], "arguments": arguments})
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _numbered(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": call["name"],
                "arguments": call["arguments"]
                if isinstance(call["arguments"], str)
                else json.dumps(call["arguments"], ensure_ascii=False),
            },
        }
        for number, call in enumerate(calls)
    ]
