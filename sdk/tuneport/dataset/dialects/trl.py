"""TRL's rows: prompt and completion; prompt, chosen and rejected. Read as text and as messages, written as messages.

As text, TRL applies no chat template; as messages it does, so only these are what a canonical row says. TRL takes the loss over
the completion: an earlier answer in the prompt is read with weight 0, and one that was to be trained on is a loss (its
`messages` rows keep it; these are the dialect "openai").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.dataset.dialects.base import (
    PREFERENCE_KEYS,
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
    value_of,
)
from tuneport.dataset.dialects.plain import columns
from tuneport.dataset.dialects.turns import list_of, turn_of
from tuneport.dataset.rows import Kind

_CHAT = frozenset({"prompt", "completion"})
_PREFERENCE = frozenset({"prompt", "chosen", "rejected"})


class Chat(Traced):
    name = "trl"
    kind: Kind = "chat"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        messages: list[Any] = []
        _read_turns(row.get("prompt"), "prompt", "user", messages, "messages", spots)
        asked = len(messages)
        for index in range(asked):
            turn = mapping(messages[index])
            if turn is not None and turn.get("role") == "assistant" and turn.get("weight") is None:
                messages[index] = {**turn, "weight": 0}
        _read_turns(row.get("completion"), "completion", "assistant", messages, "messages", spots)
        return {"messages": messages, **_tools(row), **rest(row, _CHAT | {"messages", "tools"})}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        turns = [turn_of(turn, f"messages[{i}]") for i, turn in enumerate(list_of(row.get("messages"), "messages"))]
        trained = [i for i, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("weight") != 0]
        if not trained:
            raise Cannot("messages", "no answer that is trained on", "TRL trains on the completion")
        last = trained[-1]
        for index in trained[:-1]:
            why = "TRL trains on the completion only; --to openai writes messages that keep it"
            losses.append(Loss(f"messages[{index}].weight", "training on an earlier answer", why))
        losses.extend(
            Loss(
                f"messages[{index}]",
                f"the turn after the last answer ({turns[index]['role']})",
                "TRL would train on it",
            )
            for index in range(last + 1, len(turns))
        )
        written = {
            "prompt": [
                _write_turn(turn, f"messages[{index}]", losses, implied=turn["role"] == "assistant")
                for index, turn in enumerate(turns[:last])
            ],
            "completion": [_write_turn(turns[last], f"messages[{last}]", losses)],
        }
        return written | columns(row, frozenset({"messages"}), _CHAT, losses, "TRL")


class Preference(Traced):
    """An implicit prompt is found as TRL finds it: the longest common beginning of `chosen` and `rejected`."""

    name = "trl-preference"
    kind: Kind = "preference"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        prompt, chosen, rejected = row.get("prompt"), row.get("chosen"), row.get("rejected")
        messages: list[Any] = []
        answers: tuple[list[Any], list[Any]] = ([], [])
        shared = 0
        further: dict[str, Any] = {}
        if isinstance(chosen, list) and isinstance(rejected, list) and not isinstance(prompt, list):
            one, other = items(chosen), items(rejected)
            while shared < min(len(one), len(other)) - 1 and one[shared] == other[shared]:
                shared += 1
            if not shared and prompt is not None:  # they hold the answers alone
                _read_turns(prompt, "prompt", "user", messages, "input.messages", spots)
            else:
                _read_turns(one[:shared], "chosen", "user", messages, "input.messages", spots)
                if prompt is not None and not any((mapping(turn) or {}).get("content") == prompt for turn in messages):
                    further["prompt"] = prompt  # a column that says something else: for the checks to name
        elif prompt is None and isinstance(chosen, str) and isinstance(rejected, str):
            shared = _common(chosen, rejected)
            if shared:
                _read_turns(chosen[:shared], "chosen", "user", messages, "input.messages", spots)
        else:
            _read_turns(prompt, "prompt", "user", messages, "input.messages", spots)
        read: dict[str, Any] = {"input": {"messages": messages, **_tools(row)}}
        for key, name, turns in zip(
            ("preferred_output", "non_preferred_output"), ("chosen", "rejected"), answers, strict=True
        ):
            if spots is not None:
                spots[key] = name
            if row.get(name) is None:
                continue
            answer = row[name][shared:] if shared else row[name]
            _read_turns(answer, name, "assistant", turns, key, spots, shift=shared)
            read[key] = turns
        return {**read, **further, **rest(row, _PREFERENCE | PREFERENCE_KEYS | {"tools"})}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        given = mapping(row.get("input"))
        if given is None:
            raise Cannot("input", f"input is {shown(row.get('input'))}", "it must hold the prompt's messages")
        written: dict[str, Any] = {}
        for key, name, turns in (
            ("input.messages", "prompt", given.get("messages")),
            ("preferred_output", "chosen", row.get("preferred_output")),
            ("non_preferred_output", "rejected", row.get("non_preferred_output")),
        ):
            listed = list_of(turns, key)
            written[name] = [
                _write_turn(turn_of(turn, f"{key}[{i}]"), f"{key}[{i}]", losses) for i, turn in enumerate(listed)
            ]
        for key, value in given.items():
            if key == "tools" and value is not None:
                written["tools"] = value
            elif key != "messages" and value is not None:
                losses.append(Loss(f"input.{key}", f"{key} {shown(value)}", "TRL rows have no such setting"))
        return written | columns(row, PREFERENCE_KEYS, _PREFERENCE | {"tools"}, losses, "TRL")


def _common(chosen: str, rejected: str) -> int:
    """How much of a text is an implicit prompt: up to the first difference, a space before it left to the answers."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    return shared - 1 if shared and chosen[shared - 1] == " " else shared


