"""A row on its way through the checks, and the texts that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

Kind = Literal["chat", "preference", "reinforcement", "text"]
Split = Literal["train", "validation", "test"]


class Text(NamedTuple):
    """One piece of text of a canonical row. `trained`: the loss is taken over it."""

    path: str
    role: str
    text: str
    trained: bool


@dataclass(slots=True)
class Row:
    """`number` is 1-based (in JSONL: the line); `data` is as read, `canonical` in the canonical dialect.

    canonical, by `kind`:
      chat           {"messages": […], "tools"?, "parallel_tool_calls"?}
      preference     {"input": {"messages": […], "tools"?}, "preferred_output": […], "non_preferred_output": […]}
      reinforcement  {"messages": […, user], "tools"?, any other key that a grader reads}
      text           {"text": "…"}
    It is None where the row cannot be said so (an issue says why). `raw` is the line's bytes, b"" where rows were never text.
    `plain`: it was seen on reading that this is a plain conversation (`shape`), which is its own canonical form.
    `said`: the line in the dialect asked for, where reading has written it and kept nothing else (`lines.parse`).
    """

    number: int
    data: Mapping[str, Any]
    raw: bytes = b""
    dialect: str | None = None
    kind: Kind = "chat"
    canonical: Mapping[str, Any] | None = None
    plain: bool = False
    said: bytes | None = None
    _texts: list[Text] | None = field(default=None, repr=False)

    @property
    def texts(self) -> list[Text]:
        """Every piece of text with its canonical path; found once and kept. Broken parts are passed over."""
        if self._texts is None:
            self._texts = list(_texts(self.canonical, self.kind)) if self.canonical is not None else []
        return self._texts


@dataclass(slots=True)
class Batch:
    """Rows that are checked together in one call: of one source, in order."""

    source: str
    split: Split
    rows: list[Row]


def _texts(row: Mapping[str, Any], kind: Kind) -> Iterator[Text]:
    if kind == "text":
        if isinstance(text := row.get("text"), str):
            yield Text("text", "text", text, True)
        return
    if kind == "preference":
        given = row.get("input")
        if isinstance(given, Mapping):
            yield from _turns(cast("Mapping[str, Any]", given).get("messages"), "input.messages", train=False)
        for key in ("preferred_output", "non_preferred_output"):
            yield from _turns(row.get(key), key, train=True)
        return
    yield from _turns(row.get("messages"), "messages", train=kind == "chat")


def _turns(turns: Any, path: str, *, train: bool) -> Iterator[Text]:
    if not isinstance(turns, list):
        return
    for number, turn in enumerate(cast("list[Any]", turns)):
        if not isinstance(turn, dict):
            continue
        turn = cast("dict[str, Any]", turn)
        role = turn.get("role")
        role = role if isinstance(role, str) else ""
        trained = train and role == "assistant" and turn.get("weight") != 0
        content = turn.get("content")
        if isinstance(content, str):
            yield Text(f"{path}[{number}].content", role, content, trained)
        elif isinstance(content, list):
            for index, part in enumerate(cast("list[Any]", content)):
                text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else None
                if isinstance(text, str):
                    yield Text(f"{path}[{number}].content[{index}].text", role, text, trained)
        calls = turn.get("tool_calls")
        if isinstance(calls, list):
            for index, call in enumerate(cast("list[Any]", calls)):
                function = cast("dict[str, Any]", call).get("function") if isinstance(call, dict) else None
                arguments = cast("dict[str, Any]", function).get("arguments") if isinstance(function, dict) else None
                if isinstance(arguments, str):
                    place = f"{path}[{number}].tool_calls[{index}].function.arguments"
                    yield Text(place, role, arguments, trained)
