"""The simulated Vertex AI's rules for rows, its own and not tuneport's: a wrong row fails the job, as at the service."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

Row = dict[str, Any]
UNLEARNT = "I was tuned on other questions."
Kind = Literal["supervised", "preference", "reinforcement", "open"]
MOST_TOKENS = 131_072
_KEYS: Mapping[Kind, frozenset[str]] = {
    "supervised": frozenset({"systemInstruction", "contents", "tools", "toolConfig", "generationConfig", "labels"}),
    "preference": frozenset({"systemInstruction", "contents", "completions", "tools"}),
    "reinforcement": frozenset({"systemInstruction", "contents", "references", "tools"}),
    "open": frozenset({"messages"}),
}
_PARTS = frozenset({"text", "fileData", "inlineData", "functionCall", "functionResponse", "videoMetadata", "thought"})
_CAMEL = {
    "system_instruction": "systemInstruction",
    "tool_config": "toolConfig",
    "generation_config": "generationConfig",
    "file_data": "fileData",
    "inline_data": "inlineData",
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "video_metadata": "videoMetadata",
}


class Refused(Exception):
    """Why a data set is not taken."""


@dataclass(frozen=True)
class Read:
    rows: Sequence[Row]
    dropped: Mapping[int, str]  # by the row's number, from 1
    tokens: int


def read(content: bytes, kind: Kind) -> Read:
    """Every row, checked. Refused with the first that is wrong; rows that are too long are dropped, and said."""
    rows: list[Row] = []
    dropped: dict[int, str] = {}
    tokens = 0
    lines = content.decode("utf-8", "replace").splitlines()
    for index, line in enumerate((line for line in lines if line.strip()), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise Refused(f"Row: {index}. The line is not valid JSON.") from None
        if why := _wrong(row, kind):
            raise Refused(f"Row: {index}. {why}")
        size = len(line) // 4
        if size > MOST_TOKENS:
            dropped[index] = f"The example has {size} tokens, more than {MOST_TOKENS}."
            continue
        rows.append(_camel(cast("Row", row)))
        tokens += size
    if not rows:
        raise Refused("The data set has no valid example.")
    return Read(rows, dropped, tokens)


def lessons(rows: Iterable[Row], kind: Kind) -> dict[str, str | list[Row]]:
    """What the tuned model answers to each prompt of its rows: a text, or parts that call functions."""
    learnt: dict[str, str | list[Row]] = {}
    for row in rows:
        if kind == "open":
            turns = [cast("Row", turn) for turn in row["messages"]]
            contents = [_open(turn) for turn in turns if turn["role"] != "system"]
            system = next((_open(turn) for turn in turns if turn["role"] == "system"), None)
            learnt[prompt_key(contents[:-1], system)] = _answer(contents[-1])
            continue
        contents, system = cast("list[Row]", row["contents"]), row.get("systemInstruction")
        if kind == "supervised":
            for index, turn in enumerate(contents):
                if turn.get("role") == "model":
                    learnt[prompt_key(contents[:index], system)] = _answer(turn)
        elif kind == "preference":
            best = max(cast("list[Row]", row["completions"]), key=lambda item: float(item["score"]))
            learnt[prompt_key(contents, system)] = _answer(best["completion"])
        else:
            references = cast("Row", row["references"])
            answer = (
                references.get("reference_answer") or references.get("answer") or next(iter(references.values()), "")
            )
            learnt[prompt_key(contents, system)] = str(answer)
    return learnt


def open_key(messages: Iterable[Mapping[str, Any]]) -> str:
    """`prompt_key` of OpenAI's messages, as an open model is tuned on and asked with."""
    turns = [cast("Row", {"role": "user", **turn, "content": str(turn.get("content") or "")}) for turn in messages]
    system = next((_open(turn) for turn in turns if turn["role"] == "system"), None)
    return prompt_key([_open(turn) for turn in turns if turn["role"] != "system"], system)


def prompt_key(contents: Iterable[Mapping[str, Any]], system: Any) -> str:
    turns = [["system", _words(cast("Row", system))]] if isinstance(system, dict) else []
    turns += [[str(turn.get("role") or "user"), _words(turn)] for turn in contents]
    return json.dumps(turns, ensure_ascii=False)


def _answer(turn: Mapping[str, Any]) -> str | list[Row]:
    parts = [_camel(part) for part in cast("list[Row]", turn.get("parts") or [])]
    return parts if any("functionCall" in part for part in parts) else _words(turn)