def _tools(row: Mapping[str, Any]) -> dict[str, Any]:
    tools = row.get("tools")
    if tools is None:
        return {}
    found = value_of(tools) if isinstance(tools, str) else tools  # a column of JSON texts keeps Arrow's types apart
    return {"tools": found if isinstance(found, list) else tools}


def _read_turns(
    given: Any, place: str, role: str, turns: list[Any], base: str, spots: Spots | None, *, shift: int = 0
) -> None:
    """A list of turns, or a text that is one turn of `role`. Nulls are empty cells of a columnar file."""
    if isinstance(given, list):
        for index, item in enumerate(items(given)):
            if spots is not None:
                spots[f"{base}[{len(turns)}]"] = f"{place}[{index + shift}]"
                spots[f"{base}[{len(turns)}].content"] = f"{place}[{index + shift}].content"
            turns.append(_read_turn(item))
        return
    if spots is not None:
        spots[f"{base}[{len(turns)}]"] = spots[f"{base}[{len(turns)}].content"] = place
    turns.append({"role": role, "content": given})


def _read_turn(item: Any) -> Any:
    """TRL's calls carry their arguments as objects; the canonical ones as text."""
    turn = mapping(item)
    if turn is None:
        return item
    turn = {key: value for key, value in turn.items() if value is not None or key == "content"}
    if isinstance(turn.get("tool_calls"), list):
        turn["tool_calls"] = [_call(call, text_of, dict) for call in items(turn["tool_calls"])]
    return turn


def _write_turn(turn: Mapping[str, Any], path: str, losses: list[Loss], *, implied: bool = False) -> dict[str, Any]:
    """`implied`: the turn's place says whether it is trained on, so that its weight may go."""
    written = {key: value for key, value in turn.items() if (key != "weight" and value is not None) or key == "content"}
    if not implied and turn.get("weight") not in (None, 1):
        losses.append(Loss(f"{path}.weight", f"weight {shown(turn['weight'])}", "TRL rows have no weights"))
    if isinstance(turn.get("tool_calls"), list):
        written["tool_calls"] = [_call(call, object_of, str) for call in items(turn["tool_calls"])]
    return written


def _call(item: Any, change: Any, kind: type) -> Any:
    """A call with its arguments changed, where they are of `kind` and the change makes something of them."""
    call = mapping(item)
    function = mapping(call.get("function")) if call is not None else None
    if call is None or function is None or not isinstance(given := function.get("arguments"), kind):
        return item
    made = change(given)
    return item if made is None else {**call, "function": {**function, "arguments": made}}


DIALECTS = (Preference(), Chat())
