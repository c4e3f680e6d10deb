"""The simulated OpenAI's own rules for the rows of a training file, written from its guides and from errors that users report.

They are not tuneport's data checks and share nothing with them, so that the one can be held against the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

Row = dict[str, Any]
LEAST_ROWS = 10
MOST_IMAGES = 10
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MESSAGE_KEYS = frozenset(
    {"role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal", "audio"}
)
_ROW_KEYS = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})
_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|endofprompt|fim_prefix|fim_middle|fim_suffix|start|end|message|channel)\|>"
)
_IMAGE = re.compile(r"^(https?://\S+|data:image/(png|jpeg|jpg|webp);base64,[A-Za-z0-9+/=]+)$")


class Refused(Exception):
    """Why a file is refused: the code and the sentence that the job's error carries."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def one_of(value: Any, names: Collection[str]) -> bool:
    """Also for what cannot be looked up in a set: a list is none of the names."""
    return isinstance(value, str) and value in names


def inner(value: Any) -> Row:
    """An object, or an empty one in the place of anything else."""
    return cast("Row", value) if isinstance(value, dict) else {}


def read(content: bytes, method: str, *, vision: bool, name: str = "training") -> list[Row]:
    """The rows; `Refused` for the first that is wrong, as the service stops there too."""
    rows: list[Row] = []
    lines = [line for line in content.split(b"\n") if line.strip()]
    for number, line in enumerate(lines, 1):
        rows.append(_row(line, number, method, vision=vision, name=name))
    if len(rows) < LEAST_ROWS and name == "training":
        raise Refused(
            "invalid_n_examples",
            f"Training file has {len(rows)} example(s), but must have at least {LEAST_ROWS} examples",
        )
    if not rows:
        raise Refused("invalid_file_format", f"The {name} file is empty")
    return rows


def _row(line: bytes, number: int, method: str, *, vision: bool, name: str) -> Row:
    try:
        row: Any = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, UnicodeDecodeError):
        row = None
    if not isinstance(row, dict):
        raise Refused(
            "invalid_file_format",
            f"The job failed due to an invalid {name} file. Expected file to have JSONL format, where every line is a valid "
            f"JSON dictionary. Line {number} is not a dictionary.",
        )
    said = cast("Row", row)
    problem = {"supervised": _supervised, "dpo": _preference, "reinforcement": _reinforcement}[method](said, vision)
    if problem is not None:
        raise Refused(
            "invalid_file_format",
            f"The job failed due to a file format error in the {name} file. Invalid file format. Example {number} {problem}",
        )
    return said


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _supervised(row: Row, vision: bool) -> str | None:
    if unknown := sorted(set(row) - _ROW_KEYS):
        return f"has an unexpected key: {unknown[0]}"
    messages = row.get("messages")
    problem = _messages(messages, vision) or _tools(row)
    if problem is not None:
        return problem
    turns = cast("list[Row]", messages)
    if turns[-1]["role"] != "assistant":
        return "last message must be from the assistant"
    if all(turn["role"] != "assistant" or turn.get("weight") == 0 for turn in turns):
        return "must have at least one message from the assistant with a weight of 1"
    return None


def _preference(row: Row, _vision: bool) -> str | None:
    if set(row) != {"input", "preferred_output", "non_preferred_output"}:
        return "must have exactly the keys input, preferred_output and non_preferred_output"
    given = row["input"]
    if not isinstance(given, dict):
        return "input must be a dictionary"
    asked = inner(given)
    if unknown := sorted(set(asked) - {"messages", "tools", "parallel_tool_calls"}):
        return f"input has an unexpected key: {unknown[0]}"
    problem = _messages(asked.get("messages"), vision=False) or _tools(asked)
    if problem is not None:
        return f"input {problem}"
    if cast("list[Row]", asked["messages"])[-1]["role"] == "assistant":
        return "input must not end with a message from the assistant"
    for key in ("preferred_output", "non_preferred_output"):
        problem = _messages(row[key], vision=False)
        if problem is not None:
            return f"{key} {problem}"
        if [turn["role"] for turn in row[key]] != ["assistant"]:
            return f"{key} must hold one message from the assistant"
    return None


def _reinforcement(row: Row, vision: bool) -> str | None:
    problem = _messages(row.get("messages"), vision) or _tools(row)
    if problem is not None:
        return problem
    if cast("list[Row]", row["messages"])[-1]["role"] != "user":
        return "last message must be from the user"
    return None


def _messages(messages: Any, vision: bool) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "must have a non-empty list of messages"
    images = 0
    open_calls: set[str] = set()
    for index, item in enumerate(cast("list[Any]", messages), 1):
        if not isinstance(item, dict):
            return f"message {index} is not a dictionary"
        turn = cast("Row", item)
        problem = _message(turn, vision)
        if problem is not None:
            return f"message {index} {problem}"
        images += _images(turn)
        if turn["role"] == "tool":
            if not one_of(turn.get("tool_call_id"), open_calls):
                return f"message {index} answers a tool call that no message before it made"
            open_calls.discard(str(turn["tool_call_id"]))
            continue
        if open_calls:
            return f"message {index} must answer the tool calls before it: {', '.join(sorted(open_calls))}"
        open_calls = {str(call.get("id")) for call in cast("list[Row]", turn.get("tool_calls") or [])}
    if open_calls and len(cast("list[Any]", messages)) > 0 and cast("list[Row]", messages)[-1]["role"] != "assistant":
        return f"leaves tool calls without an answer: {', '.join(sorted(open_calls))}"
    return f"has {images} images, but at most {MOST_IMAGES} are allowed" if images > MOST_IMAGES else None


