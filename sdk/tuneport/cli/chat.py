"""`chat`: ask a model, tuned or not."""

from __future__ import annotations

import sys
from typing import Any

import click

from tuneport import registry
from tuneport.cli.output import console, json_option, print_json
from tuneport.errors import SpecError
from tuneport.job import FineTuneJob


@click.command(epilog="Example: tuneport chat tp-01j… --message 'Where is my order 81?'")
@click.argument("model", metavar="MODEL")
@click.option("-m", "--message", default=None, help="Ask once. Without it, a conversation; end it with Ctrl-D.")
@click.option("--system", default=None, help="A system prompt.")
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@json_option
def chat(
    model: str, message: str | None, system: str | None, temperature: float, max_tokens: int, as_json: bool
) -> int:
    """Ask MODEL: a job's id or name, or <backend>:<model>."""
    name = model if ":" in model else str(FineTuneJob.get(model).result().model)
    session = registry.open_model(name)
    turns: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []

    def ask(text: str) -> Any:
        if not text.strip():
            raise SpecError(
                "the message is empty, and a call may cost: write one, as in --message 'Where is my order?'"
            )
        turns.append({"role": "user", "content": text})
        answer = session.chat(turns, temperature=temperature, max_tokens=max_tokens)
        turns.append({"role": "assistant", "content": answer.content})
        return answer

    if message is not None or not sys.stdin.isatty():
        answer = ask(message if message is not None else sys.stdin.read().rstrip("\n"))
        if as_json:
            print_json(answer)
        else:
            click.echo(answer.content)
        return 0
    while True:
        try:
            text = click.prompt("you", prompt_suffix="> ")
        except click.exceptions.Abort:
            click.echo()
            return 0
        console.print(ask(text).content, markup=False, style="cyan")
