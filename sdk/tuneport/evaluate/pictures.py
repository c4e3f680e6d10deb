"""The report's pictures as SVG text: no script, no font, nothing loaded. Every string in them is escaped here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from tuneport.errors import SpecError
from tuneport.evaluate.words import number, percent, points, visible
from tuneport.result import CurvePoint, FineTuneResult, MetricComparison
from tuneport.scoring.intervals import Interval, proportion

_Scale = Callable[[float], float]
_MOST_POINTS = 600  # of one line: more than a screen's pixels only make the file large

BINARY = frozenset({"exact_match", "json_valid", "json_equal", "normalised_match"})


def shares(metric: MetricComparison) -> tuple[Interval | None, Interval | None]:
    """Base's and tuned's share of rows with Wilson's interval, where the metric is a yes or no for each row."""
    if metric.name not in BINARY or metric.rows < 1:
        return None, None
    base, tuned = (
        proportion(round(min(max(value, 0.0), 1.0) * metric.rows), metric.rows)
        if value is not None and math.isfinite(value)
        else None
        for value in (metric.base, metric.tuned)
    )
    return base, tuned


@dataclass(frozen=True)
class _Line:
    name: str
    style: str
    parts: list[list[tuple[float, float]]]  # a stretch for each attempt

    @classmethod
    def of(cls, curve: Iterable[CurvePoint], field: str, name: str, style: str) -> _Line:
        parts: list[list[tuple[float, float]]] = []
        for _, attempt in groupby(curve, key=lambda point: point.attempt):
            values = [(float(p.step), getattr(p, field)) for p in attempt]
            if finite := [(step, float(y)) for step, y in values if y is not None and math.isfinite(y)]:
                stride = math.ceil(len(finite) / _MOST_POINTS)
                parts.append([*finite[:-1:stride], finite[-1]])
        return cls(name, style, parts)


def loss_svg(result: FineTuneResult, width: int = 760) -> str:
    """Training and validation loss over the steps, the best checkpoint and later attempts marked; "" without a curve."""
    lines = [
        _Line.of(result.curve, "loss", "training loss", "train"),
        _Line.of(result.curve, "validation_loss", "validation loss", "valid"),
    ]
    return _plot([line for line in lines if line.parts], result, width, 300, "loss (nats per trained token)")


def rate_svg(result: FineTuneResult, width: int = 760) -> str:
    """The learning rate over the steps, small; "" where the curve has none."""
    line = _Line.of(result.curve, "learning_rate", "learning rate", "rate")
    return _plot([line] if line.parts else [], None, width, 130, "learning rate")


def _plot(lines: Sequence[_Line], result: FineTuneResult | None, width: int, height: int, label: str) -> str:
    placed = [point for line in lines for part in line.parts for point in part]
    if not placed:
        return ""
    xs, ys = [x for x, _ in placed], [y for _, y in placed]
    x_ticks, y_ticks = ticks(min(xs), max(xs), width // 90, whole=True), ticks(min(ys), max(ys), height // 55)
    left, right, top, bottom = 56, width - 16, 34, height - 38
    x_low, x_high = min(xs), max(*xs, min(xs) + 1)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def x_at(x: float) -> float:
        return round(left + (right - left) * (x - x_low) / (x_high - x_low), 1)

    def y_at(y: float) -> float:
        return round(bottom - (bottom - top) * (y - y_low) / (y_high - y_low), 1)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)} over the training steps">']
    for tick in y_ticks:
        parts.append(f'<path class="grid" d="M{left} {y_at(tick)}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y_at(tick) + 4}" text-anchor="end">{_tick(tick)}</text>')
    parts += [
        f'<text class="tick" x="{x_at(tick)}" y="{bottom + 18}" text-anchor="middle">{tick:,.0f}</text>'
        for tick in x_ticks
    ]
    parts.append(f'<path class="axis" d="M{left} {bottom}H{right}"/>')
    parts.append(f'<text class="label" x="{(left + right) / 2}" y="{height - 4}" text-anchor="middle">step</text>')
    parts.append(f'<text class="label" x="{left}" y="14">{escape(label)}</text>')
    for line in lines:
        for stretch in line.parts:
            if len(stretch) > 1:
                path = "L".join(f"{x_at(x)} {y_at(y)}" for x, y in stretch)
                parts.append(f'<path class="line {line.style}" d="M{path}"/>')
            if len(stretch) <= 24:
                parts += [
                    f'<circle class="dot {line.style}" cx="{x_at(x)}" cy="{y_at(y)}" r="3">'
                    f"<title>{line.name} {number(y)} at step {x:,.0f}</title></circle>"
                    for x, y in stretch
                ]
    if result is not None:
        parts += _attempts(result.curve, x_at, top, bottom)
        parts += _best(result, x_at, y_at, (x_low, x_high), (y_low, y_high), right)
    return "".join([*parts, "</svg>"])


