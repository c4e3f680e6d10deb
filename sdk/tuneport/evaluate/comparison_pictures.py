"""The pictures of a comparison as SVG text, as in `pictures`: no script, nothing loaded, every string escaped.

Each takes its width in pixels and gives "" where there is nothing to draw. A narrow one (a phone) has letters for names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from tuneport.errors import SpecError
from tuneport.evaluate import costs, words
from tuneport.evaluate.comparison import Comparison, Contender, Latency, MetricInfo, write_whole
from tuneport.evaluate.comparison_marks import (
    NARROW,
    Spot,
    dash,
    decades,
    ends,
    fitted,
    ink,
    labels,
    linear,
    logarithmic,
    mark,
    name,
    opened,
    polyline,
    short,
    sparse,
    text,
    told,
    value_of,
)
from tuneport.evaluate.costs import Line
from tuneport.evaluate.pictures import ticks

_MOST_POINTS = 400
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_CENT = 0.01
_CALLS = (1.0, 1e9)  # the longest axis of calls a month

Placed = tuple[int, Contender]  # the place decides the ink and the mark


def forest(comparison: Comparison, info: MetricInfo, width: int = 880) -> str:
    """Each contender's value with its own interval, on one axis."""
    parts, height = _forest(comparison, info, width)
    label = f"{words.title(info.name)} of each contender with its 95% interval"
    return "".join([opened(width, height, label), *parts, "</svg>"]) if parts else ""


