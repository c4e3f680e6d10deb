"""From Vertex's `contents` to canonical turns. `vertex.py` has the dialects and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tuneport.dataset.dialects.base import Calls, Spots, items, mapping, rest, text_of
from tuneport.dataset.dialects.media import from_vertex
from tuneport.dataset.dialects.turns import call_entry

SYSTEM_KEYS = ("systemInstruction", "system_instruction")
_ROLES = {"user": "user", "model": "assistant", "function": "tool"}
_TYPES = {name: name.lower() for name in ("OBJECT", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "NULL")}
_DEPTH = 100  # beyond, a schema is handed on as it is


def read_system(row: Mapping[str, Any], base: str, spots: Spots | None) -> list[Any]:
    for key in SYSTEM_KEYS:
        if (given := row.get(key)) is None:
            continue
        parts = given if isinstance(given, str) else (mapping(given) or {}).get("parts")
        place = key if isinstance(given, str) else f"{key}.parts"
        content: Any = parts
        if isinstance(parts, list):
            texts = [{"type": "text", "text": part["text"]} if _is_text(part) else part for part in items(parts)]
            content = texts[0]["text"] if len(texts) == 1 and _is_text(items(parts)[0]) else texts
        if spots is not None:
            spots[f"{base}[0]"] = key
            spots[f"{base}[0].content"] = f"{place}[0].text" if isinstance(content, str) and place != key else place
            for index in range(len(items(content))):
                spots[f"{base}[0].content[{index}]"] = f"{place}[{index}]"
        return [{"role": "system", "content": content}]
    return []


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and len(cast("dict[str, Any]", part)) == 1
        and isinstance(cast("dict[str, Any]", part).get("text"), str)
    )


def read_contents(
    contents: list[Any], place: str, messages: list[Any], base: str, calls: Calls, spots: Spots | None
) -> None:
    for index, content in enumerate(contents):
        if spots is None and type(content) is dict and len(cast("dict[str, Any]", content)) == 2:
            parts = cast("dict[str, Any]", content).get("parts")
            if type(parts) is list and len(cast("list[Any]", parts)) == 1 and _is_text(parts[0]):
                role = cast("dict[str, Any]", content).get("role")
                if role == "user":
                    messages.append({"role": "user", "content": parts[0]["text"]})
                    continue
                if role == "model":
                    messages.append({"role": "assistant", "content": parts[0]["text"]})
                    continue
        _read_content(content, f"{place}[{index}]", messages, base, calls, spots)


def _read_content(content: Any, place: str, messages: list[Any], base: str, calls: Calls, spots: Spots | None) -> None:
    given = mapping(content)
    if given is None:
        if spots is not None:
            spots[f"{base}[{len(messages)}]"] = place
        messages.append(content)
        return
    role = given.get("role")
    role = _ROLES.get(role, role) if isinstance(role, str) else role
    turn: dict[str, Any] = {"role": role, "content": given.get("parts")}
    if not isinstance(given.get("parts"), list):
        if spots is not None:
            spots[f"{base}[{len(messages)}]"] = place
            spots[f"{base}[{len(messages)}].content"] = f"{place}.parts"
        messages.append({**turn, **rest(given, ("role", "parts"))})
        return
    said: list[tuple[Any, str]] = []
    called: list[tuple[dict[str, Any], str]] = []
    reasoning: tuple[str, str] | None = None
    results = 0
    for index, item in enumerate(items(given["parts"])):
        spot = f"{place}.parts[{index}]"
        part = mapping(item) or {}
        if _is_text(item):
            said.append(({"type": "text", "text": item["text"]}, f"{spot}"))
        elif (call := _read_call(part, calls)) is not None:
            called.append((call, f"{spot}.{'functionCall' if 'functionCall' in part else 'function_call'}"))
        elif (result := _read_result(part, calls)) is not None:
            if spots is not None:
                key = "functionResponse" if "functionResponse" in part else "function_response"
                wrapped = _output(mapping(part[key]["response"])) is not None
                spots[f"{base}[{len(messages)}]"] = spot
                spots[f"{base}[{len(messages)}].content"] = f"{spot}.{key}.response{'.output' if wrapped else ''}"
            messages.append(result)
            results += 1
        elif (
            reasoning is None
            and set(part) == {"text", "thought"}
            and isinstance(part["text"], str)
            and part["thought"] is True
        ):
            reasoning = (part["text"], f"{spot}.text")
        else:
            said.append((from_vertex(part) or item, spot))
    further = rest(given, ("role", "parts"))
    if results and not said and not called and not further and reasoning is None:
        return
    own = f"{base}[{len(messages)}]"
    turn["content"] = _content(said, empty=None if called else [])
    if reasoning is not None:
        turn["reasoning_content"] = reasoning[0]
    if called:
        turn["tool_calls"] = [call for call, _ in called]
        calls.open = [(call["id"], call["function"]["name"]) for call, _ in called]
    messages.append({**turn, **further})
    if spots is None:
        return
    spots[own] = place
    spots[f"{own}.content"] = f"{said[0][1]}.text" if isinstance(turn["content"], str) else f"{place}.parts"
    for index, (_, spot) in enumerate(said):
        spots[f"{own}.content[{index}]"] = spot
    if reasoning is not None:
        spots[f"{own}.reasoning_content"] = reasoning[1]
    for index, (_, spot) in enumerate(called):
        spots[f"{own}.tool_calls[{index}]"] = spots[f"{own}.tool_calls[{index}].function"] = spot
        spots[f"{own}.tool_calls[{index}].function.arguments"] = f"{spot}.args"


def _content(said: list[tuple[Any, str]], *, empty: Any) -> Any:
    if not said:
        return empty
    first = said[0][0]
    if len(said) == 1 and isinstance(first, dict) and cast("dict[str, Any]", first).get("type") == "text":
        return cast("dict[str, Any]", first)["text"]
    return [part for part, _ in said]


def _read_call(part: Mapping[str, Any], calls: Calls) -> dict[str, Any] | None:
    signed = {"thought_signature": part["thoughtSignature"]} if "thoughtSignature" in part else {}
    call = mapping(part.get("functionCall", part.get("function_call")))
    if call is None or len(part) > 1 + len(signed) or not call.keys() <= {"name", "args", "id"}:
        return None
    made = calls.made()
    return call_entry(call.get("id") or made, call.get("name"), call.get("args"), **signed)


def _read_result(part: Mapping[str, Any], calls: Calls) -> dict[str, Any] | None:
    result = mapping(part.get("functionResponse", part.get("function_response")))
    if result is None or len(part) != 1 or not result.keys() <= {"name", "response", "id"} or "response" not in result:
        return None
    response = result["response"]
    content = _output(mapping(response))
    if content is None:
        content = response if isinstance(response, str) else text_of(response)
    answered = result.get("id") or calls.answered(result.get("name"), by_name=True)
    return {"role": "tool", "tool_call_id": answered, "content": content}


def _output(response: Mapping[str, Any] | None) -> str | None:
    """The text in a response that is nothing but a text."""
    output = response["output"] if response is not None and set(response) == {"output"} else None
    return output if isinstance(output, str) else None


def read_tools(tools: Any, base: str, spots: Spots | None) -> Any:
    if not isinstance(tools, list):
        return tools
    read: list[Any] = []
    for index, item in enumerate(items(tools)):
        tool = mapping(item) or {}
        key = "functionDeclarations" if "functionDeclarations" in tool else "function_declarations"
        if len(tool) != 1 or not isinstance(declared := tool.get(key), list):
            if spots is not None:
                spots[f"{base}[{len(read)}]"] = f"tools[{index}]"
            read.append(item)
            continue
        for number, declaration in enumerate(items(declared)):
            if spots is not None:
                place = f"tools[{index}].{key}[{number}]"
                spots[f"{base}[{len(read)}]"] = spots[f"{base}[{len(read)}].function"] = place
            read.append({"type": "function", "function": _read_declaration(declaration)})
    return read


def _read_declaration(declaration: Any) -> Any:
    if not isinstance(declaration, dict):
        return declaration
    function = dict(cast("dict[str, Any]", declaration))
    for key in ("parametersJsonSchema", "parameters_json_schema"):
        if key in function and "parameters" not in function:
            function["parameters"] = function.pop(key)
    if "parameters" in function:
        function["parameters"] = _schema(function["parameters"], _DEPTH)
    return function


def _schema(value: Any, depth: int) -> Any:
    """JSON Schema's own names of types, in place of Google's capitals."""
    if depth and isinstance(value, dict):
        return {
            key: _TYPES.get(item, item) if key == "type" and isinstance(item, str) else _schema(item, depth - 1)
            for key, item in cast("dict[str, Any]", value).items()
        }
    if depth and isinstance(value, list):
        return [_schema(item, depth - 1) for item in items(value)]
    return value


def read_completions(row: Mapping[str, Any], read: dict[str, Any], calls: Calls, spots: Spots | None) -> None:
    """The completion with the higher score is preferred. Without two scores that differ, none is."""
    pair = [mapping(item) or {} for item in items(row.get("completions"))]
    scores = [item.get("score") for item in pair]
    if len(pair) != 2 or not all(isinstance(score, (int, float)) for score in scores) or scores[0] == scores[1]:
        if row.get("completions") is not None:
            read["completions"] = row["completions"]
        return
    preferred = int(scores[1] > scores[0])  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]
    for key, index in (("preferred_output", preferred), ("non_preferred_output", 1 - preferred)):
        completion = pair[index].get("completion")
        turns: list[Any] = []
        place = f"completions[{index}].completion"
        _read_content(completion, place, turns, key, calls, spots)
        read[key] = turns
        if spots is not None:
            spots[key] = place
        if further := rest(pair[index], ("score", "completion")):
            read["completions"] = {**read.get("completions", {}), key: further}
    if {*scores} != {0, 1}:
        read["scores"] = [scores[preferred], scores[1 - preferred]]
