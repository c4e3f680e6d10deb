"""`validate`: every problem of a dataset at once, by row, with its fix, before anything is spent."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import click
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tuneport import preflight
from tuneport.cli.output import console, json_option, print_json, quiet_option, table
from tuneport.dataset.codes import CODES
from tuneport.dataset.issues import Issue
from tuneport.dataset.report import ValidationReport
from tuneport.errors import SpecError
from tuneport.objectives import OBJECTIVES
from tuneport.strict import suggest

_SHOWN = 40  # issues on the screen; --all shows the rest
_EACH = {"error": 8, "warning": 3, "info": 1}  # of one code
_MARK = {"error": "[red]error[/]  ", "warning": "[yellow]warning[/]", "info": "[dim]info[/]   "}
_RANK = {"error": 0, "warning": 1, "info": 2}


@click.command(epilog="Example: tuneport validate tickets.jsonl --for openai:gpt-4.1-mini-2025-04-14 --fix clean.jsonl")
@click.argument("data", metavar="DATA", required=False)
@click.option("--for", "target", default=None, metavar="MODEL", help="Check for this target too: <backend>:<model>.")
@click.option("--objective", type=click.Choice(list(OBJECTIVES)), default=None, help="[default: what the rows are for]")
@click.option("--validation", default=None, metavar="FILE", help="Held-out rows: checked too, and for leakage.")
@click.option("--test", default=None, metavar="FILE", help="Held-out rows: checked too, and for leakage.")
@click.option("--privacy", type=click.Choice(["block", "redact", "allow"]), default="block", show_default=True)
@click.option(
    "--max-length", type=click.IntRange(min=8), default=None, help="Tokens of a row.  [default: the target's]"
)
@click.option("--group", "group_key", default=None, metavar="KEY", help="A key of the rows that must not cross splits.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option(
    "--fix", "fix", type=click.Path(dir_okay=False), default=None, metavar="OUT", help="Write the repaired rows."
)
@click.option(
    "--html", type=click.Path(dir_okay=False), default=None, metavar="OUT", help="Write a page with pictures."
)
@click.option("--all", "every", is_flag=True, help="Show every issue, not the first 40.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes.  [default: one a core]")
@click.option("--ray", is_flag=True, help="Run the checks as a Ray Data job.")
@click.option("--explain", default=None, metavar="CODE", help="What a code means, and what to do.")
@quiet_option
@json_option
def validate(
    data: str | None,
    target: str | None,
    objective: str | None,
    validation: str | None,
    test: str | None,
    privacy: Any,
    max_length: int | None,
    group_key: str | None,
    strict: bool,
    fix: str | None,
    html: str | None,
    every: bool,
    workers: int | None,
    ray: bool,
    explain: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Check DATA (a file, a glob, a URL): every problem at once, by row, each with its fix."""
    if explain is not None:
        return _explain(explain, as_json=as_json)
    if data is None:
        raise click.UsageError("name a file: tuneport validate data.jsonl")
    with Bar(quiet=quiet or as_json) as bar:
        report = preflight.validate(
            data,
            target,
            objective,
            validation=validation,
            test=test,
            privacy=privacy,
            max_length=max_length,
            group_key=group_key,
            workers=workers,
            ray=ray,
            progress=bar,
        )
    fixed = None
    if fix is not None:
        with Bar(quiet=quiet or as_json) as bar:
            fixed = preflight.fix(
                data, fix, target, report.objective, privacy=privacy, max_length=max_length, progress=bar
            )
    if html is not None:
        from tuneport.evaluate.dataset_page import write_page

        write_page(report, Path(html))
    answer = 0 if report.ok and not (strict and report.issues) else 1
    if as_json:
        print_json(report.model_dump(mode="json") | ({"fixed": fixed.model_dump(mode="json")} if fixed else {}))
        return answer
    if not quiet:
        _print(report, every=every)
    _verdict(report)
    if fixed is not None:
        _print_fixed(fixed)
    if html is not None:
        console.print(f"page: {html}", markup=False, soft_wrap=True)
    return answer


