"""Google Vertex AI's rows: `contents` of `parts`, for supervised, preference and reinforcement tuning.

Keys are read in camelCase and in snake_case, and written as Google's pages write them: `systemInstruction`, but
`system_instruction` in preference rows. Types in a function's parameters are read in capitals too (`"OBJECT"`), and written as
JSON Schema has them, which Vertex takes. Calls have no ids: a result answers the first open call of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.dataset.dialects.base import (
    CHAT_KEYS,
    PREFERENCE_KEYS,
    Calls,
    Cannot,
    Loss,
    Spots,
    Traced,
    items,
    mapping,
    object_of,
    rest,
    shown,
    text_of,
)
from tuneport.dataset.dialects.media import to_vertex
from tuneport.dataset.dialects.turns import (
    BASIC,
    CALL_KEYS,
    Results,
    calls_of,
    functions,
    list_of,
    other_role,
    parts_of,
    plain_text,
    system_of,
    text_part,
    texts_of,
    turn_of,
    unsaid,
)
from tuneport.dataset.dialects.vertex_read import SYSTEM_KEYS, read_completions, read_contents, read_system, read_tools
from tuneport.dataset.rows import Kind

_NAME = "Vertex"
_INPUT_KEYS = frozenset({"messages", "tools"})
_ANSWER_KEYS = BASIC | {"tool_calls", "reasoning_content"}
_CALL_KEYS = CALL_KEYS | {"thought_signature"}
_RESULT_KEYS = BASIC | {"tool_call_id"}
_OWN = frozenset({*SYSTEM_KEYS, "contents", "tools"})


class Vertex(Traced):
    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind: Kind = kind

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        preference = self.kind == "preference"
        base = "input.messages" if preference else "messages"
        calls = Calls()
        messages: Any = read_system(row, base, spots)
        contents = row.get("contents")
        if isinstance(contents, list):
            read_contents(items(contents), "contents", messages, base, calls, spots)
        else:
            messages = contents
        if spots is not None:
            spots[base] = "contents"
        read: dict[str, Any] = {"messages": messages}
        if row.get("tools") is not None:
            read["tools"] = read_tools(row["tools"], "input.tools" if preference else "tools", spots)
        if preference:
            read = {"input": read, **rest(row, _OWN | PREFERENCE_KEYS | {"completions"})}
            read_completions(row, read, calls, spots)
            return read
        if self.kind == "reinforcement" and (references := mapping(row.get("references"))) is not None:
            for key, value in references.items():
                if key in CHAT_KEYS or key in row:
                    read.setdefault("references", {})[key] = value
                else:
                    read[key] = value
                    if spots is not None:
                        spots[key] = f"references.{key}"
            return {**read, **rest(row, _OWN | CHAT_KEYS | {"references"})}
        return {**read, **rest(row, _OWN | CHAT_KEYS)}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        if self.kind == "preference":
            return _write_preference(row, losses)
        written = _write_input(row, "messages", "tools", SYSTEM_KEYS[0], losses)
        if self.kind == "reinforcement":
            written["references"] = _write_references(row, losses)
        elif len(row) > 1:
            unsaid(row, _INPUT_KEYS, "", losses, _NAME)
        return written

    def write_plain(self, turns: list[dict[str, Any]]) -> dict[str, Any] | None:
        first = turns[0]
        if self.kind != "chat" or first["role"] == "developer":
            return None
        for turn in turns:
            turn["parts"] = [{"text": turn.pop("content")}]
            if turn["role"] == "assistant":
                turn["role"] = "model"
        if first["role"] == "user":
            return {"contents": turns}
        return {SYSTEM_KEYS[0]: first, "contents": turns[1:]}


def _write_input(row: Mapping[str, Any], path: str, tools_path: str, system: str, losses: list[Loss]) -> dict[str, Any]:
    messages = list_of(row.get("messages"), path)
    written: dict[str, Any] = {}
    first = system_of(messages, path, losses)
    if first is not None:
        if len(first) > 2:
            unsaid(first, BASIC, f"{path}[0]", losses, _NAME)
        said = first.get("content")
        parts = [{"text": said}] if type(said) is str else texts_of(said, f"{path}[0].content", losses, _NAME)
        written[system] = {"role": "system", "parts": parts} if system == SYSTEM_KEYS[0] else {"parts": parts}
    written["contents"] = _write_turns(messages, path, losses, begin=0 if first is None else 1)
    if row.get("tools") is not None and (declared := functions(row, tools_path, losses, _NAME)):
        written["tools"] = [{"functionDeclarations": declared}]
    return written


def _write_turns(messages: list[Any], path: str, losses: list[Loss], *, begin: int = 0) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    results: Results | None = None
    waiting: list[tuple[int, Mapping[str, Any]]] = []
    for index, item in enumerate(messages[begin:], begin):
        turn: Any = item
        if type(item) is dict and len(turn) == 2 and not waiting:
            content = turn.get("content")
            if type(content) is str:
                role = turn.get("role")
                if role == "user":
                    written.append({"role": "user", "parts": [{"text": content}]})
                    continue
                if role == "assistant":
                    written.append({"role": "model", "parts": [{"text": content}]})
                    continue
        turn = turn_of(item, f"{path}[{index}]")
        results = results or Results(by_name=True)
        if turn["role"] == "tool":
            waiting.append((index, turn))
            continue
        if waiting:
            written.append(_write_results(results.ordered(waiting, path, losses, _NAME), path, losses))
            waiting = []
        written.append(_write_turn(turn, f"{path}[{index}]", results, losses))
    if waiting and results is not None:
        written.append(_write_results(results.ordered(waiting, path, losses, _NAME), path, losses))
    return written


def _write_turn(turn: Mapping[str, Any], path: str, results: Results, losses: list[Loss]) -> dict[str, Any]:
    role = turn["role"]
    if role not in {"user", "assistant"}:
        raise other_role(role, path, _NAME)
    unsaid(turn, _ANSWER_KEYS if role == "assistant" else BASIC, path, losses, _NAME)
    parts: list[dict[str, Any]] = []
    if isinstance(thought := turn.get("reasoning_content"), str) and role == "assistant":
        parts.append({"text": thought, "thought": True})
    calls = calls_of(turn, path, losses, _NAME, said=_CALL_KEYS) if role == "assistant" else []
    if not (calls and turn.get("content") in (None, "", [])):
        for index, part in enumerate(parts_of(turn.get("content"), f"{path}.content")):
            place = f"{path}.content[{index}]"
            text = text_part(part, place, losses, _NAME)
            parts.append({"text": text} if text is not None else to_vertex(part, place, losses))
    for call, given in zip(calls, items(turn.get("tool_calls")), strict=True):
        signed = {"thoughtSignature": given["thought_signature"]} if "thought_signature" in given else {}
        parts.append({"functionCall": {"name": call.name, "args": call.arguments}, **signed})
    if calls:
        results.called(calls)
    return {"role": "user" if role == "user" else "model", "parts": parts}


def _write_results(turns: list[tuple[int, Mapping[str, Any], str]], path: str, losses: list[Loss]) -> dict[str, Any]:
    """An object is handed over as one; anything else stands under "output", as Google's pages have it."""
    parts: list[dict[str, Any]] = []
    for index, turn, name in turns:
        place = f"{path}[{index}]"
        unsaid(turn, _RESULT_KEYS, place, losses, _NAME)
        content = plain_text(turn.get("content"), f"{place}.content", losses, _NAME)
        response = object_of(content)
        if response is None or (len(response) == 1 and "output" in response):
            response = {"output": content}
        parts.append({"functionResponse": {"name": name, "response": response}})
    return {"role": "user", "parts": parts}


