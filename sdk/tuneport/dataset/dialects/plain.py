"""The rows of open datasets: text, Alpaca and ShareGPT. Further columns are carried along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.dataset.dialects.base import (
    Calls,
    Cannot,
    Loss,
    Spots,
    Traced,
    items,
    mapping,
    rest,
    shown,
    text_of,
    value_of,
)
from tuneport.dataset.dialects.bedrock import exchange
from tuneport.dataset.dialects.turns import (
    BASIC,
    Results,
    call_entry,
    calls_of,
    functions,
    list_of,
    other_role,
    plain_text,
    turn_of,
    unsaid,
)
from tuneport.dataset.rows import Kind


def columns(
    row: Mapping[str, Any], own: frozenset[str], taken: frozenset[str], losses: list[Loss], name: str
) -> dict[str, Any]:
    """What a row holds beside its dialect's own keys; a column whose name the target needs for itself is a loss."""
    carried: dict[str, Any] = {}
    for key, value in row.items():
        if key in own or value is None:
            continue
        if key in taken:
            losses.append(Loss(key, f"the column {key!r}", f"{name} rows need this name for themselves"))
        else:
            carried[key] = value
    return carried


class Text:
    """`{"text": …}`, which is canonical."""

    name = "text"
    kind: Kind = "text"

    def matches(self, row: Mapping[str, Any]) -> bool:
        from tuneport.dataset.dialects.detect import detect

        return detect(row) == self.name

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": row.get("text"), **rest(row, ("text",))}

    def write(self, canonical: Mapping[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
        if not isinstance(text := canonical.get("text"), str):
            return {}, [Loss("text", f"text is {shown(text)}", "it must be a text", fatal=True)]
        return dict(canonical), []

    def write_plain(self, turns: list[dict[str, Any]]) -> dict[str, Any] | None:
        del turns  # a conversation is no text
        return None

    def where(self, path: str, row: Mapping[str, Any]) -> str:
        del row  # written as it is read
        return path


_ALPACA = frozenset({"instruction", "input", "output", "system", "history"})


class Alpaca(Traced):
    """Stanford's `instruction`, `input`, `output`; LlamaFactory's `system` and `history` are read too.

    Instruction and input become one question of two lines, as LlamaFactory joins them. Written are Stanford's three keys, which
    every tool reads: a system turn is a loss, and a longer conversation cannot be said.
    """

    name = "alpaca"
    kind: Kind = "chat"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        messages: list[Any] = []

        def add(role: str, content: Any, place: str) -> None:
            if spots is not None:
                spots[f"messages[{len(messages)}]"] = spots[f"messages[{len(messages)}].content"] = place
            messages.append({"role": role, "content": content})

        if row.get("system") not in (None, ""):
            add("system", row["system"], "system")
        history = row.get("history")
        pairs = [items(pair) for pair in items(history)]
        known = isinstance(history, list) and all(len(pair) == 2 for pair in pairs)
        if known:
            for index, (asked, answered) in enumerate(pairs):
                add("user", asked, f"history[{index}][0]")
                add("assistant", answered, f"history[{index}][1]")
        asked, given = row.get("instruction"), row.get("input")
        if given in (None, ""):
            add("user", asked, "instruction")
        elif asked in (None, ""):
            add("user", given, "input")
        elif isinstance(asked, str) and isinstance(given, str):
            add("user", f"{asked}\n{given}", "instruction, input")
        else:
            add("user", {"instruction": asked, "input": given}, "instruction, input")
        add("assistant", row.get("output"), "output")
        own = {"messages", *(_ALPACA - ({"history"} if not known else set()))}
        return {"messages": messages, **rest(row, own)}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        asked, answered = exchange(row, losses, "Alpaca")
        if row.get("tools"):
            losses.append(Loss("tools", "the declared tools", "Alpaca rows have no tools"))
        carried = columns(row, frozenset({"messages", "tools"}), _ALPACA, losses, "Alpaca")
        return {"instruction": asked, "input": "", "output": answered, **carried}


_FROM = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "chatgpt": "assistant", "system": "system", "observation": "tool", "tool": "tool", "function_response": "tool",
}  # fmt: skip
_SHAREGPT = frozenset({"conversations", "system"})
_ANSWER_KEYS = BASIC | {"tool_calls"}
_RESULT_KEYS = BASIC | {"tool_call_id"}
_SAID = {"system": "system", "developer": "system", "user": "human", "assistant": "gpt"}


class ShareGPT(Traced):
    """`conversations` of `from` and `value`, with calls, results and tools as LlamaFactory writes them.

    A call is a turn of its own (`function_call`, its value a JSON object or a list of them), its result an `observation`, and
    `tools` is a JSON text. Turns of `role` and `content` are read as well. Results answer calls in order.
    """

    name = "sharegpt"
    kind: Kind = "chat"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        messages: Any = []
        calls = Calls()
        if row.get("system") not in (None, ""):
            if spots is not None:
                spots |= {"messages[0]": "system", "messages[0].content": "system"}
            messages.append({"role": "system", "content": row["system"]})
        given = row.get("conversations")
        for index, turn in enumerate(items(given)):
            if spots is not None:
                _spot(turn, f"conversations[{index}]", f"messages[{len(messages)}]", spots)
            messages.append(_read_turn(turn, calls))
        if not isinstance(given, list):
            messages = given
        read: dict[str, Any] = {"messages": messages}
        if spots is not None:
            spots["messages"] = "conversations"
        if row.get("tools") not in (None, "", []):
            read["tools"] = _read_tools(row["tools"])
        return {**read, **rest(row, _SHAREGPT | {"messages", "tools"})}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        messages = list_of(row.get("messages"), "messages")
        turns: list[dict[str, Any]] = []
        results = Results(by_name=False)
        waiting: list[tuple[int, Mapping[str, Any]]] = []
        for index, item in enumerate(messages):
            turn = turn_of(item, f"messages[{index}]")
            if turn["role"] == "tool":
                waiting.append((index, turn))
                continue
            turns.extend(_write_results(waiting, results, losses))
            waiting = []
            turns.append(_write_turn(turn, f"messages[{index}]", results, losses))
        turns.extend(_write_results(waiting, results, losses))
        written: dict[str, Any] = {"conversations": turns}
        if declared := functions(row, "tools", losses, "ShareGPT"):
            written["tools"] = text_of(declared)
        return written | columns(row, frozenset({"messages", "tools"}), _SHAREGPT, losses, "ShareGPT")


def _spot(turn: Any, place: str, own: str, spots: Spots) -> None:
    spots[own] = place
    given = mapping(turn)
    if given is not None and ("from" in given or "value" in given):
        spots[f"{own}.role"] = f"{place}.from"
        spots[f"{own}.content"] = spots[f"{own}.tool_calls"] = f"{place}.value"


def _read_turn(turn: Any, calls: Calls) -> Any:
    given = mapping(turn)
    if given is None:
        return turn
    if "from" not in given and "value" not in given:
        role = given.get("role")
        return {**given, "role": _FROM.get(role, role)} if isinstance(role, str) else turn
    said, value = given.get("from"), given.get("value")
    further = rest(given, ("from", "value", *BASIC))
    if said == "function_call":
        made = _read_calls(value, calls)
        return {"role": "assistant", "content": None, "tool_calls": made, **further}
    role = _FROM.get(said, said) if isinstance(said, str) else said
    if role == "tool":
        return {"role": "tool", "tool_call_id": calls.answered(), "content": value, **further}
    return {"role": role, "content": value, **further}


def _read_calls(value: Any, calls: Calls) -> Any:
    """The calls of a `function_call` turn; the value itself where it holds none."""
    found = value_of(value)
    given = [mapping(call) for call in (items(found) if isinstance(found, list) else [found])]
    if not given or any(call is None or not call.keys() <= {"name", "arguments"} for call in given):
        return value
    made = [call_entry(calls.made(), call.get("name"), call.get("arguments")) for call in given if call is not None]
    calls.open = [(call["id"], call["function"]["name"]) for call in made]
    return made


def _read_tools(tools: Any) -> Any:
    found = value_of(tools) if isinstance(tools, str) else tools
    if not isinstance(found, list):
        return tools
    wrapped: list[Any] = []
    for tool in items(found):
        given = mapping(tool)
        bare = given is not None and "function" not in given and "name" in given
        wrapped.append({"type": "function", "function": tool} if bare else tool)
    return wrapped


def _write_turn(turn: Mapping[str, Any], path: str, results: Results, losses: list[Loss]) -> dict[str, Any]:
    role, content = turn["role"], turn.get("content")
    said = _SAID.get(role)
    if said is None:
        raise other_role(role, path, "ShareGPT")
    if role == "developer":
        losses.append(Loss(f"{path}.role", "the role 'developer'", "it becomes a system turn"))
    unsaid(turn, _ANSWER_KEYS if role == "assistant" else BASIC, path, losses, "ShareGPT")
    calls = calls_of(turn, path, losses, "ShareGPT") if role == "assistant" else []
    if not calls:
        return {"from": said, "value": plain_text(content, f"{path}.content", losses, "ShareGPT")}
    if content not in (None, "", []):
        raise Cannot(
            f"{path}.content",
            f"the text {shown(content)} beside a call",
            "a call in ShareGPT rows is a turn of its own",
        )
    results.called(calls)
    made = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return {"from": "function_call", "value": text_of(made[0] if len(made) == 1 else made)}


def _write_results(
    waiting: list[tuple[int, Mapping[str, Any]]], results: Results, losses: list[Loss]
) -> list[dict[str, Any]]:
    if not waiting:
        return []
    written: list[dict[str, Any]] = []
    for index, turn, _ in results.ordered(waiting, "messages", losses, "ShareGPT"):
        path = f"messages[{index}]"
        unsaid(turn, _RESULT_KEYS, path, losses, "ShareGPT")
        written.append(
            {"from": "observation", "value": plain_text(turn.get("content"), f"{path}.content", losses, "ShareGPT")}
        )
    return written


DIALECTS = (ShareGPT(), Alpaca(), Text())
