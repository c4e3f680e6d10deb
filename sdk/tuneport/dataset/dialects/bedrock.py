"""Amazon Bedrock's rows: Converse (its own module), Claude 3 Haiku, prompt/completion (Llama 3.1), continued pre-training.

Bedrock's reinforcement rows are OpenAI's with `reference_answer`: that is "openai-reinforcement". A row of prompt and
completion is detected as "trl", which is written alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tuneport.dataset.dialects.base import CHAT_KEYS, Cannot, Loss, Spots, Traced, items, rest, shown
from tuneport.dataset.dialects.converse import Converse
from tuneport.dataset.dialects.detect import detect
from tuneport.dataset.dialects.turns import BASIC, list_of, other_role, plain_text, system_of, turn_of, unsaid
from tuneport.dataset.rows import Kind


class Claude(Traced):
    """`{"system"?, "messages": [{role, content: text}]}`: user and assistant, text only."""

    name = "bedrock-claude"
    kind: Kind = "chat"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        messages = row.get("messages")
        system = row.get("system")
        if system is not None and isinstance(messages, list):
            if spots is not None:
                spots |= {f"messages[{index + 1}]": f"messages[{index}]" for index in range(len(items(messages)))}
                spots |= {"messages": "messages", "messages[0]": "system", "messages[0].content": "system"}
            messages = [{"role": "system", "content": system}, *items(messages)]
        elif system is not None:
            return {"messages": messages, **rest(row, CHAT_KEYS)}
        return {"messages": messages, **rest(row, {"system", "messages"})}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        messages = list_of(row.get("messages"), "messages")
        written: dict[str, Any] = {}
        first = system_of(messages, "messages", losses)
        if first is not None:
            unsaid(first, BASIC, "messages[0]", losses, "Claude")
            written["system"] = plain_text(first.get("content"), "messages[0].content", losses, "Claude")
        turns: list[dict[str, Any]] = []
        for index in range(0 if first is None else 1, len(messages)):
            path = f"messages[{index}]"
            turn = turn_of(messages[index], path)
            if turn["role"] not in {"user", "assistant"}:
                raise other_role(turn["role"], path, "Claude")
            unsaid(turn, BASIC, path, losses, "Claude")
            content = plain_text(turn.get("content"), f"{path}.content", losses, "Claude")
            turns.append({"role": turn["role"], "content": content})
        written["messages"] = turns
        unsaid(row, frozenset({"messages"}), "", losses, "Claude")
        return written


class Completion(Traced):
    """`{"prompt", "completion"}`, both text: one question and one answer."""

    name = "bedrock-completion"
    kind: Kind = "chat"

    def matches(self, row: Mapping[str, Any]) -> bool:
        texts = isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str)
        return texts and detect(row) == "trl"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        if spots is not None:
            spots |= {
                "messages[0]": "prompt",
                "messages[0].content": "prompt",
                "messages[1]": "completion",
                "messages[1].content": "completion",
            }
        asked = {"role": "user", "content": row.get("prompt")}
        answered = {"role": "assistant", "content": row.get("completion")}
        return {"messages": [asked, answered], **rest(row, {"prompt", "completion", "messages"})}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        prompt, completion = exchange(row, losses, "prompt/completion")
        unsaid(row, frozenset({"messages"}), "", losses, "prompt/completion")
        return {"prompt": prompt, "completion": completion}


class Text(Traced):
    """`{"input": text}`: continued pre-training."""

    name = "bedrock-text"
    kind: Kind = "text"

    def trace(self, row: Mapping[str, Any], spots: Spots | None) -> dict[str, Any]:
        if spots is not None:
            spots["text"] = "input"
        return {"text": row.get("input"), **rest(row, {"input", "text"})}

    def compose(self, row: Mapping[str, Any], losses: list[Loss]) -> dict[str, Any]:
        text = row.get("text")
        if not isinstance(text, str):
            raise Cannot("text", f"text is {shown(text)}", "it must be a text")
        unsaid(row, frozenset({"text"}), "", losses, "Bedrock's pre-training")
        return {"input": text}


def exchange(row: Mapping[str, Any], losses: list[Loss], name: str) -> tuple[str, str]:
    """The one question and the one answer of a chat row. A system turn before them is a loss."""
    messages = list_of(row.get("messages"), "messages")
    turns = [turn_of(turn, f"messages[{index}]") for index, turn in enumerate(messages)]
    begin = 0
    if turns and turns[0]["role"] in ("system", "developer"):
        begin = 1
        losses.append(
            Loss("messages[0]", f"the system turn {shown(turns[0].get('content'))}", f"{name} rows have none")
        )
    roles = [cast("str", turn["role"]) for turn in turns[begin:]]
    if roles != ["user", "assistant"]:
        said = ", ".join(roles) or "none"
        raise Cannot("messages", f"the turns ({said})", f"{name} rows hold one of the user and one of the assistant")
    texts: list[str] = []
    for index in (begin, begin + 1):
        unsaid(turns[index], BASIC, f"messages[{index}]", losses, name)
        texts.append(plain_text(turns[index].get("content"), f"messages[{index}].content", losses, name))
    if turns[-1].get("weight") == 0:
        raise Cannot(f"messages[{begin + 1}].weight", "weight 0", f"{name} rows are trained on their only answer")
    return texts[0], texts[1]


DIALECTS = (Converse(), Claude(), Completion(), Text())