def _forest(comparison: Comparison, info: MetricInfo, width: int) -> tuple[list[str], float]:
    found = [(place, one, value_of(comparison, info.name, one.key)) for place, one in _placed(comparison)]
    known = [
        (place, one, v.value, v.interval if v.interval is not None and v.interval.known else None)
        for place, one, v in found
        if v is not None and v.value is not None and math.isfinite(v.value)
    ]
    if not known:
        return [], 0
    reached = [edge for _, _, value, gap in known for edge in (value, *((gap.low, gap.high) if gap else ()))]
    marks = list(_SHARES) if info.share else ticks(min(reached), max(reached), width // 160)
    rows = _Rows(width, len(known), room=150 if width >= NARROW else 62)
    at = linear(min(marks[0], *reached), max(marks[-1], *reached), rows.left, rows.right)
    parts = rows.axis([(at(value), told(value, info)) for value in marks])
    for line, (place, one, value, gap) in enumerate(known):
        y = rows.y(line)
        parts.append(rows.name(one, line))
        if gap is not None:
            low, high = at(gap.low), at(gap.high)
            parts.append(f'<path class="reach {ink(place)}" d="M{low} {y}H{high}M{low} {y - 5}v10M{high} {y - 5}v10"/>')
        parts.append(mark(place, at(value), y, 7))
        span = f"{told(gap.low, info)} to {told(gap.high, info)}" if gap and width >= NARROW else ""
        parts += rows.value(line, told(value, info), span)
    return parts, rows.height


def latency(comparison: Comparison, width: int = 880) -> str:
    """Half, nine of ten and ninety-nine of a hundred answers came within so many seconds (log axis)."""
    known = [(place, one, one.latency) for place, one in _placed(comparison) if one.latency is not None]
    if not known:
        return ""
    spans = [max(value, 1e-4) for *_, taken in known for value in (taken.p50, taken.p99)]
    marks = decades(min(spans), max(spans))
    rows = _Rows(width, len(known), room=134)
    at = logarithmic(marks[0], marks[-1], rows.left, rows.right)
    shown = sparse(marks, at, 52)
    parts = [opened(width, rows.height, "seconds to a whole answer: median, 90th and 99th percentile")]
    parts += rows.axis([(at(value), f"{short(value)} s") for value in shown])
    for line, (place, one, taken) in enumerate(known):
        y = rows.y(line)
        p50, p90, p99 = (at(value) for value in (taken.p50, taken.p90, taken.p99))
        parts.append(rows.name(one, line))
        parts.append(f'<path class="reach {ink(place)}" d="M{p50} {y}H{p99}M{p90} {y - 6}v12M{p99} {y - 4}v8"/>')
        parts.append(mark(place, p50, y, 7))
        parts += rows.value(line, percentiles(taken), "")
    return "".join([*parts, "</svg>"])


class _Rows:
    """A line for each contender with its name on the left, or above it where that is too narrow; values on the right."""

    def __init__(self, width: int, lines: int, room: int) -> None:
        self.narrow = width < NARROW
        self.each = 46 if self.narrow else 34
        self.left = 18 if self.narrow else min(300, width * 0.34)
        self.right = width - room
        self.bottom = 6 + self.each * lines
        self.height = self.bottom + 26

    def y(self, line: int) -> float:
        return 6 + self.each * line + (30 if self.narrow else self.each / 2)

    def name(self, one: Contender, line: int) -> str:
        if self.narrow:
            return name(one, 0, self.y(line) - 14, self.right + 40)
        return name(one, 0, self.y(line) + 4.5, self.left - 24)

    def value(self, line: int, said: str, span: str) -> list[str]:
        y = self.y(line) + 4.5
        parts = [text(self.right + 16, y, said, "note")]
        return [*parts, text(self.right + 62, y, span)] if span else parts

    def axis(self, marks: Sequence[tuple[float, str]]) -> list[str]:
        parts: list[str] = []
        for x, said in marks:
            parts.append(f'<path class="grid" d="M{x} 6V{self.bottom}"/>')
            parts.append(text(x, self.bottom + 18, said, anchor="middle"))
        return parts


def curves(comparison: Comparison, width: int = 880) -> str:
    """The jobs' losses on one axis, validation where it was measured, over the share of the training that is done."""
    lines: list[tuple[int, Contender, list[tuple[float, float]]]] = []
    for place, one in _placed(comparison):
        of = "validation_loss" if any(p.validation_loss is not None for p in one.curve) else "loss"
        points = [(float(p.step), getattr(p, of)) for p in one.curve]
        finite = [(x, float(y)) for x, y in points if y is not None and math.isfinite(y)]
        if len(finite) > 1:
            last = max(x for x, _ in finite) or 1.0
            stride = math.ceil(len(finite) / _MOST_POINTS)
            lines.append((place, one, [(x / last, y) for x, y in [*finite[:-1:stride], finite[-1]]]))
    if not lines:
        return ""
    ys = [y for _, _, points in lines for _, y in points]
    scale = ticks(min(ys), max(ys), 5)
    room = 36 if width < NARROW else 240
    left, right, top, bottom = 46, width - room, 30, 258
    x_at = linear(0, 1, left, right)
    y_at = linear(min(scale[0], *ys), max(scale[-1], *ys), bottom, top)
    parts = [opened(width, 304, "loss of each job over its training")]
    parts += _levels([(y_at(value), short(value)) for value in scale], left, right)
    parts.append(text(0, 14, "loss (nats per trained token)", "label"))
    parts += [text(x_at(share), bottom + 20, words.percent(share), anchor="middle") for share in _SHARES]
    parts.append(text((left + right) / 2, 300, "of the job's own steps", "label", "middle"))
    tips: list[tuple[Contender, float, float]] = []
    for place, one, points in lines:
        drawn = [(x_at(x), y_at(y)) for x, y in points]
        parts.append(f'<path class="curve {ink(place)}" stroke-dasharray="{dash(place)}" d="{polyline(drawn)}"/>')
        parts.append(mark(place, *drawn[-1], 5))
        tips.append((one, *drawn[-1]))
    return "".join([*parts, *ends(tips, right, room, top, bottom), "</svg>"])


def scatter(comparison: Comparison, info: MetricInfo, width: int = 880) -> str:
    """Quality over the price of 1,000 calls, with each value's interval; "" where fewer than two prices are known."""
    found: list[tuple[int, Contender, float, float]] = []
    for place, one in _placed(comparison):
        measured = value_of(comparison, info.name, one.key)
        amount = measured.value if measured is not None else None
        cost = costs.known(one.per_thousand_calls)
        if amount is not None and cost is not None and math.isfinite(cost + amount):
            found.append((place, one, cost, amount))
    if len(found) < 2:
        return ""
    prices = [cost for *_, cost, _ in found]
    left, right, top, bottom = 46, width - 16, 30, 258
    wide = min(prices) > 0 and max(prices) > 20 * min(prices)
    x_marks = decades(min(prices), max(prices)) if wide else ticks(0, max(prices) or 1.0, width // 120)
    x_at = (logarithmic if wide else linear)(x_marks[0], x_marks[-1], left + 24, right - 24)
    edges = [edge for _, one, _, value in found for edge in _reached(comparison, info, one, value)]
    y_marks = ticks(min(edges), max(edges), 4)
    y_marks = [value for value in y_marks if not info.share or -0.001 < value < 1.001] or list(_SHARES)
    y_at = linear(y_marks[0], y_marks[-1], bottom, top)
    parts = [opened(width, 304, f"{words.title(info.name)} over the price of 1,000 calls")]
    parts += _levels([(y_at(value), told(value, info)) for value in y_marks], left, right)
    parts += [text(x_at(v), bottom + 20, f"${short(v)}", anchor="middle") for v in sparse(x_marks, x_at, 48)]
    parts.append(text(0, 14, words.title(info.name), "label"))
    axis = "for 1,000 calls, log axis" if wide else "for 1,000 calls"
    parts.append(text((left + right) / 2, 300, axis, "label", "middle"))
    spots: list[Spot] = []
    for place, one, cost, value in found:
        x, y, (bottom_y, top_y) = x_at(cost), y_at(value), map(y_at, _reached(comparison, info, one, value))
        parts.append(f'<path class="faint {ink(place)}" d="M{x} {bottom_y}V{top_y}"/>')
        spots.append(Spot(one, x, y, top_y, bottom_y))
    parts += [mark(place, spot.x, spot.y, 8) for (place, *_), spot in zip(found, spots, strict=True)]
    parts += labels(spots, (left, 0, width, bottom))
    return "".join([*parts, "</svg>"])


def _reached(comparison: Comparison, info: MetricInfo, one: Contender, value: float) -> tuple[float, float]:
    """The ends of a value's interval; the value twice where there is none."""
    found = value_of(comparison, info.name, one.key)
    gap = found.interval if found is not None else None
    return (gap.low, gap.high) if gap is not None and gap.known else (value, value)


def bill(comparison: Comparison, lines: Mapping[str, Line | None], width: int = 880) -> str:
    """US dollars a month over calls a month, both on log axes, with the user's volume and the crossings marked."""
    known = [(place, one, line) for place, one in _placed(comparison) if (line := lines.get(one.key)) is not None]
    drawn = [(place, one, line) for place, one, line in known if line.start > 0 or line.per_call > 0]
    if not drawn:
        return ""
    money = comparison.money
    turns = {round(end, 6) for _, end in costs.envelope(lines) if math.isfinite(end)}
    wanted = [crossing.calls for crossing in money.crossings] + [float(money.calls_per_month or 100_000)]
    low, high = max(min(wanted) / 8, _CALLS[0]), min(max(max(wanted) * 6, 10.0), _CALLS[1])
    paid = {place: _walk(line, low, high) for place, _, line in drawn}
    most = max(cost for points in paid.values() for _, cost in points)
    least = max(
        min((cost for points in paid.values() for _, cost in points if cost > 0), default=most), most / 1e7, _CENT
    )
    floor, roof = least / 1.6, max(most, least) * 1.6
    if roof < 12 * floor:  # a log axis with less than two numbers on it says nothing
        floor, *_, roof = decades(floor, roof, steps=(1,))
    room = 36 if width < NARROW else 240
    left, right, top, bottom = 54, width - room, 30, 278
    x_at, y_at = logarithmic(low, high, left, right), logarithmic(floor, roof, bottom, top)
    parts = [opened(width, 324, "US dollars a month over calls a month")]
    prices = [value for value in decades(floor, roof, steps=(1,)) if floor <= value <= roof]
    parts += _levels([(y_at(value), f"${short(value)}") for value in sparse(prices, y_at, 24)], left, right)
    calls = [value for value in decades(low, high, steps=(1,)) if low <= value <= high]
    parts += [text(x_at(v), bottom + 20, short(v), anchor="middle") for v in sparse(calls, x_at, 44)]
    parts.append(f'<path class="grid" d="M{left} {bottom}H{right}"/>')
    parts.append(text((left + right) / 2, 320, "calls a month", "label", "middle"))
    tips: list[tuple[Contender, float, float]] = []
    for place, one, _ in drawn:
        points = [(x_at(n), y_at(cost)) for n, cost in paid[place] if cost >= floor]
        if points:
            parts.append(f'<path class="curve {ink(place)}" stroke-dasharray="{dash(place)}" d="{polyline(points)}"/>')
            tips.append((one, *points[-1]))
    for crossing in money.crossings:
        line = lines.get(crossing.cheaper_below)
        if line is None or not low <= crossing.calls <= high or line.at(crossing.calls) < floor:
            continue
        x, y = x_at(crossing.calls), y_at(line.at(crossing.calls))
        matters = round(crossing.calls, 6) in turns
        parts.append(f'<circle class="crossing" cx="{x}" cy="{y}" r="{6 if matters else 3}"/>')
        if matters:
            parts.append(text(x, y + 22, short(float(costs.rounded(crossing.calls))), "note", "middle"))
    if money.calls_per_month and low <= money.calls_per_month <= high:
        x = x_at(money.calls_per_month)
        parts.append(f'<path class="yours" d="M{x} {top - 6}V{bottom}"/>')
        parts.append(text(x, top - 12, f"your {short(money.calls_per_month)}", "note", "middle"))
        for place, _, line in drawn:
            if (cost := line.at(money.calls_per_month)) >= floor:
                parts.append(mark(place, x, y_at(cost), 6))
    return "".join([*parts, *ends(tips, right, room, top, bottom), "</svg>"])


def _walk(line: Line, low: float, high: float) -> list[tuple[float, float]]:
    """Points of a line between two volumes, with the step at each further device."""
    calls = [low * (high / low) ** (step / 120) for step in range(121)]
    if line.most is not None:
        steps = [n * line.most for n in range(1, 60) if low < n * line.most < high]
        calls = sorted([*calls, *steps, *(step * (1 + 1e-9) for step in steps)])
    return [(n, line.at(n)) for n in calls]


_STANDALONE = """<style>
svg{--ink:#16202c;--soft:#586573;--card:#fff;--rule:#e1e7eb;--c0:#0b7a75;--c1:#b8590a;--c2:#2f5fb3;--c3:#7a4fb0;--c4:#5f6b77;
--c5:#8d6a00;font:13px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
@media(prefers-color-scheme:dark){svg{--ink:#e8edf2;--soft:#9aa7b4;--card:#161d24;--rule:#27313a;--c0:#35b8ae;--c1:#f0a060;
--c2:#86aef5;--c3:#c0a0f0;--c4:#a4b0bb;--c5:#e0bd50}}
.c0{--who:var(--c0)}.c1{--who:var(--c1)}.c2{--who:var(--c2)}.c3{--who:var(--c3)}.c4{--who:var(--c4)}.c5{--who:var(--c5)}
.page{fill:var(--card)}.big{font-size:19px;font-weight:650;fill:var(--ink)}.grid{stroke:var(--rule);fill:none}
.tick,.label{fill:var(--soft)}.note,.letter{fill:var(--ink);font-weight:650}.name{font-weight:400}
.mark{fill:var(--who)}.reach{stroke:var(--who);stroke-width:2.5;fill:none}</style>"""


def comparison_svg(comparison: Comparison, metric: str | None = None, width: int = 760) -> str:
    """One metric (None: the first that fits) of all contenders as a picture of its own, for a README.

    Raises SpecError where there is no such metric, or no value of it.
    """
    info = next((one for one in comparison.metrics if (one.name == metric if metric else not one.note)), None)
    parts, height = _forest(comparison, info, width - 48) if info is not None else ([], 0.0)
    if info is None or not parts:
        names = ", ".join(one.name for one in comparison.metrics if not one.note) or "none"
        raise SpecError(f"metric {metric!r} has no values to draw: choose one of those that fit the rows ({names}).")
    title = words.title(info.name)
    says = f"{info.says}; {comparison.test.used:,} held-out rows, bars are 95% intervals"
    frame = f'viewBox="0 0 {width} {height + 90:g}" width="{width}" height="{height + 90:g}"'
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img" aria-label="{escape(title)} by contender">',
            _STANDALONE,
            f'<rect class="page" width="{width}" height="{height + 90:g}" rx="12"/>',
            text(24, 38, fitted(title, width - 48, 19), "big"),
            text(24, 60, fitted(says, width - 48), "label"),
            '<g transform="translate(24 76)">',
            *parts,
            "</g></svg>\n",
        ]
    )


def write_comparison_svg(comparison: Comparison, path: str | Path, metric: str | None = None) -> Path:
    """Write `comparison_svg` to `path` and return it."""
    return write_whole(Path(path), comparison_svg(comparison, metric))


def percentiles(taken: Latency) -> str:
    """`0.31, 0.53, 0.96 s`: the median, the 90th and the 99th percentile."""
    return ", ".join(f"{v:.2f}" if v < 10 else f"{v:.0f}" for v in (taken.p50, taken.p90, taken.p99)) + " s"


def _placed(comparison: Comparison) -> list[Placed]:
    return list(enumerate(comparison.contenders))


def _levels(marks: Sequence[tuple[float, str]], left: float, right: float) -> list[str]:
    parts: list[str] = []
    for y, said in marks:
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
        parts.append(text(left - 8, y + 4, said, anchor="end"))
    return parts
