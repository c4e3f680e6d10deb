"""Which chat template a model is trained with, and how a row's messages are put to it.

A model's own template is used as it is wherever it can say what the rows say. What it cannot say is added *in front of it*, in
Jinja, so that the template saved with the tuned model renders everywhere exactly what was trained on:

- `tuneport:chatml` or `tuneport:plain` where the model has no template at all;
- `tuneport:tools` where the template leaves out tools, calls or results: they are written as text;
- `tuneport:system` where the template refuses or leaves out a system turn: it joins the first user turn.

What a template can do is found by rendering small conversations and looking for their words, never from a model's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

from tuneport.errors import ModelError

Messages = list[dict[str, Any]]
Tools = list[dict[str, Any]] | None
Render = Callable[[str, Messages, Tools, "Shape"], str]
"""Renders messages with the template in the first argument; raises `Unusable` with the template's own words."""

_FOLDER = Path(__file__).with_name("templates")
_KEPT = ("role", "name", "tool_call_id", "reasoning_content")
_ID_LENGTH = 9
_OWN = "the model's own"


class Unusable(Exception):
    """A row that cannot be rendered; the message is the ledger's reason, its kind before the first colon."""


@dataclass(frozen=True)
class Shape:
    """What a template wants of OpenAI's messages. Templates disagree on each of these, and fail or drop text on the rest."""

    empty_content: str | None = None  # what a turn that only calls tools has as its content
    parsed_arguments: bool = True  # a call's arguments as an object, or as OpenAI's JSON string
    short_ids: bool = False  # call ids of exactly nine letters and digits (Mistral)
    developer: bool = False  # the template knows the role; else it is said as "system"


@dataclass(frozen=True)
class Template:
    """The template as trained with, where it came from, and what has to be said about it.

    `notes` are for rows with "tools" or a "system" turn only: to be said once such a row is met.
    """

    text: str
    source: str
    shape: Shape
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict[str, str])


def choose(
    own: str | Mapping[str, str] | None, vocabulary: Mapping[str, int], render: Render, *, adds_bos: bool
) -> Template:
    """The template to train with: the model's `own` where it has one, completed where it lacks tools or a system turn.

    `adds_bos`: the tokenizer begins every text with its BOS token, so a template of ours has to, as well. Raises `ModelError`
    for a template that cannot render a plain conversation.
    """
    if own:
        found = Template(_one(own), _OWN, Shape())
    else:
        name = "chatml" if {"<|im_start|>", "<|im_end|>"} <= vocabulary.keys() else "plain"
        text = ("{{- bos_token -}}\n" if adds_bos else "") + _ours(name)
        warning = f"The model has no chat template: tuneport:{name} is used, and saved with the tuned model."
        found = Template(text, f"tuneport:{name}", Shape(), (warning,))
    found = replace(found, shape=Shape(developer="developer" in found.text))
    plain = [_turn("user", "tpq"), _turn("assistant", "tpa"), _turn("user", "tpr"), _turn("assistant", "tpb")]
    try:
        missing = [
            word for word in ("tpq", "tpa", "tpr", "tpb") if word not in render(found.text, plain, None, found.shape)
        ]
    except Unusable as error:
        raise ModelError(
            f"the chat template ({found.source}) cannot render a plain conversation. {error}. Give the model another template."
        ) from error
    if missing:
        raise ModelError(
            f"the chat template ({found.source}) leaves out turns of a plain conversation of two questions and two answers. "
            "Give the model another template."
        )
    system = [_turn("system", "tps"), *plain]
    if not _says(render, found, system, None, ["tps"]):
        found = _in_front(found, "system", "a system turn is joined to the first user turn")
    return _with_tools(found, render)


def _with_tools(found: Template, render: Render) -> Template:
    """Find how the template wants tool calls; where no way says everything, put `tuneport:tools` in front."""
    tools = [{"type": "function", "function": {"name": "tpf", "description": "tpd", "parameters": {"type": "object"}}}]
    call = {"id": "call_tpidentifier", "type": "function", "function": {"name": "tpf", "arguments": '{"tpk": "tpv"}'}}
    talk: Messages = [
        _turn("user", "tpq"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "tpo", "tool_call_id": call["id"]},
        _turn("assistant", "tpa"),
    ]
    words = ["tpd", "tpf", "tpk", "tpv", "tpo", "tpa"]
    for parsed, empty, short in product((True, False), (None, ""), (False, True)):
        shape = replace(found.shape, parsed_arguments=parsed, empty_content=empty, short_ids=short)
        if _says(render, replace(found, shape=shape), talk, tools, words):
            return replace(found, shape=shape)
    in_front = _in_front(found, "tools", "tools, their calls and results are written as text")
    if _says(render, in_front, talk, tools, words):
        return in_front
    note = "The chat template leaves out tools, their calls or results, also where they are written as text"
    return replace(found, notes={**found.notes, "tools": note})


