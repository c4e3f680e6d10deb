"""`chat`: ask a model, tuned or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

from tuneport import registry
from tuneport.backend import ChatSession
from tuneport.cli.output import console, json_option, print_json
from tuneport.errors import SpecError
from tuneport.job import FineTuneJob
from tuneport.result import Message


@click.command(epilog="Example: tuneport chat tp-01j… --message 'Where is my order 81?'")
@click.argument("model", metavar="MODEL")
@click.option("-m", "--message", default=None, help="Ask once. Without it, a conversation; end it with Ctrl-D.")
@click.option("--system", default=None, help="A system prompt.")
@click.option(
    "--tools",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="A JSON list of the tools that it may call, as in a row of training data. You are asked for what a call gives.",
)
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@json_option
def chat(
    model: str,
    message: str | None,
    system: str | None,
    tools: Path | None,
    temperature: float,
    max_tokens: int,
    as_json: bool,
) -> int:
    """Ask MODEL: a job's id or name, or <backend>:<model>."""
    offered = None if tools is None else _read(tools)
    talk = _Talk(_session(model), system, offered, temperature, max_tokens)
    if message is not None or not sys.stdin.isatty():
        answer = talk.ask(message if message is not None else sys.stdin.read().rstrip("\n"))
        if as_json:
            print_json(answer)
        else:
            click.echo("\n".join(part for part in (answer.content, *map(shown, answer.tool_calls)) if part))
        return 0
    while True:
        try:
            answer = talk.ask(click.prompt("you", prompt_suffix="> "))
            _show(answer)
            while answer.tool_calls:  # a provider refuses the next question while a call has no result
                answer = talk.give([(call, _result(call)) for call in answer.tool_calls])
                _show(answer)
        except click.exceptions.Abort:
            click.echo()
            return 0


class _Talk:
    """A conversation, each turn of it kept as the next question needs it."""

    def __init__(
        self,
        session: ChatSession,
        system: str | None,
        tools: Sequence[Mapping[str, Any]] | None,
        temperature: float,
        max_tokens: int,
    ) -> None:
        self._session = session
        self._tools = tools
        self._settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._turns: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []

    def ask(self, text: str) -> Message:
        if not text.strip():
            raise SpecError(
                "the message is empty, and a call may cost: write one, as in --message 'Where is my order?'"
            )
        return self._answered({"role": "user", "content": text})

    def give(self, results: Sequence[tuple[Mapping[str, Any], str]]) -> Message:
        """The results of the calls that the last answer made."""
        return self._answered(
            *({"role": "tool", "tool_call_id": call.get("id"), "content": result} for call, result in results)
        )

    def _answered(self, *turns: dict[str, Any]) -> Message:
        self._turns += turns
        answer = self._session.chat(self._turns, tools=self._tools, **self._settings)
        calls: dict[str, Any] = {"tool_calls": answer.tool_calls} if answer.tool_calls else {}
        self._turns.append({"role": "assistant", "content": answer.content or (None if calls else ""), **calls})
        return answer


def _session(model: str) -> ChatSession:
    if ":" in model:
        return registry.open_model(model)
    tuned = FineTuneJob.get(model).result().model
    return registry.open_model(str(tuned), tuned.options)  # it answers where it was tuned


def _read(path: Path) -> list[dict[str, Any]]:
    """The tools of a file. SpecError where it is no list of objects."""
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read as a JSON list of tools: {error}") from None
    tools = cast("list[Any]", read) if isinstance(read, list) else []
    if not tools or not all(isinstance(tool, dict) and "function" in tool for tool in tools):
        raise SpecError(
            f"{path} holds no list of tools: write "
            '[{"type": "function", "function": {"name": "weather", "parameters": {…}}}].'
        )
    return tools


def _show(answer: Message) -> None:
    if answer.content or not answer.tool_calls:
        console.print(answer.content, markup=False, style="cyan")
    for call in answer.tool_calls:
        console.print(shown(call), markup=False, style="magenta")


def _result(call: Mapping[str, Any]) -> str:
    name = cast("Mapping[str, Any]", call.get("function") or {}).get("name") or "the call"
    return str(click.prompt(f"result of {name}", prompt_suffix="> "))


def shown(call: Mapping[str, Any]) -> str:
    """A call of a tool as one reads it: name(argument=value)."""
    function = cast("Mapping[str, Any]", call.get("function") or {})
    name, given = function.get("name") or "?", function.get("arguments") or "{}"
    try:
        read: Any = json.loads(given)
    except (TypeError, ValueError):
        read = None
    if not isinstance(read, dict):
        return f"{name}({given})"  # what a model wrote need not be JSON
    arguments = cast("dict[str, Any]", read)
    return f"{name}({', '.join(f'{key}={json.dumps(value, ensure_ascii=False)}' for key, value in arguments.items())})"
