"""A comparison as one HTML file that anybody can open: no network, no script, light and dark, fit to print.

What models answered is untrusted text: the template escapes everything, and a Content-Security-Policy in the page lets nothing
load or run should that ever fail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tuneport.evaluate import comparison_pictures as pictures
from tuneport.evaluate import costs, words
from tuneport.evaluate.comparison import Answer, ComparedRow, Comparison, Contender, Difference, MetricInfo
from tuneport.evaluate.questions import text_of
from tuneport.evaluate.report import Segment, differences

_COLUMNS = 3  # metrics in the first table
_FORESTS = 2
_EXAMPLES = 4  # of each pair, each way
_PAIRS = 6
_HALF, _NARROW = 500, 400  # of the page, in pixels; of a phone
_PROMPT, _ANSWER = 900, 1200  # characters


def page(comparison: Comparison) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": words.number,
        "signed": words.signed,
        "count": words.count,
        "duration": words.duration,
        "percent": words.percent,
        "shown": words.visible,
        "dollars": dollars,
        "title_of": words.title,
        "chance": chance,
        "when": _when,
        "smallest": smallest,
    }
    environment.filters.update(filters)
    shown = fitting(comparison)
    first = shown[0] if shown else None
    lines = costs.lines(comparison.contenders, comparison.money.gpu_per_hour, comparison.money.months)
    made = {
        "scatter": pictures.scatter(comparison, first, _HALF) if first else "",
        "latency": pictures.latency(comparison, _HALF),
        "bill": pictures.bill(comparison, lines, _HALF),
        "curves": pictures.curves(comparison),
    }
    return environment.get_template(
        "comparison.html.j2"
    ).render(
        comparison=comparison,
        names=[one.name for one in comparison.contenders],
        tone=tone(comparison, first),
        marks=[Markup(pictures.key_mark(place)) for place in range(len(comparison.contenders))],  # noqa: S704 (made of numbers)
        shown=shown[:_COLUMNS],
        first=first,
        best=best(comparison, first),
        cells={
            info.name: {one.key: cell(comparison, info, one.key) for one in comparison.contenders} for info in shown
        },
        forests=[
            (info, *(Markup(pictures.forest(comparison, info, width)) for width in (760, _NARROW)))  # noqa: S704 (escaped there)
            for info in shown[:_FORESTS]
        ],
        gaps=[
            (info, pairs)
            for info in shown
            if (pairs := [gap for gap in comparison.differences if gap.metric == info.name])
        ],
        judgements=comparison.judgements,
        pictures={name: Markup(svg) for name, svg in made.items()},  # noqa: S704 (escaped where they are made)
        crossings=[costs.words(crossing, comparison.contenders) for crossing in comparison.money.crossings],
        costs_known=any(one.training.estimated or one.per_thousand_calls.estimated for one in comparison.contenders),
        flips=flips(comparison, first),
        confusion=[
            (one, list(dict.fromkeys([*table, *(said for row in table.values() for said in row)])), table)
            for one in comparison.contenders
            if (table := comparison.confusion.get(one.key))
        ],
        ledgers=[(one, split, totals) for one in comparison.contenders for split, totals in one.ledger.items()],
    )


def fitting(comparison: Comparison) -> list[MetricInfo]:
    """The metrics that fit the rows, in their order."""
    return [info for info in comparison.metrics if not info.note]


def dollars(value: float) -> str:
    return "$0" if value == 0 else f"${value:,.2f}" if value >= 0.01 else f"${value:.2g}"


def chance(p: float | None) -> str:
    if p is None:
        return "\u2013"
    return "under 0.001" if p < 0.001 else f"{p:.3f}"


def smallest(gap: Difference, info: MetricInfo) -> str:
    if gap.smallest is None:
        return "\u2013"
    return f"{100 * gap.smallest:.1f} points" if info.share else words.number(gap.smallest)


def cell(comparison: Comparison, info: MetricInfo, key: str) -> str:
    value = next((v for v in comparison.values if v.metric == info.name and v.contender == key), None)
    if value is None or value.value is None:
        return "\u2013"
    tell = words.percent if info.share else words.number
    text = tell(value.value) + (f" {info.unit}" if info.unit and not info.share else "")
    if value.interval is not None and value.interval.known:
        text += f" ({tell(value.interval.low)} to {tell(value.interval.high)})"
    return text + (f", {value.rows} rows" if value.missing else "")


def best(comparison: Comparison, info: MetricInfo | None) -> set[str]:
    """The one contender that is told apart from all others on the first metric, if there is one."""
    if info is None or info.higher_is_better is None:
        return set()
    won: dict[str, int] = {}
    for gap in comparison.differences:
        if gap.metric == info.name and gap.outcome in {"better", "worse"}:
            winner = gap.other if gap.outcome == "better" else gap.base
            won[winner] = won.get(winner, 0) + 1
    return {key for key, times in won.items() if times == len(comparison.contenders) - 1}


def tone(comparison: Comparison, info: MetricInfo | None) -> str:
    return "better" if best(comparison, info) else "open"


@dataclass(frozen=True)
class Said:
    name: str
    right: bool
    failed: bool
    segments: list[Segment]


@dataclass(frozen=True)
class Example:
    row: int
    prompt: list[tuple[str, str]]
    expected: str
    answers: list[Said]


@dataclass(frozen=True)
class Flip:
    title: str
    examples: list[Example]


def flips(comparison: Comparison, info: MetricInfo | None) -> list[Flip]:
    """Examples of the first yes-or-no metric that changed sides, of the first pairs, both ways."""
    binary = next((one for one in fitting(comparison) if one.kind == "binary"), None)
    if info is None or binary is None:
        return []
    rows = {row.row: row for row in comparison.rows}
    found: list[Flip] = []
    for gap in [gap for gap in comparison.differences if gap.metric == binary.name][:_PAIRS]:
        pair = (comparison[gap.base], comparison[gap.other])
        for numbers, winner, loser in ((gap.gained, gap.other, gap.base), (gap.lost, gap.base, gap.other)):
            if numbers:
                named = (
                    f"{winner} right, {loser} not: {words.count(len(numbers))} row{'' if len(numbers) == 1 else 's'}"
                )
                examples = [
                    _example(rows[number], pair, binary.name) for number in numbers[:_EXAMPLES] if number in rows
                ]
                found.append(Flip(named, examples))
    return found


def _example(row: ComparedRow, pair: Iterable[Contender], metric: str) -> Example:
    expected = words.visible(row.expected or _calls(row.expected_tool_calls), _ANSWER)
    answers: list[Said] = []
    for one in pair:
        answer = row.answers[one.key]
        score = row.scores.get(metric, {}).get(one.key)
        text = words.visible(said(answer), _ANSWER)
        parts: list[Segment] = [("same", text)] if answer.failed else differences(expected, text)
        answers.append(Said(f"{one.key} {words.visible(one.name, 60)}", score == 1, answer.failed, parts))
    turns = [(str(turn.get("role", "")), words.visible(text_of(turn.get("content")), _PROMPT)) for turn in row.messages]
    return Example(row.row, turns, expected, answers)


def said(answer: Answer) -> str:
    """An answer in words: its text and its calls, or why there is none."""
    if answer.error is not None:
        return answer.error
    return "\n".join(part for part in (answer.content or "", _calls(answer.tool_calls)) if part)


def _calls(calls: Iterable[dict[str, Any]]) -> str:
    functions = [call.get("function") or call for call in calls]
    return "\n".join(f"{function.get('name')}({function.get('arguments')})" for function in functions)


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