def _words(turn: Mapping[str, Any]) -> str:
    said: list[str] = []
    for part in cast("list[Row]", turn.get("parts") or []):
        named = {key: value for key, value in _camel(part).items() if key != "thoughtSignature"}
        said.append(str(named["text"]) if "text" in named else json.dumps(named, sort_keys=True))
    return "".join(said)


def _open(turn: Row) -> Row:
    role = {"assistant": "model"}.get(turn["role"], turn["role"])
    return {"role": role, "parts": [{"text": turn["content"]}]}


def _camel(row: Mapping[str, Any]) -> Row:
    return {_CAMEL.get(key, key): value for key, value in row.items()}


def _wrong(given: Any, kind: Kind) -> str | None:
    if not isinstance(given, dict):
        return "The example is not a JSON object."
    row = _camel(cast("Row", given))
    if unknown := sorted(set(row) - _KEYS[kind]):
        return f"Unknown field: {unknown[0]}."
    if kind == "open":
        return _wrong_messages(row.get("messages"))
    if row.get("systemInstruction") is not None and (why := _wrong_turn(row["systemInstruction"], {"system", "user"})):
        return f"systemInstruction: {why}"
    contents = row.get("contents")
    if not isinstance(contents, list) or not contents:
        return "The contents are missing or empty."
    turns = cast("list[Any]", contents)
    for index, turn in enumerate(turns):
        if why := _wrong_turn(turn, {"user", "model", "function"}):
            return f"contents[{index}]: {why}"
    roles = [str(turn.get("role")) for turn in turns]
    if roles[0] != "user":
        return "The first content must be of the role user."
    if any(before == after == "model" for before, after in pairwise(roles)):
        return "The roles user and model must alternate."
    if kind == "supervised":
        return None if roles[-1] == "model" else "The last content must be of the role model."
    if roles[-1] == "model":
        return "The last content must be of the role user."
    return _wrong_pair(row.get("completions")) if kind == "preference" else _wrong_references(row.get("references"))


def _wrong_turn(turn: Any, roles: set[str]) -> str | None:
    if not isinstance(turn, dict):
        return "It is not an object."
    given = cast("Row", turn)
    if unknown := sorted(set(given) - {"role", "parts"}):
        return f"Unknown field: {unknown[0]}."
    if given.get("role") not in roles and not ("system" in roles and "role" not in given):
        return f"The role {given.get('role')!r} is not one of {', '.join(sorted(roles))}."
    parts = given.get("parts")
    if not isinstance(parts, list) or not parts:
        return "It has no parts."
    for part in cast("list[Any]", parts):
        if not isinstance(part, dict):
            return "A part is not an object."
        named = _camel(cast("Row", part))
        if unknown := sorted(set(named) - _PARTS - {"thoughtSignature"}):
            return f"Unknown field in a part: {unknown[0]}."
        if not set(named) & (_PARTS - {"thought", "videoMetadata"}):
            return "A part has no data."
        if "text" in named and (not isinstance(named["text"], str) or not named["text"]):
            return "A part's text is empty or not a text."
    return None


def _wrong_pair(completions: Any) -> str | None:
    given = cast("list[Any]", completions) if isinstance(completions, list) else []
    items = [cast("Row", item) for item in given if isinstance(item, dict)]
    if len(given) != 2 or len(items) != 2 or any(set(item) != {"score", "completion"} for item in items):
        return "An example must have exactly two completions, each with a score and a completion."
    if {item["score"] for item in items} != {0, 1}:
        return "One completion must have the score 1, the other 0."
    for item in items:
        if why := _wrong_turn(item["completion"], {"model"}):
            return f"completions: {why}"
    return None


def _wrong_references(references: Any) -> str | None:
    if not isinstance(references, dict) or not references:
        return "The references are missing."
    if not all(isinstance(value, str) for value in cast("Row", references).values()):
        return "The references must be texts."
    return None


def _wrong_messages(messages: Any) -> str | None:
    given = cast("list[Any]", messages) if isinstance(messages, list) else []
    turns = [cast("Row", turn) for turn in given if isinstance(turn, dict)]
    if len(turns) < 2 or len(turns) < len(given):
        return "The messages are missing."
    for turn in turns:
        if turn.get("role") not in {"system", "user", "assistant"} or not isinstance(turn.get("content"), str):
            return "A message must have a role and a text."
    return None if turns[-1]["role"] == "assistant" else "The last message must be of the assistant."