def _says(render: Render, template: Template, messages: Messages, tools: Tools, words: Sequence[str]) -> bool:
    try:
        text = render(template.text, messages, tools, template.shape)
    except Unusable:
        return False
    return all(word in text for word in words)


def _in_front(template: Template, name: str, what: str) -> Template:
    if template.source != _OWN and not template.notes:
        return replace(
            template, text=_ours(name) + template.text
        )  # ours are written to be completed so: nothing to say
    note = f"The model's chat template cannot say it, so {what} (tuneport:{name}, saved with the tuned model)"
    return replace(
        template,
        text=_ours(name) + template.text,
        source=f"{template.source} with tuneport:{name}",
        notes={**template.notes, name: note},
    )


def _one(own: str | Mapping[str, str]) -> str:
    """One template of several: transformers names a "default" and a "tool_use"."""
    if isinstance(own, str):
        return own
    if "default" not in own:
        raise ModelError(
            f"the model has chat templates named {sorted(own)} and none named 'default'. Rename one of them."
        )
    if "tool_use" not in own:
        return own["default"]
    return "{%- if tools -%}" + own["tool_use"] + "{%- else -%}" + own["default"] + "{%- endif -%}"


def _ours(name: str) -> str:
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8").removesuffix("\n")


def _turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def for_template(messages: Sequence[Mapping[str, Any]], shape: Shape) -> Messages:
    """OpenAI's messages as a template wants them. Training-only keys (`weight`) are left behind.

    Raises `Unusable` for what is not text.
    """
    names: dict[str, str] = {}
    return [_message(message, shape, names, number) for number, message in enumerate(messages, 1)]


def _message(message: Mapping[str, Any], shape: Shape, names: dict[str, str], number: int) -> dict[str, Any]:
    out: dict[str, Any] = {key: message[key] for key in _KEPT if message.get(key) is not None}
    role = out.get("role")
    if role == "developer" and not shape.developer:
        out["role"] = "system"
    if role == "function":  # OpenAI's older name for a tool's result
        out["role"] = "tool"
    content = message.get("content")
    calls = list(cast("Sequence[Mapping[str, Any]]", message.get("tool_calls") or ()))
    if message.get("function_call"):  # OpenAI's older name for a single call
        calls.append({"id": f"call_{number}", "type": "function", "function": message["function_call"]})
    if content is None and role == "assistant" and not calls:
        content = message.get("refusal")
    text = _text(content, number)
    out["content"] = shape.empty_content if calls and not text else text
    if calls:
        out["tool_calls"] = [_call(call, shape, names) for call in calls]
    if out["role"] == "tool":
        known = str(out.get("tool_call_id", f"call_{number - 1}"))
        out["tool_call_id"] = _short(known) if shape.short_ids else known
        # Some templates print the name of the function that answered; OpenAI's rows say it only at the call.
        out.setdefault("name", names.get(known, ""))
    return out


def _text(content: Any, number: int) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Unusable(f"not a chat row: message {number} has {type(content).__name__} as its content, not text")
    texts: list[str] = []
    for part in cast("list[Any]", content):
        kind = part.get("type") if isinstance(part, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if kind not in {"text", "refusal"}:
            raise Unusable(
                f"not text: message {number} has a part of type {kind!r}; the local engine trains on text only"
            )
        texts.append(str(part[kind]))
    return "".join(texts)


def _call(call: Mapping[str, Any], shape: Shape, names: dict[str, str]) -> dict[str, Any]:
    function = call["function"]
    arguments: Any = function.get("arguments", "{}")
    if shape.parsed_arguments and isinstance(arguments, str):
        try:
            parsed: Any = json.loads(arguments)
        except ValueError:
            parsed = None  # not JSON: the template gets the words as they are
        arguments = cast("Any", parsed) if isinstance(parsed, dict) else arguments
    elif not shape.parsed_arguments and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    known = str(call.get("id", ""))
    names[known] = str(function["name"])
    identifier = _short(known) if shape.short_ids else known
    return {"id": identifier, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _short(identifier: str) -> str:
    if len(identifier) == _ID_LENGTH and identifier.isalnum():
        return identifier
    return hashlib.sha256(identifier.encode()).hexdigest()[:_ID_LENGTH]
