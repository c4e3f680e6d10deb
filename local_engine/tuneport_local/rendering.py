"""Whether a local model's chat template says all of a row, found by rendering it: no torch, no transformers.

The template is rendered as transformers renders it, in Jinja's sandbox with the same extensions and functions (tests hold the
two against each other), and chosen and completed as for training (`templates.choose`). A row costs one rendering, some 50 µs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from tuneport.dataset.checks.base import Problem
from tuneport.errors import ModelError
from tuneport_local.layout import resolve
from tuneport_local.templates import Messages, Shape, Template, Tools, Unusable, choose, for_template

RowCheck = Callable[[Mapping[str, Any]], Sequence[Problem]]

_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_REASONING = ("reasoning_content", "thinking", "reasoning")
_CHATML = ("<|im_start|>", "<|im_end|>")
# What templates leave out of earlier answers on purpose, and a model is not asked to repeat.
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_SHOWN = 60


def template_check(model: str) -> RowCheck:
    """What is wrong with a canonical row when it is put to `model`'s template. ModelError where there is no such model.

    `model` as in a job: `starter`, a path or a hub id, with or without `local:`. A `target.template-note` says that the
    template had to be completed for this row, and how; a caller tells it once.
    """
    folder = resolve(model.removeprefix("local:"))
    own, tokens = _read(folder)

    def render(template: str, messages: Messages, tools: Tools, shape: Shape) -> str:
        return render_template(template, for_template(messages, shape), tools, tokens)

    template = choose(own, _vocabulary(folder) if not own else {}, render, adds_bos=False)

    def check(row: Mapping[str, Any]) -> Sequence[Problem]:
        return [problem for said in _conversations(row) for problem in _problems(said, template, tokens)]

    return check


def render_template(template: str, messages: Messages, tools: Tools, tokens: Mapping[str, str]) -> str:
    """As transformers' `apply_chat_template` without a generation prompt; `Unusable` with the template's own words."""
    from jinja2.exceptions import TemplateError

    # A key without a value is left off, and reasoning goes by all its names.
    said = [{key: value for key, value in message.items() if value is not None} for message in messages]
    for message in said:
        reasoning = next((message[key] for key in _REASONING if key in message), None)
        if reasoning is not None:
            message.setdefault("thinking", reasoning)
            message["reasoning_content"] = reasoning
    try:
        text = _compiled(template).render(
            messages=said, tools=tools, documents=None, add_generation_prompt=False, **tokens
        )
    # A template is a program: raise_exception is a TemplateError, and adding None to text or asking for a missing key are not.
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise Unusable(f"refused by the chat template: {' '.join(str(error).split())}") from error
    return cast("str", text)


@cache
def _compiled(template: str) -> Any:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError, TemplateSyntaxError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant says; here it is only rendered."""

        tags = {"generation"}  # noqa: RUF012  Jinja's own way

        def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

        def _said(self, caller: Callable[[], str]) -> str:
            return caller()

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)  # noqa: DTZ005  as transformers

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals.update(
        cast("dict[str, Any]", {"raise_exception": raise_exception, "strftime_now": strftime_now})
    )
    try:
        return environment.from_string(template)
    except TemplateSyntaxError as error:
        raise ModelError(f"the chat template is not valid Jinja: {error.message} (line {error.lineno}).") from error


def _read(folder: Path) -> tuple[str | dict[str, str] | None, dict[str, str]]:
    """The model's own chat template or templates, and its special tokens by name."""
    config = _json(folder / "tokenizer_config.json")
    extra = _json(folder / "special_tokens_map.json")
    tokens: dict[str, str] = {}
    for name in _TOKENS:
        token = config.get(name, extra.get(name))
        if isinstance(token, dict):
            token = cast("dict[str, Any]", token).get("content")
        if isinstance(token, str):
            tokens[name] = token
    files = {"default": folder / "chat_template.jinja"}
    more = folder / "additional_chat_templates"
    if more.is_dir():
        files.update({path.stem: path for path in sorted(more.glob("*.jinja"))})
    written = {name: _text(path) for name, path in files.items() if path.exists()}
    if written:
        return (written["default"] if written.keys() == {"default"} else written), tokens
    own = config.get("chat_template", _json(folder / "chat_template.json").get("chat_template"))
    if isinstance(own, list):
        named = [cast("dict[str, Any]", item) for item in cast("list[Any]", own) if isinstance(item, dict)]
        return {str(item.get("name")): str(item.get("template")) for item in named}, tokens
    return (own if isinstance(own, str) else None), tokens


