"""Where in a rendered conversation the assistant speaks, found without any help from the template.

Stock templates mark nothing, and few render a conversation's beginning the way they render it alone (Qwen3 thinks only in the
last turn, Mistral puts tools before the last question). So each turn is found by rendering the conversation again with the turn
replaced by a mark that occurs nowhere, and by comparing: what comes before and behind the mark is the template's, and the rest
is the turn. Exact string comparison throughout: where it finds nothing, the row is refused and said, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuneport_local.templates import Messages, Unusable

Render = Callable[[Messages, bool], str]
"""(messages, with generation prompt) -> text; raises `Unusable`."""


@dataclass(frozen=True)
class Turn:
    """Character positions in the rendered conversation: the answer is [start, end), its closing text [end, closing)."""

    start: int
    end: int
    closing: int


def locate(render: Render, messages: Messages, index: int, text: str) -> Turn:
    """Find assistant turn `index` in `text`, which is `render(messages, False)`.

    The answer starts where the generation prompt ends, so that all that the model will have to say is trained (an empty <think>
    block, too); where the template puts another header before a past turn, it starts behind that.
    Raises `Unusable` where the turn cannot be told from its surroundings.
    """
    mark = next(sign for sign in map(chr, range(0xE000, 0xF8FF)) if sign not in text)
    finder = _Finder(render, messages, index, text, mark)
    start, (end, closing) = finder.start(), finder.end()
    if not 0 <= start <= end:
        raise finder.lost()
    return Turn(start, end, closing)


class _Finder:
    def __init__(self, render: Render, messages: Messages, index: int, text: str, mark: str) -> None:
        self.render, self.text, self.mark, self.index = render, text, mark, index
        self.head, self.turn, self.rest = messages[:index], messages[index], messages[index + 1 :]
        self.swaps: Messages = [{"role": "assistant", "content": mark}]
        if self.turn.get("tool_calls"):
            # Some templates count turns that call nothing and refuse the swap; for them the mark stands in the calls.
            calls = [_marked(call, mark) for call in self.turn["tool_calls"]]
            self.swaps.append({**self.turn, "content": mark, "tool_calls": calls})

    def lost(self) -> Unusable:
        return Unusable(f"turn not found: the chat template hides or changes assistant message {self.index + 1}")

    def end(self) -> tuple[int, int]:
        """Where the answer ends, and where its closing text does."""
        text, alone = self.text, self.around(0, [])
        until = self.rendered([*self.head, self.turn]) if self.rest else text
        if alone is not None and until is not None:
            end = len(until) - _common_suffix(until, alone[1])
            shared = _common_prefix(text, until)
            if end <= shared:
                return end, shared
        # The turn is rendered otherwise once others follow it.
        for number in range(len(self.swaps)):
            alone, whole = self.around(number, []), self.around(number, self.rest)
            if alone is not None and whole is not None:
                end = len(text) - _common_suffix(text, whole[1])
                return end, end + _common_prefix(text[end:], alone[1])
        raise self.lost()

    def start(self) -> int:
        """Where the answer starts, or -1."""
        prompt = self.rendered(self.head, prompt=True)
        if prompt is not None and self.text.startswith(prompt):
            return len(prompt)
        # The beginning is rendered otherwise now: look for the same header right behind the previous message.
        if self.head:
            marked = [*self.head[:-1], {**self.head[-1], "content": self.mark}]
            before, header = self.split([*marked, self.turn, *self.rest]), self.split(marked, prompt=True)
            if before is not None and header is not None and self.text.endswith(before[1]):
                place = len(self.text) - len(before[1])
                if self.text.startswith(header[1], place):
                    return place + len(header[1])
        # The generation prompt itself differs from what stands before an answer: take what stands before any.
        whole = self.around(0, self.rest)
        return len(whole[0]) if whole is not None and self.text.startswith(whole[0]) else -1

    def around(self, swap: int, rest: Messages) -> tuple[str, str] | None:
        """The text before and behind the mark that stands for the turn; None where the template will not have it so."""
        return self.split([*self.head, self.swaps[swap], *rest])

    def split(self, messages: Messages, *, prompt: bool = False) -> tuple[str, str] | None:
        text = self.rendered(messages, prompt=prompt)
        if text is None or self.mark not in text:
            return None
        return text.partition(self.mark)[0], text.rpartition(self.mark)[2]

    def rendered(self, messages: Messages, *, prompt: bool = False) -> str | None:
        try:
            return self.render(messages, prompt)
        except Unusable:
            return None


def _marked(call: dict[str, Any], mark: str) -> dict[str, Any]:
    arguments: Any = {mark: mark} if isinstance(call["function"]["arguments"], dict) else mark
    return {**call, "function": {"name": mark, "arguments": arguments}}


def _common_prefix(a: str, b: str) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:  # bisecting compares in C, where a loop over long conversations would not
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a.startswith(b[:middle]) else (low, middle - 1)
    return low


def _common_suffix(a: str, b: str) -> int:
    return _common_prefix(a[::-1], b[::-1])
