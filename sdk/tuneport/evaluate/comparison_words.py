"""What the page and the Markdown of a comparison say alike: cells, prices, who leads, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tuneport.evaluate import costs, words
from tuneport.evaluate.comparison import Comparison, Contender, Difference, Forgetting, MetricInfo
from tuneport.evaluate.comparison_marks import told, value_of
from tuneport.result import Cost
from tuneport.scoring.intervals import Interval


def fitting(comparison: Comparison) -> list[MetricInfo]:
    """The metrics that fit the rows, in their order."""
    return [info for info in comparison.metrics if not info.note]


def dollars(value: float) -> str:
    if value == 0 or value >= 0.01:
        return f"${value:,.2f}" if value else "$0"
    return f"${value:.2g}" if value >= 0.0001 else "under $0.0001"


def price(cost: Cost) -> str:
    """What was paid where that is known, else the estimate, in its own currency."""
    amount = cost.actual if cost.actual is not None else cost.estimated
    if amount is None or not math.isfinite(amount):
        return "unknown"
    return dollars(amount) if cost.currency == "USD" else f"{amount:,.2f} {words.visible(cost.currency, 8)}"


def chance(p: float | None) -> str:
    if p is None:
        return "\u2013"
    return "under 0.001" if p < 0.001 else f"{p:.3f}"


def smallest(gap: Difference, info: MetricInfo) -> str:
    if gap.smallest is None:
        return "\u2013"
    return f"{100 * gap.smallest:.1f} points" if info.share else f"{words.number(gap.smallest)} {info.unit}".rstrip()


def span(interval: Interval | None, info: MetricInfo | None = None) -> str:
    """`88% to 97%`; "" where it is not known."""
    if interval is None or not interval.known:
        return ""
    low, high = (told(edge, info) if info else words.signed(edge) for edge in (interval.low, interval.high))
    return f"{low} to {high}"


def when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def heading(info: MetricInfo) -> str:
    """A metric's name, with the unit of its values where it is no share."""
    return words.title(info.name) + (f", {info.unit}" if info.unit and not info.share else "")


def together(contenders: Sequence[Contender]) -> str:
    """How the answers were timed: `A, B: 120 answers, 1 at a time`."""
    how: dict[tuple[int, int], list[str]] = {}
    for one in contenders:
        if one.latency is not None:
            how.setdefault((one.latency.answers, one.latency.concurrency), []).append(one.key)
    return "; ".join(
        f"{', '.join(keys)}: {words.count(answers)} answers, {words.count(at_once)} at a time"
        for (answers, at_once), keys in how.items()
    )


@dataclass(frozen=True)
class Cell:
    """One metric of one contender. `note`: how many rows it is of, where it is not of all."""

    value: str
    span: str = ""
    note: str = ""
    best: bool = False

    def __str__(self) -> str:
        parts = [self.value, f"({self.span})" if self.span else "", self.note, "**best**" if self.best else ""]
        return " ".join(part for part in parts if part)


def cells(comparison: Comparison, info: MetricInfo) -> dict[str, Cell]:
    """By the contenders' keys."""
    winner = best(comparison, info)
    made: dict[str, Cell] = {}
    for one in comparison.contenders:
        value = value_of(comparison, info.name, one.key)
        if value is None or value.value is None:
            made[one.key] = Cell("\u2013")
            continue
        note = f"of {words.count(value.rows)} rows" if value.missing else ""
        made[one.key] = Cell(told(value.value, info), span(value.interval, info), note, one.key == winner)
    return made


def best(comparison: Comparison, info: MetricInfo | None) -> str | None:
    """The one contender that is told apart from all others on this metric, if there is one."""
    if info is None or info.higher_is_better is None:
        return None
    won: dict[str, int] = {}
    for gap in comparison.differences:
        if gap.metric == info.name and gap.outcome in {"better", "worse"}:
            winner = gap.other if gap.outcome == "better" else gap.base
            won[winner] = won.get(winner, 0) + 1
    others = len(comparison.contenders) - 1
    return next((key for key, times in won.items() if others and times == others), None)


