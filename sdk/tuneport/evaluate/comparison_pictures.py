"""The pictures of a comparison as SVG text, as in `pictures`: no script, nothing loaded, every string escaped here.

A contender is told by its letter and by the form of its mark, so that neither colour nor print decides who is who.
"""

from __future__ import annotations

import math
from html import escape

from tuneport.evaluate.comparison import Comparison, Contender, MetricInfo, Value
from tuneport.evaluate.costs import Line
from tuneport.evaluate.pictures import ticks
from tuneport.evaluate.words import number, percent, visible

_SHAPES = ("circle", "square", "diamond", "triangle")
_DASHES = ("", "7 4", "2 4", "10 4 2 4")
_MOST_POINTS = 400


def style(index: int) -> str:
    """The class of the contender at this place: one of six inks, which repeat with another mark."""
    return f"c{index % 6}"


def key_mark(index: int) -> str:
    """A small mark for tables and keys."""
    return f'<svg class="mark" viewBox="0 0 14 14" aria-hidden="true">{_mark(index, 7, 7, 5)}</svg>'


def forest(comparison: Comparison, info: MetricInfo, width: int = 760) -> str:
    """Each contender's value with its own interval, on one axis; "" where there is none."""
    found = [(place, one, _of(comparison, info.name, one.key)) for place, one in enumerate(comparison.contenders)]
    known = [(place, one, v) for place, one, v in found if v is not None and v.value is not None]
    if not known:
        return ""
    values = [v.value or 0.0 for _, _, v in known]
    lows = [v.interval.low if v.interval is not None else v.value or 0.0 for _, _, v in known]
    highs = [v.interval.high if v.interval is not None else v.value or 0.0 for _, _, v in known]
    low, high = (0.0, 1.0) if info.share else (min(*lows, *values), max(*highs, *values))
    marks = [0, 0.25, 0.5, 0.75, 1] if info.share else ticks(low, high, width // 140)
    low, high = min(low, marks[0]), max(high, marks[-1])
    left, right, row = 40, width - 96, 34
    height = 30 + row * len(known)

    def x_at(value: float) -> float:
        return round(left + (right - left) * (value - low) / ((high - low) or 1), 1)

    def told(value: float) -> str:
        return percent(value) if info.share else number(value)

    parts = [_open(width, height, f"{info.name} of each contender with its 95% interval")]
    for mark in marks:
        parts.append(f'<path class="grid" d="M{x_at(mark)} 6V{height - 24}"/>')
        parts.append(
            f'<text class="tick" x="{x_at(mark)}" y="{height - 6}" text-anchor="middle">{_tick(mark, info)}</text>'
        )
    for line, (place, one, value) in enumerate(known):
        y = 6 + row * line + row / 2
        amount = value.value or 0.0
        parts.append(f'<text class="letter" x="{left - 16}" y="{y + 5}" text-anchor="end">{escape(one.key)}</text>')
        if value.interval is not None and value.interval.known:
            a, b = x_at(value.interval.low), x_at(value.interval.high)
            parts.append(f'<path class="reach {style(place)}" d="M{a} {y}H{b}M{a} {y - 5}v10M{b} {y - 5}v10"/>')
        parts.append(f'<g class="{style(place)}">{_mark(place, x_at(amount), y, 7)}')
        parts.append(f"<title>{escape(visible(one.name, 80))}: {told(amount)}</title></g>")
        parts.append(f'<text class="note" x="{right + 14}" y="{y + 5}">{told(amount)}</text>')
    return "".join([*parts, "</svg>"])


def curves(comparison: Comparison, width: int = 760) -> str:
    """The jobs' losses on one axis, validation where it was measured, over the share of the training that is done."""
    lines: list[tuple[int, Contender, list[tuple[float, float]]]] = []
    for place, one in enumerate(comparison.contenders):
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
    low, high = min(scale[0], *ys), max(scale[-1], *ys)
    left, right, top, bottom = 52, width - 30, 26, 244

    def at(x: float, y: float) -> tuple[float, float]:
        return round(left + (right - left) * x, 1), round(bottom - (bottom - top) * (y - low) / ((high - low) or 1), 1)

    parts = [_open(width, 282, "loss of each job over its training")]
    for mark in scale:
        _, y = at(0, mark)
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 4}" text-anchor="end">{_short(mark)}</text>')
    parts.append(f'<text class="label" x="{left}" y="14">loss (nats per trained token)</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, _ = at(share, low)
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="{anchor}">{percent(share)}</text>')
    parts.append(
        f'<text class="label" x="{(left + right) / 2}" y="278" text-anchor="middle">of the training steps</text>'
    )
    for place, one, points in lines:
        path = "L".join(f"{x} {y}" for x, y in (at(*point) for point in points))
        dash = _DASHES[place % len(_DASHES)]
        parts.append(f'<path class="curve {style(place)}" stroke-dasharray="{dash}" d="M{path}"/>')
        x, y = at(*points[-1])
        parts.append(f'<text class="letter" x="{x + 8}" y="{y + 4}">{escape(one.key)}</text>')
    return "".join([*parts, "</svg>"])


def scatter(comparison: Comparison, info: MetricInfo, width: int = 760) -> str:
    """Quality over the price of 1,000 calls; "" where fewer than two prices are known."""
    found: list[tuple[int, Contender, float, float]] = []
    for place, one in enumerate(comparison.contenders):
        value = _of(comparison, info.name, one.key)
        cost = one.per_thousand_calls.estimated
        if value is not None and value.value is not None and cost is not None and math.isfinite(cost):
            found.append((place, one, cost, value.value))
    if len(found) < 2:
        return ""
    x_scale = ticks(0, max(cost for *_, cost, _ in found) or 1, width // 130)
    y_scale = [0, 0.25, 0.5, 0.75, 1] if info.share else ticks(min(y for *_, y in found), max(y for *_, y in found), 4)
    left, right, top, bottom = 56, width - 40, 26, 250
    x_high, y_low, y_high = x_scale[-1], y_scale[0], y_scale[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            round(left + (right - left) * x / (x_high or 1), 1),
            round(bottom - (bottom - top) * (y - y_low) / ((y_high - y_low) or 1), 1),
        )

    parts = [_open(width, 292, f"{info.name} over the price of 1,000 calls")]
    for mark in y_scale:
        _, y = at(0, mark)
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 4}" text-anchor="end">{_tick(mark, info)}</text>')
    for mark in x_scale:
        x, _ = at(mark, y_low)
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="middle">${_short(mark)}</text>')
    parts.append(f'<text class="label" x="{left}" y="14">{escape(info.name.replace("_", " "))}</text>')
    parts.append(
        f'<text class="label" x="{(left + right) / 2}" y="286" text-anchor="middle">1,000 calls, US dollars</text>'
    )
    taken: list[tuple[float, float]] = []
    for place, one, cost, amount in found:
        x, y = at(cost, amount)
        parts.append(
            f'<g class="{style(place)}">{_mark(place, x, y, 8)}<title>{escape(visible(one.name, 80))}</title></g>'
        )
        label = y + 5
        while any(abs(label - other) < 15 and abs(x - across) < 26 for across, other in taken):
            label += 15 if label < bottom - 10 else -45
        taken.append((x, label))
        parts.append(f'<text class="letter" x="{x + 13}" y="{label}">{escape(one.key)}</text>')
    return "".join([*parts, "</svg>"])


def latency(comparison: Comparison, width: int = 760) -> str:
    """Half, nine of ten and ninety-nine of a hundred answers came within so many seconds (log scale)."""
    known = [(place, one) for place, one in enumerate(comparison.contenders) if one.latency is not None]
    if not known:
        return ""
    spans = [(max(one.latency.p50, 1e-4), max(one.latency.p99, 1e-4)) for _, one in known if one.latency is not None]
    low = 10 ** math.floor(math.log10(min(a for a, _ in spans)))
    high = 10 ** math.ceil(math.log10(max(b for _, b in spans) * 1.0001))
    left, right, row = 40, width - 108, 34
    height = 30 + row * len(known)

    def x_at(seconds: float) -> float:
        share = math.log(max(seconds, low) / low) / (math.log(high / low) or 1)
        return round(left + (right - left) * share, 1)

    parts = [_open(width, height, "seconds to a whole answer: median, 90th and 99th percentile")]
    mark = float(low)
    while mark <= high * 1.001:
        parts.append(f'<path class="grid" d="M{x_at(mark)} 6V{height - 24}"/>')
        parts.append(
            f'<text class="tick" x="{x_at(mark)}" y="{height - 6}" text-anchor="middle">{_short(mark)} s</text>'
        )
        mark *= 10
    for line, (place, one) in enumerate(known):
        if one.latency is None:
            continue
        y = 6 + row * line + row / 2
        p50, p90, p99 = (x_at(value) for value in (one.latency.p50, one.latency.p90, one.latency.p99))
        parts.append(f'<text class="letter" x="{left - 16}" y="{y + 5}" text-anchor="end">{escape(one.key)}</text>')
        parts.append(f'<path class="reach {style(place)}" d="M{p50} {y}H{p99}M{p90} {y - 6}v12M{p99} {y - 4}v8"/>')
        parts.append(f'<g class="{style(place)}">{_mark(place, p50, y, 7)}</g>')
        parts.append(f'<text class="note" x="{right + 14}" y="{y + 5}">{_short(one.latency.p50)} s</text>')
    return "".join([*parts, "</svg>"])


def bill(comparison: Comparison, lines: dict[str, Line | None], width: int = 760) -> str:
    """US dollars a month over the calls a month, both on log scales, with the crossings; "" where no line is known."""
    known = [(place, one, lines[one.key]) for place, one in enumerate(comparison.contenders) if lines.get(one.key)]
    drawn = [(place, one, line) for place, one, line in known if line is not None and (line.fixed or line.per_call)]
    if not drawn:
        return ""
    money = comparison.money
    wanted = [crossing.calls for crossing in money.crossings] + [float(money.calls_per_month or 100_000)]
    first, last = 10 ** math.floor(math.log10(min(wanted)) - 1), 10 ** math.ceil(math.log10(max(wanted)) + 0.5)
    first = max(first, 1)
    sampled = [first * (last / first) ** (step / 80) for step in range(81)]
    paths: list[tuple[int, Contender, list[tuple[float, float]]]] = []
    for place, one, line in drawn:
        points = [(calls, cost) for calls in sampled if (cost := line.at(calls)) is not None and cost > 0]
        if points:
            paths.append((place, one, points))
    if not paths:
        return ""
    costs = [cost for *_, points in paths for _, cost in points]
    low, high = 10 ** math.floor(math.log10(min(costs))), 10 ** math.ceil(math.log10(max(costs) * 1.0001))
    left, right, top, bottom = 64, width - 36, 26, 250

    def at(calls: float, cost: float) -> tuple[float, float]:
        x = left + (right - left) * math.log(calls / first) / math.log(last / first)
        y = bottom - (bottom - top) * math.log(cost / low) / (math.log(high / low) or 1)
        return round(x, 1), round(y, 1)

    parts = [_open(width, 292, "US dollars a month over calls a month")]
    mark = float(low)
    while mark <= high * 1.001:
        _, y = at(first, mark)
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 4}" text-anchor="end">${_short(mark)}</text>')
        mark *= 10
    mark = float(first)
    while mark <= last * 1.001:
        x, _ = at(mark, low)
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="middle">{_short(mark)}</text>')
        mark *= 10
    parts.append(f'<text class="label" x="{left}" y="14">US dollars a month</text>')
    parts.append(f'<text class="label" x="{(left + right) / 2}" y="286" text-anchor="middle">calls a month</text>')
    if money.calls_per_month:
        x, _ = at(min(max(money.calls_per_month, first), last), low)
        parts.append(
            f'<path class="yours" d="M{x} {top}V{bottom}"/><text class="label" x="{x + 6}" y="{top + 10}">yours</text>'
        )
    for place, one, points in paths:
        path = "L".join(f"{x} {y}" for x, y in (at(*point) for point in points))
        dash = _DASHES[place % len(_DASHES)]
        parts.append(f'<path class="curve {style(place)}" stroke-dasharray="{dash}" d="M{path}"/>')
        x, y = at(*points[-1])
        parts.append(f'<text class="letter" x="{x + 8}" y="{y + 4}">{escape(one.key)}</text>')
    for crossing in money.crossings:
        cheaper = lines.get(crossing.cheaper_below)
        cost = cheaper.at(crossing.calls) if cheaper is not None else None
        if cost and first <= crossing.calls <= last:
            x, y = at(crossing.calls, cost)
            parts.append(f'<circle class="crossing" cx="{x}" cy="{y}" r="6"/>')
    return "".join([*parts, "</svg>"])


