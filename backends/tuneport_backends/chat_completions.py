"""An answer in the shape of OpenAI's chat completions, which other services give too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.errors import RejectedError
from tuneport.result import Message
from tuneport_backends.payload import mapping, objects, text, whole


def answered(payload: Mapping[str, Any], service: str, model: str) -> Message:
    """RejectedError where there is no answer in it, or the content filter has withheld one."""
    choices = objects(payload.get("choices"))
    if not choices:
        raise RejectedError(f"{service} answered for {model} without a choice.")
    said = mapping(choices[0].get("message"))
    finish = choices[0].get("finish_reason")
    calls = objects(said.get("tool_calls"))
    content = text(said, "content") or text(said, "refusal") or ""
    if not content and not calls and finish == "content_filter":
        raise RejectedError(f"{service} withheld the answer of {model}: its content filter.")
    usage = mapping(payload.get("usage"))
    return Message(
        content=content,
        tool_calls=calls,
        finish_reason="length" if finish == "length" else "stop",
        prompt_tokens=whole(usage.get("prompt_tokens")),
        completion_tokens=whole(usage.get("completion_tokens")),
    )
