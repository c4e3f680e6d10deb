"""What the writers share: texts, tools, calls and their results, and the losses that each may bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tuneport.dataset.dialects.base import Calls, Cannot, Loss, items, mapping, object_of, shown, text_of

BASIC = frozenset({"role", "content"})
SYSTEM = frozenset({"system", "developer"})
_FUNCTION = ("name", "description", "parameters")
_TOOL_KEYS = frozenset({"type", "function"})
_FUNCTION_KEYS = frozenset(_FUNCTION)
_CALLED_KEYS = frozenset({"name", "arguments"})
_TEXT_KEYS = frozenset({"type", "text"})
CALL_KEYS = frozenset({"id", "type", "function"})
_WHYS = {
    "weight": "{name} rows have no weights",
    "name": "turns in {name} rows have no names",
    "parallel_tool_calls": "{name} rows have no such setting",
    "strict": "{name} rows have no strict functions",
}


def list_of(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Cannot(path, f"{path} is {shown(value)}", "it must be a list of turns")
    return items(value)


def turn_of(value: Any, path: str) -> Mapping[str, Any]:
    turn = mapping(value)
    if turn is None or not isinstance(turn.get("role"), str):
        raise Cannot(path, f"the turn is {shown(value)}", "a turn has a role and content")
    return turn


def unsaid(part: Mapping[str, Any], said: frozenset[str], path: str, losses: list[Loss], name: str) -> None:
    """A loss for each key that the dialect lacks. A null, an empty list of calls and weight 1 say nothing."""
    if part.keys() <= said:
        return
    for key, value in part.items():
        if key in said or value is None or (key == "weight" and value == 1):
            continue
        place = f"{path}.{key}" if path else key
        if key in {"tool_calls", "function_call"}:
            if value != []:
                raise Cannot(place, f"{key} {shown(value)}", _no_calls(key, name))
            continue
        why = _WHYS.get(key, "{name} rows have no such key").format(name=name)
        if key == "weight" and value == 0 and part.get("role") == "assistant" and path.startswith("messages"):
            why += ", and train on this turn as on any other"
        losses.append(Loss(place, f"{key} {shown(value)}", why))


def _no_calls(key: str, name: str) -> str:
    return (
        "the old form of a call; write tool_calls" if key == "function_call" else f"{name} rows have no calls of tools"
    )


def texts_of(content: Any, path: str, losses: list[Loss], name: str) -> list[dict[str, Any]]:
    """A system turn's content as `{"text": …}`, the form that Bedrock and Vertex share."""
    found: list[dict[str, Any]] = []
    for index, part in enumerate(parts_of(content, path)):
        text = text_part(part, f"{path}[{index}]", losses, name)
        if text is None:
            raise Cannot(f"{path}[{index}]", f"the part {shown(part)}", "a system turn is text only")
        found.append({"text": text})
    return found


def parts_of(content: Any, path: str) -> list[Mapping[str, Any]]:
    """A turn's content as parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise Cannot(path, f"content is {shown(content)}", "it must be a text or a list of parts")
    found: list[Mapping[str, Any]] = []
    for index, item in enumerate(items(content)):
        part = mapping(item)
        if part is None:
            raise Cannot(f"{path}[{index}]", f"the part {shown(item)}", "a part is an object with a type")
        found.append(part)
    return found


def text_part(part: Mapping[str, Any], path: str, losses: list[Loss], name: str) -> str | None:
    """The text of a text part; None where it is another part."""
    if part.get("type") != "text" or not isinstance(text := part.get("text"), str):
        return None
    if len(part) > 2:
        unsaid(part, _TEXT_KEYS, path, losses, name)
    return text


def plain_text(content: Any, path: str, losses: list[Loss], name: str) -> str:
    """Content as one text, where the dialect knows nothing else: several text parts become lines."""
    if isinstance(content, str):
        return content
    parts = parts_of(content, path)
    texts: list[str] = []
    for index, part in enumerate(parts):
        text = text_part(part, f"{path}[{index}]", losses, name)
        if text is None:
            what = f"the part of type {shown(part.get('type'))}"
            raise Cannot(f"{path}[{index}]", what, f"content in {name} rows is text only")
        texts.append(text)
    if len(texts) != 1:
        losses.append(Loss(path, f"the division into {len(texts)} parts", f"content in {name} rows is one text"))
    return "\n".join(texts)


def system_of(messages: Sequence[Any], path: str, losses: list[Loss]) -> Mapping[str, Any] | None:
    """The first turn where it is the system's. Further ones are refused by the writers as an unknown role."""
    first = mapping(messages[0]) if messages else None
    if first is None or first.get("role") not in ("system", "developer"):  # a tuple: a role may be unhashable
        return None
    if first.get("role") == "developer":
        losses.append(Loss(f"{path}[0].role", "the role 'developer'", "it becomes the system turn"))
    return first


