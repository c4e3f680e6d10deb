"""The rows that the simulated Bedrock takes, by its own reading of the user guide. A wrong one fails the job in validation.

Nova and Llama 3.2: Converse rows; Claude 3 Haiku: messages of plain text; Llama 3.1: prompt and completion; continued
pre-training: input; reinforcement: messages with a reference answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

Row = dict[str, Any]
Taught = str | list[Row]  # an answer: a text, or the blocks of one that uses tools
_FORBIDDEN = (
    *("System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:", "Assistant:", "ASSISTANT:", "Thought:", "[EOS]"),
    *("<image>", "<video>"),
)
_MOST_IMAGES = 10


class Refused(Exception):
    """Why the data set is not taken, in the words of a failureMessage."""


@dataclass(frozen=True)
class Rules:
    shape: str  # converse | claude | completion
    least: int
    most: int
    nova: bool = False


def rules_for(model: str) -> Rules:
    if model.startswith("amazon.nova"):
        return Rules("converse", 8, 20_000, nova=True)
    if model.startswith("anthropic.claude-3-haiku"):
        return Rules("claude", 32, 10_000)
    if model.startswith("meta.llama3-1"):
        return Rules("completion", 1, 10_000)
    return Rules("converse", 1, 10_000)


def learnt(raw: bytes, model: str, kind: str, *, training: bool = True) -> list[tuple[str, Taught]]:
    """What the file teaches: pairs of a question (`key`) and its answer. Refused for a file that is not taken."""
    rules = rules_for(model)
    least, most = (100, 20_000) if kind == "REINFORCEMENT_FINE_TUNING" else (rules.least, rules.most)
    pairs: list[tuple[str, Taught]] = []
    count = 0
    for number, row in _rows(raw):
        count += 1
        if kind == "REINFORCEMENT_FINE_TUNING":
            pairs.append(_graded(row, number))
        elif kind == "CONTINUED_PRE_TRAINING":
            _keys(row, {"input"}, set(), number)
            _text(row["input"], "input", number)
        elif rules.shape == "claude":
            pairs.append(_claude(row, number))
        elif rules.shape == "completion":
            _keys(row, {"prompt", "completion"}, set(), number)
            asked, answered = _text(row["prompt"], "prompt", number), _text(row["completion"], "completion", number)
            pairs.append((key("", [asked]), answered))
        else:
            pairs.append(_converse(row, number, nova=rules.nova, answered=kind != "DISTILLATION"))
    if training and not least <= count <= most:
        raise Refused(f"The training dataset has {count} records: between {least} and {most} are required.")
    if not count:
        raise Refused("The dataset is empty.")
    return pairs


def key(system: str, turns: list[str]) -> str:
    """A conversation up to its last question, to be found again."""
    return json.dumps([system.strip(), *(turn.strip() for turn in turns)], ensure_ascii=False)


def said(content: Any) -> str:
    """The text of Converse blocks."""
    blocks = cast("list[Any]", content) if isinstance(content, list) else []
    texts = [cast("Row", block).get("text") for block in blocks if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _rows(raw: bytes) -> Iterator[tuple[int, Row]]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("The dataset is not UTF-8.") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise Refused(f"Record {number} is not valid JSON.") from None
        if not isinstance(row, dict):
            raise Refused(f"Record {number} is not a JSON object.")
        yield number, cast("Row", row)


def _converse(row: Row, number: int, *, nova: bool, answered: bool) -> tuple[str, Taught]:
    _keys(row, {"schemaVersion", "messages"}, {"system"} if nova else {"system", "toolConfig"}, number)
    if row["schemaVersion"] != "bedrock-conversation-2024":
        raise Refused(f"Record {number}: schemaVersion {row['schemaVersion']!r} is not supported.")
    system = row.get("system")
    if system is not None and (not isinstance(system, list) or not system or not said(system)):
        raise Refused(f"Record {number}: system must be a list of text blocks.")
    turns = _turns(row["messages"], number, ends="assistant" if answered else None)
    images = 0
    for turn in turns:
        _keys(turn, {"role", "content"}, set(), number)
        content = turn["content"]
        if not isinstance(content, list) or not content:
            raise Refused(f"Record {number}: content must be a list of blocks.")
        for block in cast("list[Any]", content):
            kinds = set(cast("Row", block)) if isinstance(block, dict) else set[str]()
            if len(kinds) != 1 or (nova and not kinds <= {"text", "image", "video"}):
                raise Refused(f"Record {number}: a block of content is not supported: {sorted(kinds)}.")
            if kinds & {"image", "video"}:
                images += 1
                if turn["role"] != "user" or images > _MOST_IMAGES:
                    raise Refused(f"Record {number}: images stand in user turns, at most {_MOST_IMAGES}.")
        if nova and (found := next((word for word in _FORBIDDEN if word in said(content)), None)):
            raise Refused(f"Record {number}: {found!r} is a reserved keyword.")
    asked, answer = _pair(said(system) if system else "", [(turn["role"], said(turn["content"])) for turn in turns])
    uses = turns[-1]["role"] == "assistant" and any("toolUse" in block for block in turns[-1]["content"])
    return asked, turns[-1]["content"] if uses else answer


def _claude(row: Row, number: int) -> tuple[str, str]:
    _keys(row, {"messages"}, {"system"}, number)
    turns = _turns(row["messages"], number, ends="assistant")
    for turn in turns:
        _keys(turn, {"role", "content"}, set(), number)
        _text(turn["content"], "content", number)
    system = _text(row["system"], "system", number) if "system" in row else ""
    return _pair(system, [(turn["role"], turn["content"]) for turn in turns])


def _graded(row: Row, number: int) -> tuple[str, str]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages or "reference_answer" not in row:
        raise Refused(f"Record {number}: messages and reference_answer are required.")
    turns = [cast("Row", turn) for turn in cast("list[Any]", messages) if isinstance(turn, dict)]
    if turns[-1:] and turns[-1].get("role") != "user":
        raise Refused(f"Record {number}: the last message must be the user's.")
    system = "".join(str(turn.get("content")) for turn in turns if turn.get("role") == "system")
    wanted = row["reference_answer"]
    answer = wanted if isinstance(wanted, str) else json.dumps(wanted, ensure_ascii=False)
    return key(system, [str(turn.get("content")) for turn in turns if turn.get("role") != "system"]), answer


def _pair(system: str, turns: list[tuple[str, str]]) -> tuple[str, str]:
    if turns and turns[-1][0] == "assistant":
        return key(system, [text for _, text in turns[:-1]]), turns[-1][1]
    return key(system, [text for _, text in turns]), ""


def _turns(given: Any, number: int, *, ends: str | None) -> list[Row]:
    items = cast("list[Any]", given) if isinstance(given, list) else []
    turns = [cast("Row", turn) for turn in items if isinstance(turn, dict)]
    if not turns or len(turns) != len(items):
        raise Refused(f"Record {number}: messages must be a list of turns.")
    for place, turn in enumerate(turns):
        if turn.get("role") != ("user", "assistant")[place % 2]:
            raise Refused(f"Record {number}: turns must alternate between user and assistant, beginning with user.")
    if ends is not None and turns[-1]["role"] != ends:
        raise Refused(f"Record {number}: the last turn must be the {ends}'s.")
    return turns


def _keys(row: Mapping[str, Any], required: set[str], optional: set[str], number: int) -> None:
    if lacking := required - set(row):
        raise Refused(f"Record {number}: {', '.join(sorted(lacking))} is missing.")
    if extra := set(row) - required - optional:
        raise Refused(f"Record {number}: unexpected key {', '.join(sorted(extra))}.")


def _text(value: Any, name: str, number: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refused(f"Record {number}: {name} must be a text that is not empty.")
    return value
