"""OpenAI's three kinds of rows, which are the canonical ones. Azure, Together and TRL's `messages` rows are the same.

What other dialects bring along and OpenAI has no word for (a file in a bucket, a video) cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tuneport.dataset.dialects.base import Cannot, Loss, items, mapping, shown
from tuneport.dataset.dialects.detect import detect
from tuneport.dataset.rows import Kind

_PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_FOREIGN = {"mime_type": "OpenAI tells the type itself", "bucketOwner": "OpenAI reads no buckets"}
_ONLY_HERE = frozenset({"reasoning_signature", "status"})  # of Bedrock's reasoning and tool results


class OpenAI:
    """The canonical dialect itself: paths are the same, rows are handed on."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind: Kind = kind

    def matches(self, row: Mapping[str, Any]) -> bool:
        return detect(row) == self.name

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Nulls in a row and its turns are empty cells of a columnar file, and left off (but for `content`)."""
        read = {key: value for key, value in row.items() if value is not None or key == "messages"}
        if type(turns := read.get("messages")) is list:
            read["messages"] = _without_nulls(cast("list[Any]", turns))
        elif self.kind == "preference":
            if (given := mapping(read.get("input"))) is not None:
                inner = {key: value for key, value in given.items() if value is not None}
                if type(turns := inner.get("messages")) is list:
                    inner["messages"] = _without_nulls(cast("list[Any]", turns))
                read["input"] = inner
            for key in ("preferred_output", "non_preferred_output"):
                if type(turns := read.get(key)) is list:
                    read[key] = _without_nulls(cast("list[Any]", turns))
        return read

    def write(self, canonical: Mapping[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
        row = dict(canonical)
        losses: list[Loss] = []
        try:
            if self.kind == "preference":
                given = mapping(row.get("input"))
                if given is not None:
                    row["input"] = {**given, "messages": _write(given.get("messages"), "input.messages", losses)}
                for key in ("preferred_output", "non_preferred_output"):
                    row[key] = _write(row.get(key), key, losses)
            else:
                row["messages"] = _write(row.get("messages"), "messages", losses)
        except Cannot as cannot:
            return {}, [*losses, cannot.loss]
        return row, losses

    def write_plain(self, turns: list[dict[str, Any]]) -> dict[str, Any] | None:
        del turns  # they are in this dialect already
        return None

    def where(self, path: str, row: Mapping[str, Any]) -> str:
        del row  # written as it is read
        return path


def _without_nulls(turns: list[Any]) -> list[Any]:
    for turn in turns:
        if type(turn) is dict and None in cast("dict[str, Any]", turn).values():
            break
    else:
        return turns
    return [_filled(cast("dict[str, Any]", turn)) if type(turn) is dict else turn for turn in turns]


def _filled(turn: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in turn.items() if value is not None or key == "content"}


def _write(turns: Any, path: str, losses: list[Loss]) -> Any:
    if not isinstance(turns, list):
        raise Cannot(path, f"{path} is {shown(turns)}", "it must be a list of turns")
    written: list[Any] = []
    for number, item in enumerate(items(turns)):
        turn = mapping(item)
        if turn is None:
            raise Cannot(f"{path}[{number}]", f"the turn is {shown(item)}", "a turn has a role and content")
        if len(turn) > 2:
            turn = _turn(turn, f"{path}[{number}]", losses)
        if isinstance(content := turn.get("content"), list):
            turn = {**turn, "content": _parts(items(content), f"{path}[{number}].content", losses)}
        written.append(turn)
    return written


def _turn(turn: Mapping[str, Any], path: str, losses: list[Loss]) -> Mapping[str, Any]:
    lost = [key for key in turn if key in _ONLY_HERE]
    losses.extend(Loss(f"{path}.{key}", f"{key} {shown(turn[key])}", "OpenAI rows have no such key") for key in lost)
    if lost:
        turn = {key: value for key, value in turn.items() if key not in lost}
    calls = turn.get("tool_calls")
    if not isinstance(calls, list) or not any("thought_signature" in (mapping(call) or {}) for call in items(calls)):
        return turn
    kept: list[Any] = []
    for index, item in enumerate(items(calls)):
        call = mapping(item)
        if call is not None and "thought_signature" in call:
            losses.append(
                Loss(f"{path}.tool_calls[{index}].thought_signature", "thought_signature", "it is Gemini's own")
            )
            kept.append({key: value for key, value in call.items() if key != "thought_signature"})
        else:
            kept.append(item)
    return {**turn, "tool_calls": kept}


def _parts(parts: list[Any], path: str, losses: list[Loss]) -> list[Any]:
    written: list[Any] = []
    for index, item in enumerate(parts):
        place = f"{path}[{index}]"
        part = mapping(item)
        kind = part.get("type") if part is not None else None
        if part is None or not isinstance(kind, str) or kind not in _PARTS:
            raise Cannot(place, f"the part {shown(item)}", f"OpenAI knows parts of type {', '.join(sorted(_PARTS))}")
        inner = mapping(part.get(kind))
        if kind == "file" and inner is not None and "url" in inner:
            raise Cannot(place, f"the file {shown(inner['url'])}", "OpenAI takes uploaded files only")
        if kind == "image_url" and inner is not None:
            url = inner.get("url")
            if isinstance(url, str) and url.startswith(("gs://", "s3://")):
                raise Cannot(place, f"the image {shown(url)}", "OpenAI fetches https:// and data: URLs only")
            if lost := [key for key in _FOREIGN if key in inner]:
                losses.extend(
                    Loss(f"{place}.image_url.{key}", f"{key} {shown(inner[key])}", _FOREIGN[key]) for key in lost
                )
                part = {**part, "image_url": {key: value for key, value in inner.items() if key not in lost}}
        written.append(part)
    return written


DIALECTS = (
    OpenAI("openai", "chat"),
    OpenAI("openai-preference", "preference"),
    OpenAI("openai-reinforcement", "reinforcement"),
)
