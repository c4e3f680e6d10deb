"""`compare` and `evaluate`: contenders side by side on held-out rows, or one model measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tuneport.cli.output import console, duration, json_option, print_json, quiet_option, table
from tuneport.cli.run import pair
from tuneport.errors import SpecError
from tuneport.evaluate import comparing, words
from tuneport.evaluate.comparison import Comparison, Difference, MetricInfo, Value
from tuneport.evaluate.pricing import Forecast

F = TypeVar("F", bound=Callable[..., Any])
_METRICS_SHOWN = 4  # columns on a screen; the report has all


def _options(command: F) -> F:
    for option in reversed(
        [
            click.option(
                "--test", default=None, metavar="DATA", help="Held-out rows. [default: those the jobs held out]"
            ),
            click.option(
                "--metric", "metrics", multiple=True, help="One metric, repeatable. [default: what fits the rows]"
            ),
            click.option("--report", type=click.Path(dir_okay=False), help="OUT.html; OUT.json and OUT.md beside it."),
            click.option(
                "--max-tokens", type=click.IntRange(min=1), default=None, help="Of an answer. [default: by the rows]"
            ),
            click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True),
            click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
            click.option(
                "--concurrency", type=click.IntRange(min=1), default=None, help="Questions under way at once."
            ),
            click.option("--schema", type=click.Path(dir_okay=False), help="A JSON Schema that the answers keep to."),
            click.option("--examples", default=None, metavar="DATA", help="Where few-shot draws its examples."),
            click.option(
                "--price",
                "prices",
                multiple=True,
                metavar="NAME=IN,OUT",
                help="USD per million tokens read and written.",
            ),
            click.option(
                "--calls", "calls_per_month", type=click.IntRange(min=1), help="Your calls a month, for the bill."
            ),
            click.option(
                "--gpu-price", "gpu_per_hour", type=click.FloatRange(min=0), help="USD an hour of your own GPU."
            ),
            click.option(
                "--budget", "budget_usd", type=click.FloatRange(min=0), help="Refuse, and stop, above these USD."
            ),
            click.option("--fresh", is_flag=True, help="Ask again what was answered before."),
            click.option("-y", "--yes", is_flag=True, help="Do not ask before spending."),
        ]
    ):
        command = option(command)
    return quiet_option(json_option(command))


@click.command(epilog="Example: tuneport compare tp-01j… base few-shot:4 --test test.jsonl --report report.html")
@click.argument("contenders", nargs=-1, required=True, metavar="CONTENDER…")
@click.option("--general", is_flag=True, help="Also what each job has forgotten, by the general probe.")
@click.option("--judge", default=None, metavar="MODEL", help="A model that judges the answers in pairs.")
@_options
def compare(contenders: tuple[str, ...], **options: Any) -> int:
    """Contenders side by side on held-out rows: how good, how sure, at what cost.

    \b
    A CONTENDER is a job's id or name, <backend>:<model>, base (of the first job),
    few-shot:K or few-shot:K:<backend>:<model>, system:FILE[:<backend>:<model>], or file:ANSWERS.jsonl.
    """
    return _run(contenders, options)


@click.command(epilog="Example: tuneport evaluate local:starter --test test.jsonl --metric exact_match")
@click.argument("model", metavar="MODEL")
@_options
def evaluate(model: str, **options: Any) -> int:
    """Measure MODEL (a job's id or name, or <backend>:<model>) on held-out rows."""
    return _run((model,), options)


def _run(contenders: Sequence[str], options: dict[str, Any]) -> int:
    as_json, quiet, report, yes = (options.pop(name) for name in ("as_json", "quiet", "report", "yes"))
    if report is not None and Path(report).suffix.lower() not in {".html", ".htm"}:
        raise SpecError(
            f"--report {report}: the report is a page, OUT.html; OUT.json and OUT.md are written beside it."
        )
    options["prices"] = dict(_price(text) for text in options["prices"])
    options["metrics"] = list(options["metrics"]) or None
    if options["schema"] is not None:
        options["schema"] = _schema(Path(options["schema"]))
    silent = quiet or as_json

    def spend(forecasts: Sequence[Forecast]) -> None:
        _show_price(forecasts, silent=silent)
        paid = [one for one in forecasts if one.calls and one.likely != 0]
        if not paid or yes or options["budget_usd"] is not None:
            return
        if not sys.stdin.isatty():
            raise SpecError(
                f"asking {' and '.join(one.name for one in paid)} costs money, and there is no terminal to ask on: give --yes, "
                "or a cap with --budget."
            )
        click.confirm("Ask them?", abort=True, err=True)

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=silent or not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None, visible=False)

        def progress(name: str, done: int, of: int) -> None:
            bar.update(task, description=f"asking {name}", completed=done, total=of, visible=True)

        comparison = comparing.compare(contenders, progress=progress, before_spending=spend, **options)
    written = _write(comparison, report) if report is not None else []
    if as_json:
        print_json(comparison)
        return 0
    print_comparison(comparison)
    for path in written:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    if report is not None and len(comparison.contenders) > 1:
        said = f"Let people judge, blindly: tuneport review {Path(report).with_suffix('.json')}"
        console.print(said, markup=False, soft_wrap=True)
    return 0