def _message(turn: Row, vision: bool) -> str | None:
    role = turn.get("role")
    if not one_of(role, _ROLES):
        return f"has an unknown role: {role!r}" if "role" in turn else "is missing the key role"
    if unknown := sorted(set(turn) - _MESSAGE_KEYS):
        return f"has an unexpected key: {unknown[0]}"
    content = turn.get("content")
    calls = turn.get("tool_calls")
    if calls is not None:
        if role != "assistant":
            return "has tool_calls, but is not from the assistant"
        problem = _calls(calls)
        if problem is not None:
            return problem
    if content is None and not calls and not turn.get("function_call") and not turn.get("refusal"):
        return "is missing the key content"
    if "weight" in turn and (role != "assistant" or not (type(turn["weight"]) is int and 0 <= turn["weight"] <= 1)):
        return "has a weight, which only a message from the assistant may have, and is 0 or 1"
    if role == "tool" and not isinstance(turn.get("tool_call_id"), str):
        return "is missing the key tool_call_id"
    if content is not None:
        problem = _content(content, str(role), vision)
        if problem is not None:
            return problem
    token = _CONTROL.search(json.dumps(turn, ensure_ascii=False))
    return f"message contains an invalid token: {token[0]}" if token is not None else None


def _content(content: Any, role: str, vision: bool) -> str | None:
    if isinstance(content, str):
        return None
    if not isinstance(content, list) or not content:
        return "has a content that is neither a string nor a list of parts"
    for item in cast("list[Any]", content):
        part = inner(item)
        kind = part.get("type")
        if kind == "text":
            if not isinstance(part.get("text"), str):
                return "has a text part without text"
        elif kind == "image_url":
            url = part.get("image_url")
            if not vision:
                return "contains an image, but the model cannot be fine-tuned on images"
            if role != "user":
                return f"contains an image, but is from the {role}: only messages from the user may have images"
            if not isinstance(url, dict) or not _IMAGE.match(str(inner(url).get("url"))):
                return "has an image that is neither an http(s) URL nor a base64 data URL of a PNG, JPEG or WEBP"
        elif kind != "refusal" or role != "assistant":
            return f"has a part of an unsupported type: {kind!r}"
    return None


def _calls(calls: Any) -> str | None:
    if not isinstance(calls, list) or not calls:
        return "has tool_calls that are not a non-empty list"
    for item in cast("list[Any]", calls):
        call = inner(item)
        function = inner(call.get("function"))
        if call.get("type") != "function" or not isinstance(call.get("id"), str):
            return "has a tool call without an id or of another type than function"
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), str):
            return "has a tool call whose function has no name, or whose arguments are not a string"
        try:
            json.loads(function["arguments"])
        except ValueError:
            return f"has a tool call with arguments that are not JSON: {function['name']}"
    return None


def _tools(row: Mapping[str, Any]) -> str | None:
    tools = row.get("tools")
    if tools is None:
        return None
    if not isinstance(tools, list):
        return "has tools that are not a list"
    for item in cast("list[Any]", tools):
        tool = inner(item)
        function = inner(tool.get("function"))
        if tool.get("type") != "function" or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(function.get("name", ""))):
            return "has a tool that is not a function with a valid name"
    return None


def _images(turn: Mapping[str, Any]) -> int:
    content = turn.get("content")
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    return sum(1 for part in parts if isinstance(part, dict) and cast("Row", part).get("type") == "image_url")


# What a tuned model has learnt from the rows


def lessons(rows: Sequence[Mapping[str, Any]], method: str) -> dict[str, str | Row]:
    """Prompt (see `prompt_key`) to answer: the last answer of a conversation, or the preferred one."""
    learnt: dict[str, str | Row] = {}
    for row in rows:
        if method == "dpo":
            learnt[prompt_key(row["input"]["messages"])] = answer_of(row["preferred_output"][0])
        elif method == "supervised":
            learnt[prompt_key(row["messages"][:-1])] = answer_of(row["messages"][-1])
        else:
            answer = row.get("reference_answer", row.get("answer"))
            if isinstance(answer, str):
                learnt[prompt_key(row["messages"])] = answer
    return learnt


def prompt_key(messages: Any) -> str:
    """Roles and contents, whatever else the turns carry."""
    turns = cast("list[Row]", messages if isinstance(messages, list) else [])
    return json.dumps([[turn.get("role"), turn.get("content")] for turn in turns], sort_keys=True)


def answer_of(turn: Mapping[str, Any]) -> str | Row:
    """A text; where the turn calls tools, what of a message says so."""
    content = turn.get("content")
    if turn.get("tool_calls"):
        return {"content": content, "tool_calls": turn["tool_calls"]}
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        return "".join(str(cast("Row", part).get("text", "")) for part in parts if isinstance(part, dict))
    return ""
