"""`simulate`: a stand-in for a provider on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Protocol, cast

import click

from tuneport.cli.output import console, json_option
from tuneport.errors import NotInstalledError, SpecError
from tuneport.strict import suggest

GROUP = "tuneport.simulators"


class Simulator(Protocol):
    """What an entry point's `start` gives: already running."""

    @property
    def url(self) -> str: ...

    def environment(self) -> dict[str, str]: ...

    def stop(self) -> None: ...


class Start(Protocol):
    """What an entry point of the group `tuneport.simulators` names. SpecError for a script that is none."""

    def __call__(self, *, port: int, faults: Path | None, speed: float) -> Simulator: ...


GUIDE = "https://github.com/tuneport/tuneport/blob/main/docs/simulators.md"


@click.command(
    epilog="Example: tuneport simulate openai --port 8123 --faults faults.yaml\n\n"
    f"Fault scripts, every operation, the clock and the pytest fixtures: docs/simulators.md ({GUIDE})"
)
@click.argument("provider", metavar="PROVIDER")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On loopback.  [default: any that is free]")
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="A YAML list of what goes wrong, where and how often.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="How many of the provider's seconds pass in one.",
)
@json_option
def simulate(provider: str, port: int, faults: Path | None, speed: float, as_json: bool) -> int:
    """Stand in for PROVIDER (openai, azure, bedrock-openai, bedrock or vertex): no keys, no bill, real sockets.

    Prints the lines that point the provider's own SDK, and tuneport, at it, with no credentials of yours; then it runs until
    Ctrl-C.
    """
    start = _start(provider)
    over = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        over.set()

    try:
        simulator = start(port=port, faults=faults, speed=speed)
    except OSError as error:
        raise SpecError(
            f"port {port} cannot be used: {error.strerror or error}. Choose another, or leave it out."
        ) from None
    try:
        for number in before:
            signal.signal(number, end)
        _say(provider, simulator, speed, as_json=as_json)
        while not over.wait(3600):
            continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        simulator.stop()
    if not as_json:
        console.print("stopped; what it held is gone.")
    return 0


def _start(provider: str) -> Start:
    points = {point.name: point for point in entry_points(group=GROUP)}
    if provider not in points:
        raise SpecError(f"no simulator is named {provider!r}: {suggest(provider, points)}")
    try:
        return cast("Start", points[provider].load())
    except ImportError as error:
        raise NotInstalledError(
            f"the {provider} simulator needs a package that is not installed ({error.name or error}): "
            "pip install 'tuneport[simulators]'",
            extra="simulators",
        ) from error


def _say(provider: str, simulator: Simulator, speed: float, *, as_json: bool) -> None:
    variables = simulator.environment()
    # What would show it a credential of yours, or lead past it. A third party's simulator need not name any.
    blank: Sequence[str] = getattr(simulator, "blank", ())
    if as_json:
        said = {"provider": provider, "url": simulator.url, "speed": speed}
        click.echo(json.dumps({**said, "environment": variables, "unset": list(blank)}))
        return
    click.echo(f"# {provider}, simulated at {simulator.url}; its clock runs {speed:g} times as fast as yours.")
    click.echo("# In another terminal, before you run tuneport or the provider's own SDK:")
    if blank:
        click.echo(f"unset {' '.join(blank)}")
    for name, value in variables.items():
        if value:
            click.echo(f"export {name}={shlex.quote(value)}")
    click.echo("# Ctrl-C ends it.")