def _vocabulary(folder: Path) -> dict[str, int]:
    """As much of the vocabulary as the choice of a template asks for."""
    texts = [_text(path) for name in ("tokenizer.json", "tokenizer_config.json") if (path := folder / name).exists()]
    return {token: 0 for token in _CHATML if any(json.dumps(token) in text for text in texts)}


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        data = json.loads(_text(path))
    except ValueError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from None
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from None


def _conversations(row: Mapping[str, Any]) -> Iterator[tuple[list[tuple[str, Mapping[str, Any]]], Any]]:
    """Every conversation that a row is trained as: its turns with their canonical paths, and its tools."""
    given = row.get("input")
    if isinstance(given, Mapping):
        asked = cast("Mapping[str, Any]", given)
        prompt = _turns(asked.get("messages"), "input.messages")
        for key in ("preferred_output", "non_preferred_output"):
            if row.get(key):
                yield [*prompt, *_turns(row.get(key), key)], asked.get("tools")
    elif "messages" in row:
        yield _turns(row.get("messages"), "messages"), row.get("tools")


def _turns(turns: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(turns, list):
        return []
    return [
        (f"{path}[{index}]", cast("Mapping[str, Any]", turn))
        for index, turn in enumerate(cast("list[Any]", turns))
        if isinstance(turn, Mapping)
    ]


def _problems(
    said: tuple[list[tuple[str, Mapping[str, Any]]], Any], template: Template, tokens: Mapping[str, str]
) -> Iterator[Problem]:
    turns, tools = said
    if not turns:
        return
    begins, first = turns[0]
    begins = begins.rpartition("[")[0]
    given: Tools = cast("list[dict[str, Any]]", tools) if isinstance(tools, list) and tools else None
    try:
        messages = for_template([turn for _, turn in turns], template.shape)
        text = render_template(template.text, messages, given, tokens)
    except Unusable as error:
        yield Problem("target.template", f"{error}.", begins)
        return
    except (LookupError, TypeError, AttributeError):  # not a chat row: the structure checks name what is wrong
        return
    for note in template.warnings:
        yield Problem("target.template-note", note.removesuffix("."))
    if "system" in template.notes and first.get("role") in {"system", "developer"}:
        yield Problem("target.template-note", template.notes["system"])
    uses = given is not None or any(turn.get("role") == "tool" or turn.get("tool_calls") for _, turn in turns)
    if "tools" in template.notes and uses:
        yield Problem("target.template-note", template.notes["tools"])
    for (path, _), message in zip(turns, messages, strict=True):
        yield from _left_out(path, message, text)
    declared: list[Any] = list(given or ())  # anything may stand there
    for index, tool in enumerate(declared):
        function = cast("dict[str, Any]", tool).get("function") if isinstance(tool, dict) else None
        name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
        if isinstance(name, str) and not _says(name, text):
            prefix = "input." if begins == "input.messages" else ""
            yield Problem(
                "target.template", f"the template leaves out the tool {name[:_SHOWN]!r}.", f"{prefix}tools[{index}]"
            )


def _left_out(path: str, message: Mapping[str, Any], text: str) -> Iterator[Problem]:
    content = message.get("content")
    if isinstance(content, str) and (missing := _missing(content, text)) is not None:
        what = f"the template leaves out of the {message['role']}'s turn: {_cut(missing)!r}."
        yield Problem("target.template", what, f"{path}.content")
    for index, call in enumerate(cast("Sequence[dict[str, Any]]", message.get("tool_calls") or ())):
        function = call["function"]
        place = f"{path}.tool_calls[{index}].function"
        if not _says(str(function["name"]), text):
            yield Problem(
                "target.template", f"the template leaves out the call of {str(function['name'])[:_SHOWN]!r}.", place
            )
            continue
        for word in _words(function["arguments"]):
            if not _says(word, text):
                yield Problem(
                    "target.template", f"the template leaves out of a call: {_cut(word)!r}.", f"{place}.arguments"
                )
                break


def _missing(content: str, text: str) -> str | None:
    """The first piece of `content` that is not in `text`: as it stands, else line by line, as templates trim and escape."""
    whole = content.strip()
    if not whole or whole in text:
        return None
    for line in _THOUGHT.sub("\n", content).splitlines():
        piece = line.strip()
        if piece and not _says(piece, text):
            return piece
    return None


def _says(piece: str, text: str) -> bool:
    return piece in text or json.dumps(piece, ensure_ascii=False)[1:-1] in text or json.dumps(piece)[1:-1] in text


def _words(value: Any) -> Iterator[str]:
    """Keys and texts of a call's arguments."""
    level = [value]
    while level:
        item = level.pop()
        if isinstance(item, str):
            if item.strip():
                yield item.strip()
        elif isinstance(item, dict):
            for key, inner in cast("dict[str, Any]", item).items():
                yield key
                level.append(inner)
        elif isinstance(item, list):
            level.extend(cast("list[Any]", item))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