def other_role(role: Any, path: str, name: str) -> Cannot:
    if role in ("system", "developer"):
        return Cannot(path, "a system turn after the first turn", f"{name} rows have one, at the beginning")
    return Cannot(path, f"a turn of role {shown(role)}", f"{name} rows have no such role")


def functions(row: Mapping[str, Any], path: str, losses: list[Loss], name: str) -> list[dict[str, Any]]:
    """The declared functions: name, description, parameters."""
    tools = row.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise Cannot(path, f"tools is {shown(tools)}", "it must be a list of tools")
    found: list[dict[str, Any]] = []
    for index, item in enumerate(items(tools)):
        place = f"{path}[{index}]"
        tool = mapping(item) or {}
        function = mapping(tool.get("function"))
        if function is None or not isinstance(function.get("name"), str):
            raise Cannot(place, f"the tool {shown(item)}", f"tools in {name} rows are functions with a name")
        unsaid(tool, _TOOL_KEYS, place, losses, name)
        unsaid(function, _FUNCTION_KEYS, f"{place}.function", losses, name)
        found.append({key: function[key] for key in _FUNCTION if function.get(key) is not None})
    return found


class Call(NamedTuple):
    id: Any
    name: str
    arguments: dict[str, Any]


def calls_of(
    turn: Mapping[str, Any], path: str, losses: list[Loss], name: str, *, said: frozenset[str] = CALL_KEYS
) -> list[Call]:
    """The calls of an assistant turn."""
    calls = turn.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise Cannot(f"{path}.tool_calls", f"tool_calls is {shown(calls)}", "it must be a list of calls")
    found: list[Call] = []
    for index, item in enumerate(items(calls)):
        place = f"{path}.tool_calls[{index}]"
        call = mapping(item) or {}
        function = mapping(call.get("function"))
        called = function.get("name") if function is not None else None
        if function is None or not isinstance(called, str):
            raise Cannot(place, f"the call {shown(item)}", "a call names its function")
        unsaid(call, said, place, losses, name)
        unsaid(function, _CALLED_KEYS, f"{place}.function", losses, name)
        given = function.get("arguments")
        arguments = dict(already) if (already := mapping(given)) is not None else object_of(given)
        if arguments is None:
            raise Cannot(f"{place}.function.arguments", f"the arguments {shown(given)}", "they are not a JSON object")
        found.append(Call(call.get("id"), called, arguments))
    return found


class Results:
    """The calls that wait for results while a row is written, and what a reader will make of the results' order."""

    def __init__(self, *, by_name: bool) -> None:
        self._by_name = by_name
        self._calls: list[tuple[Any, Any]] = []
        self._reader = Calls()

    def called(self, calls: Sequence[Call]) -> None:
        self._calls = [(call.id, call.name) for call in calls]
        self._reader.open = list(self._calls)

    def ordered(
        self, turns: Sequence[tuple[int, Mapping[str, Any]]], path: str, losses: list[Loss], name: str
    ) -> list[tuple[int, Mapping[str, Any], str]]:
        """Results that stand together, in the order of their calls and each with its function's name.

        Where the dialect has no ids, the reader pairs by name or order: a loss where that would pair otherwise.
        """
        ids = [call for call, _ in self._calls]
        found: list[tuple[int, int, Mapping[str, Any], str]] = []
        for index, turn in turns:
            given = turn.get("tool_call_id")
            if given not in ids:
                place = f"{path}[{index}].tool_call_id"
                raise Cannot(place, f"the result of {shown(given)}", "no call before it has this id")
            position = ids.index(given)
            found.append((position, index, turn, self._calls[position][1]))
        found.sort(key=lambda item: item[0])
        for _, index, turn, called in found:
            if self._reader.answered(called, by_name=self._by_name) != turn.get("tool_call_id"):
                why = f"{name} rows have no ids, and some results are missing"
                losses.append(Loss(f"{path}[{index}].tool_call_id", "which call the result answers", why))
        return [(index, turn, called) for _, index, turn, called in found]


def call_entry(identity: Any, name: Any, arguments: Any, **further: Any) -> dict[str, Any]:
    """A canonical call; arguments that are no text are written as one."""
    text = "{}" if arguments is None else arguments if isinstance(arguments, str) else text_of(arguments)
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}, **further}