def _of(comparison: Comparison, metric: str, key: str) -> Value | None:
    return next((v for v in comparison.values if v.metric == metric and v.contender == key), None)


def _open(width: int, height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(label)}">'


def _mark(index: int, x: float, y: float, size: float) -> str:
    shape = _SHAPES[index % len(_SHAPES)]
    if shape == "circle":
        return f'<circle class="mark {style(index)}" cx="{x}" cy="{y}" r="{size * 0.9:g}"/>'
    if shape == "square":
        corner, side = size * 0.8, size * 1.6
        place = f'x="{x - corner:g}" y="{y - corner:g}" width="{side:g}" height="{side:g}"'
        return f'<rect class="mark {style(index)}" {place}/>'
    if shape == "diamond":
        return f'<path class="mark {style(index)}" d="M{x} {y - size}L{x + size} {y}L{x} {y + size}L{x - size} {y}Z"/>'
    return f'<path class="mark {style(index)}" d="M{x} {y - size}L{x + size} {y + size * 0.8:g}H{x - size:g}Z"/>'


def _tick(value: float, info: MetricInfo) -> str:
    return percent(value) if info.share else _short(value)


def _short(value: float) -> str:
    """`0.02`, `1.5`, `20k`, `3M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}".replace("-", "\u2212")
