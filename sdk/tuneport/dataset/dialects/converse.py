"""Amazon Bedrock's Converse rows (Nova, Llama 3.2): messages of content blocks.

They can hold calls of tools, so these are written; that Nova's tuning refuses them is a rule of the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tuneport.dataset.dialects.base import (
    CHAT_KEYS,
    Cannot,
    Loss,
    Spots,
    Traced,
    items,
    mapping,
    rest,
    shown,
    text_of,
)
from tuneport.dataset.dialects.media import from_converse, to_converse
from tuneport.dataset.dialects.turns import (
    BASIC,
    call_entry,
    calls_of,
    functions,
    list_of,
    other_role,
    parts_of,
    system_of,
    text_part,
    texts_of,
    turn_of,
    unsaid,
)
from tuneport.dataset.rows import Kind

_NAME = "Bedrock Converse"
_VERSION = "bedrock-conversation-2024"
_OWN = frozenset({"schemaVersion", "system", "messages", "toolConfig"})
_INPUT_KEYS = frozenset({"messages", "tools"})
_ANSWER_KEYS = BASIC | {"tool_calls", "reasoning_content", "reasoning_signature"}
_RESULT_KEYS = BASIC | {"tool_call_id", "status"}


class Converse(Traced):
    name = "bedrock-converse"
    kind: Kind = "chat"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        messages: Any = _read_system(row.get("system"), spots)
        given = row.get("messages")
        if isinstance(given, list):
            for index, turn in enumerate(items(given)):
                _read_turn(turn, f"messages[{index}]", messages, spots)
        else:
            messages = given
        read: dict[str, Any] = {"messages": messages}
        further = rest(row, _OWN | CHAT_KEYS)
        if (config := mapping(row.get("toolConfig"))) is not None:
            tools = config.get("tools")
            read["tools"] = _read_tools(items(tools), spots) if isinstance(tools, list) else tools
            if choice := rest(config, ("tools",)):
                further["toolConfig"] = choice
        elif row.get("toolConfig") is not None:
            read["tools"] = row["toolConfig"]
        return {**read, **further}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        messages = list_of(row.get("messages"), "messages")
        written: dict[str, Any] = {"schemaVersion": _VERSION}
        first = system_of(messages, "messages", losses)
        if first is not None:
            unsaid(first, BASIC, "messages[0]", losses, _NAME)
            said = first.get("content")
            parts = [{"text": said}] if type(said) is str else texts_of(said, "messages[0].content", losses, _NAME)
            written["system"] = parts
        written["messages"] = _write_turns(messages, losses, begin=0 if first is None else 1)
        if len(row) > 1:
            if declared := functions(row, "tools", losses, _NAME):
                written["toolConfig"] = {"tools": [_tool_spec(function) for function in declared]}
            unsaid(row, _INPUT_KEYS, "", losses, _NAME)
        return written

    def write_plain(self, turns: list[dict[str, Any]]) -> dict[str, Any] | None:
        first = turns[0]
        if first["role"] == "developer":
            return None
        for turn in turns:
            text = turn.pop("content")  # and back to the end: the role is written first
            turn["content"] = [{"text": text}]
        if first["role"] == "user":
            return {"schemaVersion": _VERSION, "messages": turns}
        return {"schemaVersion": _VERSION, "system": first["content"], "messages": turns[1:]}


def _tool_spec(function: dict[str, Any]) -> dict[str, Any]:
    spec = {key: value for key, value in function.items() if key != "parameters"}
    if "parameters" in function:
        spec["inputSchema"] = {"json": function["parameters"]}
    return {"toolSpec": spec}


def _read_system(system: Any, spots: Spots | None) -> list[Any]:
    if system is None:
        return []
    if not isinstance(system, list):
        if spots is not None:
            spots["messages[0]"] = spots["messages[0].content"] = "system"
        return [{"role": "system", "content": system}]
    parts = [{"type": "text", "text": part["text"]} if _is_text(part) else part for part in items(system)]
    content = parts[0]["text"] if len(parts) == 1 and _is_text(items(system)[0]) else parts
    if spots is not None:
        spots["messages[0]"] = "system"
        spots["messages[0].content"] = "system" if content is parts else "system[0].text"
        spots.update({f"messages[0].content[{index}]": f"system[{index}]" for index in range(len(parts))})
    return [{"role": "system", "content": content}]


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and len(cast("dict[str, Any]", part)) == 1
        and isinstance(cast("dict[str, Any]", part).get("text"), str)
    )


def _read_turn(item: Any, place: str, messages: list[Any], spots: Spots | None) -> None:
    given = mapping(item)
    content = given.get("content") if given is not None else None
    if given is None or not isinstance(content, list):
        if spots is not None:
            spots[f"messages[{len(messages)}]"] = place
        messages.append(item)
        return
    blocks = items(content)
    if spots is None and len(blocks) == 1 and len(given) == 2 and _is_text(blocks[0]):
        messages.append({"role": given.get("role"), "content": blocks[0]["text"]})
        return
    said: list[tuple[Any, str]] = []
    called: list[tuple[dict[str, Any], str]] = []
    reasoning: dict[str, Any] = {}
    thought = ""
    results = 0
    for index, block in enumerate(blocks):
        spot = f"{place}.content[{index}]"
        part = mapping(block) or {}
        if _is_text(block):
            said.append(({"type": "text", "text": block["text"]}, spot))
        elif (call := _read_call(part)) is not None:
            called.append((call, f"{spot}.toolUse"))
        elif (result := _read_result(part, f"messages[{len(messages)}]", spot, spots)) is not None:
            messages.append(result)
            results += 1
        elif not reasoning and (reasoning := _read_reasoning(part)):
            thought = f"{spot}.reasoningContent.reasoningText.text"
        else:
            said.append((from_converse(part) or block, spot))
    further = rest(given, BASIC)
    if results and not (said or called or reasoning or further):
        return
    turn: dict[str, Any] = {"role": given.get("role"), "content": [part for part, _ in said]}
    if not said and called:
        turn["content"] = None
    elif len(said) == 1 and isinstance(said[0][0], dict) and cast("dict[str, Any]", said[0][0]).get("type") == "text":
        turn["content"] = said[0][0]["text"]
    turn |= reasoning
    if called:
        turn["tool_calls"] = [call for call, _ in called]
    if spots is not None:
        own = f"messages[{len(messages)}]"
        spots[own] = place
        spots[f"{own}.content"] = f"{said[0][1]}.text" if isinstance(turn["content"], str) else f"{place}.content"
        spots.update({f"{own}.content[{index}]": spot for index, (_, spot) in enumerate(said)})
        if thought:
            spots[f"{own}.reasoning_content"] = thought
        for index, (_, spot) in enumerate(called):
            mine = f"{own}.tool_calls[{index}]"
            spots[mine] = spots[f"{mine}.function"] = spot
            spots[f"{mine}.id"] = f"{spot}.toolUseId"
            spots[f"{mine}.function.arguments"] = f"{spot}.input"
    messages.append({**turn, **further})


def _read_call(part: Mapping[str, Any]) -> dict[str, Any] | None:
    call = mapping(part.get("toolUse"))
    if call is None or len(part) != 1 or not call.keys() <= {"toolUseId", "name", "input"}:
        return None
    return call_entry(call.get("toolUseId"), call.get("name"), call.get("input"))


def _read_result(part: Mapping[str, Any], own: str, spot: str, spots: Spots | None) -> dict[str, Any] | None:
    result = mapping(part.get("toolResult"))
    if result is None or len(part) != 1 or not result.keys() <= {"toolUseId", "content", "status"}:
        return None
    content: Any = result.get("content")
    where = f"{spot}.toolResult.content"
    if spots is not None:
        spots[own] = f"{spot}.toolResult"
        spots[f"{own}.tool_call_id"] = f"{spot}.toolResult.toolUseId"
    if isinstance(content, list):
        parts: list[Any] = []
        for index, block in enumerate(items(content)):
            piece = mapping(block) or {}
            if spots is not None:
                spots[f"{own}.content[{index}]"] = f"{where}[{index}]"
            if _is_text(block):
                parts.append({"type": "text", "text": block["text"]})
            elif set(piece) == {"json"}:
                parts.append({"type": "text", "text": text_of(piece["json"])})
                if spots is not None:
                    spots[f"{own}.content[{index}].text"] = f"{where}[{index}].json"
            else:
                parts.append(from_converse(piece) or block)
        content = parts
        if len(parts) == 1 and isinstance(parts[0], dict) and cast("dict[str, Any]", parts[0]).get("type") == "text":
            content = cast("dict[str, Any]", parts[0])["text"]
            where += "[0].text" if _is_text(items(result["content"])[0]) else "[0].json"
    if spots is not None:
        spots[f"{own}.content"] = where
    read: dict[str, Any] = {"role": "tool", "tool_call_id": result.get("toolUseId"), "content": content}
    if result.get("status") not in (None, "success"):
        read["status"] = result["status"]
    return read


def _read_reasoning(part: Mapping[str, Any]) -> dict[str, Any]:
    said = mapping((mapping(part.get("reasoningContent")) or {}).get("reasoningText"))
    if (
        said is None
        or len(part) != 1
        or not isinstance(said.get("text"), str)
        or not said.keys() <= {"text", "signature"}
    ):
        return {}
    signed = {} if said.get("signature") is None else {"reasoning_signature": said["signature"]}
    return {"reasoning_content": said["text"], **signed}


def _read_tools(tools: list[Any], spots: Spots | None) -> list[Any]:
    read: list[Any] = []
    for index, item in enumerate(tools):
        tool = mapping(item) or {}
        spec = mapping(tool.get("toolSpec"))
        place = f"toolConfig.tools[{index}]"
        if spots is not None:
            spots[f"tools[{index}]"] = place
        if spec is None or len(tool) != 1:
            read.append(item)
            continue
        function: dict[str, Any] = {key: value for key, value in spec.items() if key != "inputSchema"}
        schema = mapping(spec.get("inputSchema"))
        if "inputSchema" in spec:
            function["parameters"] = (
                schema["json"] if schema is not None and set(schema) == {"json"} else spec["inputSchema"]
            )
        if spots is not None:
            spots[f"tools[{index}].function"] = f"{place}.toolSpec"
            spots[f"tools[{index}].function.parameters"] = f"{place}.toolSpec.inputSchema.json"
        read.append({"type": "function", "function": function})
    return read


def _write_turns(messages: list[Any], losses: list[Loss], *, begin: int) -> list[dict[str, Any]]:
    """Results of tools stand in a user turn, together with what the user says next: Bedrock wants strict alternation."""
    written: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []  # results without their turn yet
    for index, item in enumerate(messages[begin:], begin):
        turn: Any = item
        if type(item) is dict and not waiting and len(turn) == 2:
            content, role = turn.get("content"), turn.get("role")
            if type(content) is str and (role == "user" or role == "assistant"):  # noqa: PLR1714  may be unhashable
                written.append({"role": role, "content": [{"text": content}]})
                continue
        path = f"messages[{index}]"
        turn = turn_of(item, path)
        if turn["role"] == "tool":
            waiting.append(_write_result(turn, path, losses))
            continue
        made = _write_turn(turn, path, losses)
        if waiting and made["role"] == "user" and made["content"]:
            made["content"] = [*waiting, *made["content"]]
        elif waiting:
            written.append({"role": "user", "content": waiting})
        waiting = []
        written.append(made)
    if waiting:
        written.append({"role": "user", "content": waiting})
    return written


def _write_turn(turn: Mapping[str, Any], path: str, losses: list[Loss]) -> dict[str, Any]:
    role = turn["role"]
    if role not in {"user", "assistant"}:
        raise other_role(role, path, _NAME)
    answers = role == "assistant"
    unsaid(turn, _ANSWER_KEYS if answers else BASIC, path, losses, _NAME)
    calls = calls_of(turn, path, losses, _NAME) if answers else []
    blocks: list[dict[str, Any]] = []
    if answers and (thought := turn.get("reasoning_content")) is not None:
        signed = {"signature": turn["reasoning_signature"]} if turn.get("reasoning_signature") is not None else {}
        blocks.append({"reasoningContent": {"reasoningText": {"text": thought, **signed}}})
    if not (calls and turn.get("content") in (None, "", [])):
        blocks.extend(_blocks(turn.get("content"), f"{path}.content", losses))
    for index, call in enumerate(calls):
        if not isinstance(call.id, str):
            raise Cannot(f"{path}.tool_calls[{index}].id", f"the id {shown(call.id)}", "a call needs one")
        blocks.append({"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}})
    return {"role": role, "content": blocks}


def _blocks(content: Any, path: str, losses: list[Loss]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for index, part in enumerate(parts_of(content, path)):
        place = f"{path}[{index}]"
        text = text_part(part, place, losses, _NAME)
        blocks.append({"text": text} if text is not None else to_converse(part, place, losses))
    return blocks


def _write_result(turn: Mapping[str, Any], path: str, losses: list[Loss]) -> dict[str, Any]:
    unsaid(turn, _RESULT_KEYS, path, losses, _NAME)
    answered = turn.get("tool_call_id")
    if not isinstance(answered, str):
        raise Cannot(f"{path}.tool_call_id", f"the id {shown(answered)}", "a result says which call it answers")
    status = {"status": turn["status"]} if turn.get("status") is not None else {}
    content = _blocks(turn.get("content"), f"{path}.content", losses)
    return {"toolResult": {"toolUseId": answered, "content": content, **status}}
