"""`convert`: a dataset in another dialect, with everything named that it cannot say."""

from __future__ import annotations

import time
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tuneport.cli.output import json_option
from tuneport.dataset.convert import ConversionReport, OnLoss
from tuneport.dataset.convert import convert as convert_rows
from tuneport.dataset.dialects import DIALECTS

_SHOWN = 10  # refusals and losses in the summary; --json has up to 1,000


@click.command(epilog="Example: tuneport convert train.jsonl --to vertex -o train.vertex.jsonl")
@click.argument("data", metavar="IN")
@click.option("--to", required=True, metavar="DIALECT", help=f"One of: {', '.join(DIALECTS)}.")
@click.option(
    "-o", "--out", required=True, metavar="OUT", help="A .jsonl, .jsonl.gz or .jsonl.zst file, or - for stdout."
)
@click.option("--strict", is_flag=True, help="Write no row that would lose anything.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes.  [default: one a core]")
@json_option
def convert(data: str, to: str, out: str, strict: bool, workers: int | None, as_json: bool) -> int:
    """Write the rows of IN in another dialect. What they are written in is recognised.

    A row that DIALECT cannot say is refused and named; a row that loses a part, such as a weight, is written, and the loss
    is named. Exit status 1 if a row was refused.
    """
    on_loss: OnLoss = "refuse-row" if strict else "keep-row"
    # The rows themselves may go to stdout.
    screen = Console(stderr=out == "-", highlight=False, soft_wrap=True)
    with _Bar(shown=not as_json) as bar:
        report = convert_rows(data, to, out, on_loss=on_loss, workers=workers, progress=bar)
    if as_json:
        click.echo(report.model_dump_json(indent=2), err=out == "-")
    else:
        _print(report, screen)
    return 0 if report.ok else 1


class _Bar:
    """A progress bar on stderr, where that is a terminal and more than two seconds pass."""

    def __init__(self, *, shown: bool) -> None:
        self._console = Console(stderr=True)
        self._shown = shown and self._console.is_terminal
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, done: int, total: int | None, rows: int) -> None:
        if not self._shown or time.monotonic() - self._started < 2:
            return
        if self._progress is None or self._task is None:
            columns: list[Any] = [
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                DownloadColumn(),
                TimeRemainingColumn(),
            ]
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._task = self._progress.add_task("converting", total=total)
            self._progress.start()
        self._progress.update(self._task, completed=done, description=f"converting  {rows:,} rows")


def _print(report: ConversionReport, screen: Console) -> None:
    def say(text: str, style: str | None = None) -> None:
        screen.print(text, markup=False, style=style)

    say(f"{report.source}: {_count(report.rows, 'row')}; {_detected(report)}")
    if report.out is None:
        say(f"Nothing was written: no row can be said in {report.to}.")
    else:
        place = "standard output" if report.out == "-" else report.out
        say(f"{_count(report.written, 'row')} written as {report.to} to {place}")
    if report.loss_counts:
        lost = ", ".join(f"{path} {count:,}×" for path, count in report.loss_counts.items())
        say(f"{_count(report.rows_with_losses, 'row')} without a part that {report.to} cannot say: {lost}", "yellow")
        _list(report.losses, sum(report.loss_counts.values()), say)
    if report.refused:
        say(f"{_count(report.refused, 'row')} refused:", "red")
        _list(report.refusals, report.refused, say)


def _list(found: list[Any], count: int, say: Any) -> None:
    for item in found[:_SHOWN]:
        say(f"  {item}")
    if count > _SHOWN:
        say(f"  … and {count - _SHOWN:,} more; --json lists the first 1,000")


def _detected(report: ConversionReport) -> str:
    known = {name: count for name, count in report.detected.items() if name != "unknown"}
    if not known:
        return "of no known dialect"
    kinds = {DIALECTS[name].kind for name in known}
    if len(known) == 1 and len(report.detected) == 1:
        name = next(iter(known))
        return f"recognised as {name} ({kinds.pop()})"
    return "recognised as " + ", ".join(f"{name} ({count:,})" for name, count in report.detected.items())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
