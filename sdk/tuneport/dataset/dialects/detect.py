"""Which dialect a row is written in, told by its keys and by the shape of its first turn.

Three choices need saying:

- A text prompt with a text completion is "trl"; Bedrock's is the same row.
- A chat row whose last turn is the user's is "openai-reinforcement" if it has a further key that a grader could read, such
  as `reference_answer`. Without one, or with nothing but a row's own label (`id`, `source`, …), it is "openai": a chat row that
  lacks its answer, which the structure checks name.
- `prompt`, `chosen` and `rejected` beside `messages` (as in UltraFeedback) is a preference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.dataset.dialects.base import CHAT_KEYS, items, mapping

LABELS = frozenset({"id", "idx", "index", "uuid", "source", "split", "metadata", "created_at"})
_BLOCKS = frozenset({"text", "image", "video", "document", "toolUse", "toolResult", "reasoningContent"})


def detect(row: Mapping[str, Any]) -> str | None:
    """The dialect's name, or None. A null counts as absent, since columnar files write one in each empty cell."""
    if row.get("messages") is not None:
        if "chosen" in row and _answers(row):
            return "trl-preference"
        return _of_messages(row)
    has = {key for key, value in row.items() if value is not None}
    if not has.isdisjoint(("preferred_output", "non_preferred_output")):
        return "openai-preference"
    if "contents" in has:
        if "completions" in has:
            return "vertex-preference"
        return "vertex-reinforcement" if "references" in has else "vertex"
    if "conversations" in has:
        return None if has & {"chosen", "rejected"} else "sharegpt"
    if "instruction" in has:
        return "alpaca" if "output" in has else None
    if _answers(row) or ("prompt" in has and len(has & {"chosen", "rejected"}) == 1):
        return "trl-preference"
    if "prompt" in has:
        return "trl" if "completion" in has else None
    if "text" in has:
        return "text"
    given = row.get("input")
    if isinstance(given, str):
        return "bedrock-text" if "output" not in has else None
    if (inner := mapping(given)) is not None and "messages" in inner:
        return "openai-preference"
    if "messages" in row:
        return "openai"
    if "text" in row:  # null, and no other dialect's key beside it
        return "text"
    return "bedrock-text" if "input" in row and given is None and "output" not in has else None


def _answers(row: Mapping[str, Any]) -> bool:
    chosen, rejected = row.get("chosen"), row.get("rejected")
    return isinstance(chosen, (str, list)) and isinstance(rejected, (str, list))


def _of_messages(row: Mapping[str, Any]) -> str:
    turns = items(row["messages"])
    first = (mapping(turns[0]) if turns else None) or {}
    content = first.get("content")
    if len(row) == 1 and not isinstance(content, list):  # by far the most rows
        return "openai"
    if "schemaVersion" in row or "toolConfig" in row:
        return "bedrock-converse"
    if isinstance(content, list) and content:
        block = mapping(items(content)[0])
        if block is not None and "type" not in block and not _BLOCKS.isdisjoint(block):
            return "bedrock-converse"
    system = row.get("system")
    if system is not None and first.get("role") != "system":
        if isinstance(system, list):
            return "bedrock-converse"
        if isinstance(system, str):
            return "bedrock-claude"
    if len(row) > 1 and turns:
        last = mapping(turns[-1])
        if last is not None and last.get("role") == "user" and graded(row):
            return "openai-reinforcement"
    return "openai"


def graded(row: Mapping[str, Any]) -> bool:
    """Whether a row of messages has a key that a grader could read."""
    return any(value is not None and key not in CHAT_KEYS and key not in LABELS for key, value in row.items())