class Bar:
    """Bytes done, from two seconds on; nothing when quiet or not on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._begun = time.monotonic()
        self._bar = Progress(
            TextColumn("[bold]checking"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = None if quiet or not console.is_terminal else self._bar.add_task("", total=None, rows=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def __call__(self, done: int, total: int | None, rows: int) -> None:
        if self._task is None:
            return
        if not self._bar.live.is_started and time.monotonic() - self._begun > 2:
            self._bar.start()
        self._bar.update(self._task, total=total, completed=done, rows=rows)


def _print(report: ValidationReport, *, every: bool) -> None:
    target = f", for {report.target}" if report.target else ""
    console.print(f"{report.source}: {report.detected}{target}", markup=False, soft_wrap=True)
    issues = sorted(report.issues, key=lambda issue: (_RANK[issue.severity], issue.row is None, issue.row or 0))
    shown_issues = issues if every else _first_of_each(issues)
    for issue in shown_issues:
        console.print(_MARK[issue.severity], end=" ")
        place = ", ".join(
            part
            for part in (
                issue.source if issue.source != report.source else "",
                f"row {issue.row}" if issue.row is not None else "",
                issue.path or "",
            )
            if part
        )
        fix = f" Fix: {issue.fix}" if issue.fix else ""
        console.print(
            f"{place + ': ' if place else ''}{issue.message}{fix}  [{issue.code}]", markup=False, soft_wrap=True
        )
    hidden = sum(report.counts.values()) - len(shown_issues)
    if hidden > 0:
        console.print(f"… and {hidden:,} more: --all, --json or --html shows them.", style="dim")
    if not report.counts:
        return
    shown = table("code", "severity", "count", "what")
    severities = {issue.code: issue.severity for issue in report.issues}
    for code, count in sorted(
        report.counts.items(), key=lambda item: (_RANK[severities.get(item[0], "info")], -item[1])
    ):
        shown.add_row(code, severities.get(code, ""), f"{count:,}", CODES[code].title if code in CODES else "")
    console.print(shown)


def _first_of_each(issues: list[Issue]) -> list[Issue]:
    """A screenful: a frequent code must not hide a rare one."""
    seen: Counter[str] = Counter()
    chosen: list[Issue] = []
    for issue in issues:
        seen[issue.code] += 1
        if seen[issue.code] <= _EACH[issue.severity] and len(chosen) < _SHOWN:
            chosen.append(issue)
    return chosen


def _verdict(report: ValidationReport) -> None:
    ledger = report.ledger
    tokens = report.stats.get("tokens", {})
    counted = f" ({tokens['counted']})" if tokens.get("counted") not in {None, "exact"} else ""
    console.print(
        f"rows: {ledger.rows:,}: {ledger.used:,} used, {ledger.truncated:,} truncated, {ledger.dropped:,} dropped"
        + (
            f"; {ledger.tokens:,} tokens{counted}, {ledger.trainable_tokens or 0:,} of them trained"
            if ledger.tokens
            else ""
        ),
        markup=False,
        soft_wrap=True,
    )
    weakest = sorted((part for part in report.score.parts if part.value < 0.95), key=lambda part: part.value)[:3]
    why = "; ".join(f"{part.name} {part.value:.0%} ({part.why})" for part in weakest)
    console.print(f"score: {report.score.value} of 100" + (f"; {why}" if why else ""), markup=False, soft_wrap=True)
    for missing in report.not_checked:
        console.print(f"[yellow]not checked[/]: {escape(missing)}", soft_wrap=True)
    errors = sum(
        n for code, n in report.counts.items() if any(i.code == code and i.severity == "error" for i in report.issues)
    )
    if errors:
        mendable = any(issue.severity == "error" and CODES[issue.code].repairable for issue in report.issues)
        hint = "What a program can mend" if mendable else "The rows that are good, without these"
        console.print(f"[red]not ready[/]: {errors:,} errors. {hint}: --fix OUT.jsonl", soft_wrap=True)
    else:
        warnings = sum(report.counts.values())
        console.print("[green]ready[/]" + (f", with {warnings:,} warnings to look at" if warnings else ""))


def _print_fixed(fixed: Any) -> None:
    console.print(
        f"fixed: {fixed.output}: {fixed.written:,} of {fixed.rows:,} rows written, {fixed.changed:,} of them mended, "
        f"{fixed.removed:,} left out",
        markup=False,
        soft_wrap=True,
    )
    for change in fixed.changes[:_SHOWN]:
        console.print(f"  row {change.row}: {change.what}  [{change.code}]", markup=False, soft_wrap=True)
    for change in fixed.left_out[:_SHOWN]:
        console.print(f"  row {change.row} left out: {change.what}  [{change.code}]", markup=False, soft_wrap=True)
    more = max(0, len(fixed.changes) - _SHOWN) + max(0, len(fixed.left_out) - _SHOWN)
    if more:
        console.print(f"  … and {more:,} more: --json lists them", style="dim")


def _explain(code: str, *, as_json: bool) -> int:
    if code not in CODES:
        raise SpecError(f"no check has the code {code!r}: {suggest(code, CODES)}")
    known = CODES[code]
    repair = "yes: --fix mends it" if known.repairable else "no: it needs somebody who knows what was meant"
    words = {
        "code": code,
        "severity": known.severity,
        "what": known.title,
        "why": known.why,
        "fix": known.fix,
        "by program": repair,
    }
    if as_json:
        click.echo(json.dumps(words, ensure_ascii=False))
        return 0
    for name, text in words.items():
        console.print(f"{name:<11} {text}", markup=False, soft_wrap=True)
    return 0
