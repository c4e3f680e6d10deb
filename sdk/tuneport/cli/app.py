"""The group of commands, found by name and imported when run, and the one place where errors become words and exit statuses.

Exit status: 0 done; 1 the answer is no; 2 wrong usage; 3 timed out; 130 Ctrl-C, which detaches.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from tuneport import __version__
from tuneport.errors import NotInstalledError, SpecError, TuneportError, WaitTimeoutError
from tuneport.strict import suggest

# name → module in this package and attribute; the help line is the command's own.
_COMMANDS = {
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "models": "models:models",
    "validate": "validate:validate",
    "convert": "convert:convert",
    "advise": "advise:advise",
    "plan": "run:plan",
    "run": "run:run",
    "jobs": "jobs:jobs",
    "show": "jobs:show",
    "events": "jobs:events",
    "cancel": "jobs:cancel",
    "pause": "jobs:pause",
    "resume": "jobs:resume",
    "deploy": "jobs:deploy",
    "undeploy": "jobs:undeploy",
    "rm": "jobs:rm",
    "chat": "chat:chat",
    "evaluate": "compare:evaluate",
    "compare": "compare:compare",
    "review": "review:review",
    "simulate": "simulate:simulate",
}


class _Commands(click.Group):
    """Commands of this package, and those that a backend or an engine brings by entry point (`tuneport.commands`)."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*_COMMANDS, *sorted(point.name for point in entry_points(group="tuneport.commands"))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name in _COMMANDS:
            module, _, attribute = _COMMANDS[cmd_name].partition(":")
            command: click.Command = getattr(import_module(f"tuneport.cli.{module}"), attribute)
            return command
        for point in entry_points(group="tuneport.commands", name=cmd_name):
            loaded: click.Command = point.load()
            return loaded
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"no command is named {args[0]!r}: {suggest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tuneport")
def cli() -> None:
    """One FineTuneJob API: check a dataset, tune a model, read every result in one format.

    Begin with: tuneport demo
    """


def exit_status(error: TuneportError) -> int:
    """2 where the request itself is wrong, 3 for a timeout, 1 where the answer is no."""
    if isinstance(error, WaitTimeoutError):
        return 3
    return 2 if isinstance(error, (SpecError, NotInstalledError)) else 1


def run(args: list[str] | None = None) -> None:
    """Run a command line and exit. No traceback for a user's mistake; TUNEPORT_DEBUG=1 shows it."""
    words = sys.argv[1:] if args is None else args
    try:
        status = cli.main(args=words, prog_name="tuneport", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        if "--json" in words:
            click.echo(
                json.dumps({"error": {"type": "UsageError", "message": error.format_message()}}, ensure_ascii=False)
            )
        else:
            error.show()
        sys.exit(error.exit_code)
    except TuneportError as error:
        if os.environ.get("TUNEPORT_DEBUG"):
            raise
        report(error, as_json="--json" in words)
        sys.exit(exit_status(error))
    except BrokenPipeError:  # the reader (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(status if isinstance(status, int) else 0)


def report(error: TuneportError, *, as_json: bool) -> None:
    """The error in words on stderr, or as JSON on stdout."""
    if not as_json:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {error}", err=True)
        return
    body: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    for key in ("problems", "job_id", "resumable"):
        if (value := getattr(error, key, None)) not in (None, []):
            body[key] = value
    click.echo(json.dumps({"error": body}, ensure_ascii=False))