def _write_preference(row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
    given = mapping(row.get("input"))
    if given is None:
        raise Cannot("input", f"input is {shown(row.get('input'))}", "it must hold the prompt's messages")
    written = _write_input(given, "input.messages", "input.tools", SYSTEM_KEYS[1], losses)
    unsaid(given, _INPUT_KEYS, "input", losses, _NAME)
    scores = row.get("scores")
    scores = items(scores) if isinstance(scores, list) and len(items(scores)) == 2 else [1, 0]
    completions: list[dict[str, Any]] = []
    for key, score in zip(("preferred_output", "non_preferred_output"), scores, strict=True):
        turns = _write_turns(list_of(row.get(key), key), key, losses)
        if len(turns) != 1 or turns[0]["role"] != "model":
            raise Cannot(
                key, f"an answer of {len(turns)} turns", "a completion in Vertex rows is one turn of the model"
            )
        completions.append({"score": score, "completion": turns[0]})
    written["completions"] = completions
    unsaid(row, PREFERENCE_KEYS | {"scores"}, "", losses, _NAME)
    return written


def _write_references(row: Mapping[str, Any], losses: list[Loss]) -> dict[str, str]:
    """What a grader reads: texts by name. Other values become JSON text."""
    references: dict[str, str] = {}
    for key, value in row.items():
        if key in {"messages", "tools"} or value is None:
            continue
        if key == "parallel_tool_calls":
            losses.append(Loss(key, f"{key} {shown(value)}", "Vertex rows have no such setting"))
        elif isinstance(value, str):
            references[key] = value
        else:
            losses.append(Loss(key, f"the type of {shown(value)}", "references are texts: it becomes JSON text"))
            references[key] = str(text_of(value))
    return references


DIALECTS = (
    Vertex("vertex", "chat"),
    Vertex("vertex-preference", "preference"),
    Vertex("vertex-reinforcement", "reinforcement"),
)