def _write(comparison: Comparison, report: str) -> list[Path]:
    page = Path(report)
    comparison.to_html(page)
    comparison.to_json(page.with_suffix(".json"))
    comparison.to_markdown(page.with_suffix(".md"))
    return [page, page.with_suffix(".json"), page.with_suffix(".md")]


def print_comparison(comparison: Comparison) -> None:
    """The verdict, the table and the differences on one screen."""
    for line in comparison.verdict:
        console.print(f"[bold]{escape(line)}[/]", soft_wrap=True)
    shown = [info for info in comparison.metrics if not info.note][:_METRICS_SHOWN]
    made = table("", "contender", *(info.name for info in shown), "per 1,000 calls", "median", "failed")
    for contender in comparison.contenders:
        cells = [_cell(comparison, info, contender.key) for info in shown]
        cost = contender.per_thousand_calls.estimated
        made.add_row(
            contender.key,
            escape(contender.name),
            *cells,
            "unknown" if cost is None else f"${cost:,.2f}",
            duration(contender.latency.p50) if contender.latency else "–",
            str(contender.failed or "–"),
        )
    console.print(made)
    test = comparison.test
    left = f"; {test.rows - test.used} left out ({', '.join(test.left_out)})" if test.left_out else ""
    console.print(f"  {test.used} rows of {test.source}{left}", style="dim", markup=False, soft_wrap=True)
    for gap in _main(comparison):
        console.print(f"{gap.other} against {gap.base}: {gap.words}", markup=False, soft_wrap=True)
    for judgement in comparison.judgements:
        console.print(f"{judgement.other} against {judgement.base}: {judgement.words}", markup=False, soft_wrap=True)
    for line in comparison.warnings:
        console.print(f"[yellow]note[/]: {escape(line)}", soft_wrap=True)


def _main(comparison: Comparison) -> list[Difference]:
    first = next((info.name for info in comparison.metrics if not info.note), None)
    return [gap for gap in comparison.differences if gap.metric == first]


def _cell(comparison: Comparison, info: MetricInfo, key: str) -> str:
    value = next((v for v in comparison.values if v.metric == info.name and v.contender == key), None)
    return "–" if value is None or value.value is None else _number(info, value)


def _number(info: MetricInfo, value: Value) -> str:
    amount = cast("float", value.value)
    if info.unit == "":
        text = words.percent(amount)
        if value.interval is not None and value.interval.known:
            text += f" ({words.percent(value.interval.low)} to {words.percent(value.interval.high)})"
        return text
    return f"{words.number(amount)} {info.unit}"


def _show_price(forecasts: Sequence[Forecast], *, silent: bool) -> None:
    if silent or not any(one.calls and one.likely != 0 for one in forecasts):
        return
    made = table("asking", "calls", "likely", "at most", "price")
    for one in forecasts:
        made.add_row(
            escape(one.name),
            f"{one.calls:,}",
            "unknown" if one.likely is None else f"${one.likely:,.4f}",
            "unknown" if one.most is None else f"${one.most:,.4f}",
            escape(one.source),
        )
    console.print(made)


def _price(text: str) -> tuple[str, tuple[float, float]]:
    name, value = pair(text, "--price")
    read, _, written = value.partition(",")
    try:
        return name, (float(read), float(written))
    except ValueError:
        raise SpecError(
            f"--price {text!r}: write NAME=IN,OUT in US dollars per million tokens, as in 'base local:starter=0.4,1.6'."
        ) from None


def _schema(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"--schema {path} cannot be read as JSON: {error}.") from None
    if not isinstance(found, dict):
        raise SpecError(f"--schema {path} holds {type(found).__name__}: a JSON Schema is an object.")
    return cast("dict[str, Any]", found)
