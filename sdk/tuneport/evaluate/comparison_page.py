"""A comparison as one HTML file that anybody can open: no network, no script, light and dark, fit to print.

What models answered is untrusted text: the template escapes everything, and a Content-Security-Policy in the page lets nothing
load or run should that ever fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tuneport.evaluate import comparison_pictures as pictures
from tuneport.evaluate import comparison_words as told
from tuneport.evaluate import costs, words
from tuneport.evaluate.comparison import Comparison, Contender, Difference, MetricInfo
from tuneport.evaluate.comparison_examples import EXAMPLES, failures, flips, said, shown_metric
from tuneport.evaluate.comparison_marks import key_mark
from tuneport.evaluate.pages import template

__all__ = ["page", "said"]

_COLUMNS = 3  # metrics in the first table
_FORESTS = 2
_PAIRS = 12  # shown at once; more are folded
_LABELS = 16  # of a confusion matrix, the most frequent first
_WHOLE, _HALF, _NARROW = 880, 470, 330  # of the page, half of it, and of a phone, in pixels
_MOST = 5000  # characters of anything; what is known to be long has its own limit
_LONG = {"longest": 220, "long": 110}  # characters of a headline, above which it is set smaller


def page(comparison: Comparison) -> str:
    """The whole page."""
    filters: dict[str, Any] = {
        "number": words.number,
        "signed": words.signed,
        "count": words.count,
        "duration": words.duration,
        "percent": words.percent,
        "shown": words.visible,
        "title_of": words.title,
        "dollars": told.dollars,
        "price": told.price,
        "chance": told.chance,
        "when": told.when,
        "smallest": told.smallest,
        "span": told.span,
        "kept": told.kept,
        "described": told.described,
        "heading": told.heading,
        "together": told.together,
    }
    fit = told.fitting(comparison)
    first = next((info for info in fit if info.higher_is_better is not None), None)
    contenders = comparison.contenders
    judging = [info for info in fit if info.higher_is_better is not None]
    columns = judging[:_COLUMNS] or fit[:_COLUMNS]
    return template(
        "comparison.html.j2", filters, finalize=_seen
    ).render(
        comparison=comparison,
        names=[words.visible(one.name, 80) for one in contenders],
        tone="better" if told.best(comparison, first) else "open",
        size=next((name for name, least in _LONG.items() if len(comparison.verdict[0]) > least), ""),
        points=[*comparison.verdict[1:], *([worth] if (worth := told.worth(comparison, first)) else [])],
        marks={one.key: Markup(key_mark(place)) for place, one in enumerate(contenders)},  # noqa: S704 (made of numbers)
        columns=[(info, told.cells(comparison, info)) for info in columns],
        others=[(info, told.cells(comparison, info)) for info in fit if info not in columns],
        first=first,
        led=len(told.leaders(comparison, first)),
        forests=[(info, drawn) for info in columns[:_FORESTS] if (drawn := _forest(comparison, info))],
        gaps=[(info, gaps) for info in fit if (gaps := _gaps(comparison, info))],
        most_pairs=_PAIRS,
        pictures=_pictures(comparison, first),
        cheapest=costs.cheapest(contenders, comparison.money),
        crossings=[costs.words(crossing, contenders) for crossing in comparison.money.crossings],
        costs_known=any(
            cost.actual is not None or cost.estimated
            for one in contenders
            for cost in (one.training, one.keeping_per_month, one.per_thousand_calls)
        ),
        fell=[one for one in comparison.forgetting if one.fell],
        flips=flips(comparison),
        flipped_by=shown_metric(comparison),
        examples=EXAMPLES,
        failures=failures(comparison),
        confusion=[_Confusion.of(one, table) for one in contenders if (table := comparison.confusion.get(one.key))],
        ledgers=[(one, split, totals) for one in contenders for split, totals in one.ledger.items()],
        warned=[one for one in contenders if one.warnings],
        tests=sorted({gap.test for gap in comparison.differences if gap.test}),
        methods=sorted({gap.interval.method for gap in comparison.differences if gap.interval and gap.interval.known}),
    )


def _seen(value: object) -> object:
    """Whatever the template prints: a name or a label from outside may hide as much as an answer may."""
    return words.visible(value, _MOST) if isinstance(value, str) and not isinstance(value, Markup) else value


def _gaps(comparison: Comparison, info: MetricInfo) -> list[Difference]:
    return [gap for gap in comparison.differences if gap.metric == info.name]


@dataclass(frozen=True)
class _Drawn:
    wide: Markup
    narrow: Markup


def _drawn(draw: Callable[[int], str], width: int) -> _Drawn | None:
    """One picture for a wide window and one for a phone, so that their letters are of one size. None: nothing to draw."""
    wide, narrow = Markup(draw(width)), Markup(draw(_NARROW))  # noqa: S704 (escaped where they are made)
    return _Drawn(wide, narrow) if wide else None


def _forest(comparison: Comparison, info: MetricInfo) -> _Drawn | None:
    return _drawn(lambda width: pictures.forest(comparison, info, width), _WHOLE)


def _pictures(comparison: Comparison, first: MetricInfo | None) -> dict[str, _Drawn | None]:
    bill = comparison.money
    lines = costs.lines(comparison.contenders, bill.gpu_per_hour, bill.months)
    return {
        "bill": _drawn(lambda width: pictures.bill(comparison, lines, width), _WHOLE),
        "scatter": _drawn(lambda width: pictures.scatter(comparison, first, width), _HALF) if first else None,
        "latency": _drawn(lambda width: pictures.latency(comparison, width), _HALF),
        "curves": _drawn(lambda width: pictures.curves(comparison, width), _WHOLE),
    }


@dataclass(frozen=True)
class _Confusion:
    """Expected labels by answered ones. `strength`: of a hundred, the share of its row, for the shade of a cell."""

    one: Contender
    labels: list[str]
    rows: list[tuple[str, list[tuple[int, int, bool]]]]  # label; count, strength, right
    left_out: int

    @classmethod
    def of(cls, one: Contender, table: dict[str, dict[str, int]]) -> _Confusion:
        rows = sorted(table, key=lambda label: -sum(table[label].values()))
        said = Counter({name: amount for row in table.values() for name, amount in row.items()})
        labels = [*rows[:_LABELS], *[name for name, _ in said.most_common() if name not in table][:2]]
        made: list[tuple[str, list[tuple[int, int, bool]]]] = []
        for label in rows[:_LABELS]:
            row = table[label]
            whole = sum(row.values()) or 1
            cells = [(n := row.get(name, 0), round(100 * n / whole), name == label) for name in labels]
            made.append((label, cells))
        return cls(one, labels, made, max(len(rows) - _LABELS, 0))