def leaders(comparison: Comparison, info: MetricInfo | None) -> list[str]:
    """The contender with the best value, and those that these rows do not tell apart from it."""
    if info is None or info.higher_is_better is None:
        return []
    values = {v.contender: v.value for v in comparison.values if v.metric == info.name and v.value is not None}
    if not values:
        return []
    top = (max if info.higher_is_better else min)(values, key=lambda key: values[key])
    open_pairs = {
        frozenset((gap.base, gap.other))
        for gap in comparison.differences
        if gap.metric == info.name and gap.outcome in {"undecided", "same"}
    }
    return [top, *(key for key in values if frozenset((top, key)) in open_pairs)]


def worth(comparison: Comparison, info: MetricInfo | None) -> str:
    """Of those that lead, who costs least; "" where no price says."""
    keys = leaders(comparison, info)
    bill = comparison.money
    prices, each = _prices(comparison, bill.monthly if bill.calls_per_month is not None else {})
    known = sorted((cost, comparison[key].name) for key in keys if (cost := prices.get(key)) is not None)
    if len(comparison.contenders) < 2 or not known or (len(keys) > 1 and len(known) < 2):
        return ""
    if len(keys) == 1:
        return f"{known[0][1]} costs {dollars(known[0][0])} {each}."
    unpriced = [comparison[key].name for key in keys if prices.get(key) is None]
    others = ", ".join(f"{name} {dollars(cost)}" for cost, name in known[1:])
    more = f"; what {' and '.join(unpriced)} costs is not known" if unpriced else ""
    return f"Of the {len(keys)} that lead, {known[0][1]} costs least, {dollars(known[0][0])} {each}; {others}{more}."


def _prices(comparison: Comparison, monthly: Mapping[str, float | None]) -> tuple[Mapping[str, float | None], str]:
    if any(cost is not None for cost in monthly.values()):
        return monthly, f"a month at {words.count(comparison.money.calls_per_month)} calls"
    return {one.key: costs.known(one.per_thousand_calls) for one in comparison.contenders}, "for 1,000 calls"


def said_of(comparison: Comparison, gap: Difference) -> str:
    """`B against A`, with their names."""
    other, base = comparison[gap.other], comparison[gap.base]
    return f"{other.key} {other.name} against {base.key} {base.name}"


def kept(one: Forgetting) -> str:
    """What one general task says: it fell, it held, or these items cannot say."""
    if one.fell:
        return "fell"
    if one.difference is None or not one.difference.known:
        return "cannot say"
    gain = one.difference.low > 0 if one.higher_is_better else one.difference.high < 0
    return "rose" if gain else "no fall seen"


def described(one: Contender) -> list[tuple[str, str]]:
    """Who a contender is, as facts."""
    facts: list[tuple[str, str | None]] = [
        ("Kind", one.kind),
        ("Model", one.model),
        ("Base", one.base_model),
        ("Job", one.job_id),
        ("Method", ", ".join(f"{name} {value}" for name, value in one.method.items() if value is not None)),
        ("Test rows in its training", "none" if one.overlap == "none" else "unknown"),
        ("Answered", words.count(one.rows)),
        ("No answer", words.count(one.failed) if one.failed else None),
        ("Cut at the token limit", words.count(one.cut) if one.cut else None),
        ("Answers of an earlier run", words.count(one.reused) if one.reused else None),
        ("Tokens read", words.count(one.prompt_tokens) if one.prompt_tokens is not None else None),
        ("Tokens written", words.count(one.completion_tokens) if one.completion_tokens is not None else None),
        ("Trained in", words.duration(one.training_seconds) if one.training_seconds is not None else None),
        ("Devices", ", ".join(one.devices)),
        ("Price of training", one.training.price_source),
        ("Price of keeping", one.keeping_per_month.price_source),
        ("Price of calls", one.per_thousand_calls.price_source),
    ]
    return [(name, words.visible(value, 200)) for name, value in facts if value]
