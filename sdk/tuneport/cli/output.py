"""How things look on a terminal: tables, durations, the live progress line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import click
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tuneport.job import FineTuneJob
from tuneport.result import FineTuneResult, MetricComparison
from tuneport.status import Event, JobStatus

# A pipe or a log has no width of its own: wide enough that no id is broken.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
F = TypeVar("F", bound=Callable[..., Any])

_COLOURS = {
    JobStatus.SUCCEEDED: "green",
    JobStatus.FAILED: "red",
    JobStatus.INTERRUPTED: "yellow",
    JobStatus.CANCELLED: "yellow",
    JobStatus.RUNNING: "cyan",
}


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def quiet_option(command: F) -> F:
    return click.option("-q", "--quiet", is_flag=True, help="Print the outcome only.")(command)


def print_json(value: Any) -> None:
    """A model, or plain data, as JSON on stdout."""
    if isinstance(value, BaseModel):
        click.echo(value.model_dump_json(indent=2))
    else:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def job_data(job: FineTuneJob) -> dict[str, Any]:
    """A job for `--json`: what the store keeps, without the result."""
    return job.record.model_dump(mode="json", exclude={"result"}) | {"model": job.model}


def styled(status: JobStatus) -> str:
    colour = _COLOURS.get(status)
    return f"[{colour}]{status.value}[/]" if colour else status.value


def table(*columns: str, title: str | None = None) -> Table:
    made = Table(title=title, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column == "id")
    return made


class Follower:
    """Shows a job's events: one live line on a terminal, plain lines elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = console.is_terminal and not quiet
        self._task: TaskID | None = None
        self._printed = 0.0
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[step]}"),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
            self._task = self._progress.add_task("starting", total=None, step="", loss="", speed="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        if event.type == "metrics":
            self._metrics(event)
        elif event.message:
            text = event.message if event.level == "info" else f"{event.level}: {event.message}"
            if self._live and self._task is not None and event.type != "checkpoint":
                self._progress.update(self._task, description=text[:48])
            if not self._live or event.level != "info":
                console.print(f"  {text}", markup=False)

    def _metrics(self, event: Event) -> None:
        data = event.data
        step, last = data.get("step"), data.get("max_steps")
        if step is None:
            return
        loss, speed = data.get("loss"), data.get("tokens_per_second")
        words = {
            "step": f"step {step}/{last}" if last else f"step {step}",
            "loss": f"loss {loss:.4f}" if loss is not None else "",
            "speed": f"{speed:,.0f} tok/s" if speed else "",
        }
        if self._live and self._task is not None:
            shown: dict[str, Any] = {key: value for key, value in words.items() if value}
            self._progress.update(self._task, description="training", total=last, completed=step, **shown)
            return
        now = time.monotonic()
        if now - self._printed >= 5 or step == last:  # a log file wants a line now and then, not one a step
            self._printed = now
            left = data.get("seconds_left")
            extra = f"{duration(left)} left" if left else ""
            console.print("  " + "  ".join(word for word in (*words.values(), extra) if word), markup=False)


def _number(metric: MetricComparison, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if metric.name == "loss" else f"{value:.1%}"


def print_result(result: FineTuneResult, *, brief: bool = False) -> None:
    """The outcome on one screen; `brief` leaves out how it came about."""
    if result.test is not None:
        shown = table("held-out test", "base", "tuned", "difference", f"{_confidence(result)} interval")
        for metric in result.test.metrics:
            gap = metric.difference
            percent = metric.name != "loss"
            scale, form = (100, "{:+.1f}") if percent else (1, "{:+.4f}")
            shown.add_row(
                metric.name.replace("_", " "),
                _number(metric, metric.base),
                _number(metric, metric.tuned),
                (form.format(gap.estimate * scale) + (" points" if percent else "")) if gap else "–",
                f"{form.format(gap.low * scale)} to {form.format(gap.high * scale)}" if gap else "–",
            )
        console.print(shown)
        console.print(f"  measured on {result.test.rows} rows that were never trained on", style="dim")
    if brief:
        console.print(f"model: {result.model}", markup=False, soft_wrap=True)
        return
    for split, ledger in result.dataset.ledger.items():
        reasons = "; ".join(f"{count} {reason}" for reason, count in ledger.reasons.items())
        console.print(
            f"{split}: {ledger.rows} rows: {ledger.used} used, {ledger.truncated} truncated, {ledger.dropped} dropped"
            + (f" ({reasons})" if reasons else "")
            + (f"; {ledger.trainable_tokens:,} trainable tokens" if ledger.trainable_tokens else ""),
            markup=False,
        )
    usage = result.usage
    memory = f", peak memory {usage.peak_memory_bytes / 2**20:,.0f} MiB" if usage.peak_memory_bytes else ""
    devices = f" on {', '.join(usage.devices)}" if usage.devices else ""
    console.print(f"time: {duration(usage.wall_seconds)}{devices}{memory}")
    for warning in result.warnings:
        console.print(f"[yellow]note[/]: {escape(warning)}", soft_wrap=True)
    console.print(f"model: {result.model}", markup=False, soft_wrap=True)


def _confidence(result: FineTuneResult) -> str:
    intervals = [m.difference for m in result.test.metrics if m.difference] if result.test else []
    return f"{intervals[0].confidence:.0%}" if intervals else "95%"