def _attempts(curve: Sequence[CurvePoint], x_at: _Scale, top: float, bottom: float) -> list[str]:
    starts = [(attempt, next(iter(group)).step) for attempt, group in groupby(curve, key=lambda p: p.attempt)]
    marks: list[str] = []
    for attempt, step in starts[1:]:
        marks.append(f'<path class="attempt" d="M{x_at(step)} {top}V{bottom}"/>')
        marks.append(f'<text class="tick" x="{x_at(step) + 4}" y="{top + 10}">attempt {attempt}</text>')
    return marks


def _best(
    result: FineTuneResult,
    x_at: _Scale,
    y_at: _Scale,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    right: float,
) -> list[str]:
    best = next((c for c in result.checkpoints if c.best), None)
    if best is None or best.validation_loss is None or not math.isfinite(best.validation_loss):
        return []
    if not (x_range[0] <= best.step <= x_range[1] and y_range[0] <= best.validation_loss <= y_range[1]):
        return []
    x, y = x_at(best.step), y_at(best.validation_loss)
    anchor = "end" if x > right - 90 else "start"
    shift = -10 if anchor == "end" else 10
    words = f"best: {number(best.validation_loss)}"
    return [
        f'<circle class="best" cx="{x}" cy="{y}" r="6.5"/>',
        f'<text class="note" x="{x + shift}" y="{y - 10}" text-anchor="{anchor}">{words}</text>',
    ]


def ticks(low: float, high: float, wanted: int, *, whole: bool = False) -> list[float]:
    """Round numbers that span low..high, at least two; `whole` keeps them inside and integral."""
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        reach = abs(low) / 2 or 0.5
        low, high = (low, low) if whole else (low - reach, high + reach)
        if whole:
            return [low]
    rough = (high - low) / max(wanted, 1)
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= rough * 0.999)
    if whole:
        step = max(round(step), 1)
        return [float(k * step) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [k * step for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _tick(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-") if 0 < abs(value) < 0.005 else f"{value:.6g}".replace("-", "\u2212")


_STANDALONE = """<style>
svg{--ink:#16202c;--soft:#5b6875;--page:#ffffff;--rule:#dfe5ea;--base:#94a1ae;--tuned:#0b7a75;
font:15px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
@media(prefers-color-scheme:dark){svg{--ink:#e8edf2;--soft:#9aa7b4;--page:#11171d;--rule:#2a343e;--base:#6d7a87;
--tuned:#35b8ae}}
.page{fill:var(--page)}.ink{fill:var(--ink)}.soft{fill:var(--soft)}.base{fill:var(--base)}.tuned{fill:var(--tuned)}
.big{font-size:20px;font-weight:650}.value{font-size:18px;font-weight:650}.track{fill:var(--rule)}
.whisker{stroke:var(--ink);stroke-width:2;fill:none}</style>"""


def comparison_svg(result: FineTuneResult, width: int = 760) -> str:
    """Base and tuned model as two bars of rows answered exactly right, each with its interval, as a file of its own.

    Raises SpecError where the result holds no exact match on test rows.
    """
    metric = next((m for m in result.test.metrics if m.name == "exact_match"), None) if result.test else None
    base, tuned = shares(metric) if metric else (None, None)
    if metric is None or base is None or tuned is None:
        raise SpecError(f"job {result.job_id} has no exact match of base and tuned on test rows: run it with test=0.1")
    left, right = 96, width - 96
    height = 222
    title = f"{visible(result.base_model, 48)}, before and after tuning"
    label = f"exact match: base {percent(base.estimate)}, tuned {percent(tuned.estimate)}"
    frame = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{label}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
        _STANDALONE,
        f'<rect class="page" width="{width}" height="{height}" rx="12"/>',
        f'<text class="ink big" x="24" y="38">{escape(title)}</text>',
        f'<text class="soft" x="24" y="62">share of {metric.rows:,} held-out rows answered exactly right</text>',
    ]
    for name, share, y in (("base", base, 84), ("tuned", tuned, 132)):
        bar, reach = (right - left) * share.estimate, right - left
        low, high = left + reach * share.low, left + reach * share.high
        parts += [
            f'<text class="ink" x="{left - 12}" y="{y + 23}" text-anchor="end">{name}</text>',
            f'<rect class="track" x="{left}" y="{y}" width="{reach}" height="34" rx="5"/>',
            f'<rect class="{name}" x="{left}" y="{y}" width="{max(bar, 2):.1f}" height="34" rx="5"/>',
            f'<path class="whisker" d="M{low:.1f} {y + 17}H{high:.1f}M{low:.1f} {y + 11}v12M{high:.1f} {y + 11}v12"/>',
            f'<text class="ink value" x="{right + 12}" y="{y + 24}">{percent(share.estimate)}</text>',
        ]
    words = ""
    if gap := metric.difference:
        reach_words = f"{percent(gap.confidence)} interval {points(gap.low)} to {points(gap.high)}"
        words = f"difference {points(gap.estimate)} points, {reach_words}"
    parts.append(f'<text class="soft" x="24" y="{height - 20}">{words}</text></svg>')
    return "".join(parts)


def write_comparison_svg(result: FineTuneResult, path: Path) -> Path:
    """Write `comparison_svg(result)` to `path`, in light and dark by the reader's own setting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(comparison_svg(result) + "\n", encoding="utf-8")
    return path
