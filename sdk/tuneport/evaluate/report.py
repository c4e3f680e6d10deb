"""One job's result as one HTML file that anybody can open: no network, no script, light and dark, fit to print.

What models answered is untrusted text: the template escapes everything, and a Content-Security-Policy in the page lets
nothing load or run should that ever fail.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from tuneport.evaluate import words
from tuneport.evaluate.comparison import write_whole
from tuneport.evaluate.pages import template
from tuneport.evaluate.pictures import BINARY, loss_svg, rate_svg, shares
from tuneport.evaluate.rows import RowScore
from tuneport.result import FineTuneResult, MetricComparison
from tuneport.scoring.intervals import Interval

_LABELS = {
    "exact_match": "Exact match",
    "token_accuracy": "Token accuracy",
    "loss": "Loss",
    "json_valid": "Valid JSON",
    "json_equal": "Equal JSON",
    "normalised_match": "Normalised match",
}
_SHOWN_PROMPT, _SHOWN_ANSWER = 900, 1200  # characters; comparing longer answers costs seconds and shows nothing

Segment = tuple[Literal["same", "extra", "missing"], str]


def write_report(
    result: FineTuneResult,
    path: Path,
    *,
    base_rows: Sequence[RowScore] = (),
    tuned_rows: Sequence[RowScore] = (),
    examples: int = 10,
) -> Path:
    """Write the report to `path` and return it. Without rows there are no examples; without a test split, no comparison.

    `base_rows` and `tuned_rows` are `read_scores` of a job's two scores files, given its test.jsonl for the prompts.
    The file appears whole or not at all.
    """
    filters = {
        "number": words.number,
        "count": words.count,
        "size": words.size,
        "duration": words.duration,
        "value": _value,
        "when": _when,
    }
    page = template("report.html.j2", filters).render(
        result=result,
        verdict=verdict(result),
        metrics=[_Metric.of(metric) for metric in result.test.metrics] if result.test else [],
        curves=[Markup(loss_svg(result, width)) for width in (760, 380)],  # noqa: S704 (escaped where it is made)
        rates=[Markup(rate_svg(result, width)) for width in (760, 380)],  # noqa: S704
        examples=choose_examples(base_rows, tuned_rows, examples),
        answered=sum(score.answer is not None for score in tuned_rows),
    )
    return write_whole(path, page)


@dataclass(frozen=True)
class Verdict:
    """What the test rows say, in words: a headline, the sentence that backs it, and its tone for the colour."""

    tone: Literal["better", "worse", "open"]
    headline: str
    sentence: str


def verdict(result: FineTuneResult) -> Verdict:
    """The verdict on exact match where it was measured, else on the first metric; never more than the interval allows."""
    metrics = result.test.metrics if result.test else []
    metric = next((m for m in metrics if m.name == "exact_match"), metrics[0] if metrics else None)
    if metric is None or metric.tuned is None or not math.isfinite(metric.tuned):
        return Verdict(
            "open",
            "Tuned, and not measured on held-out rows.",
            "No test rows were kept aside, so nothing here says whether tuning helped. "
            "Set test=0.1 to hold out a tenth of the rows.",
        )
    rows = f"{metric.rows:,} held-out row{'' if metric.rows == 1 else 's'}"
    headline = _headline(metric, rows)
    gap = metric.difference
    if gap is None or metric.base is None:
        return Verdict("open", headline, "There is no paired difference to the base, so no claim that tuning helped.")
    if not gap.known:
        return Verdict(
            "open", headline, f"Difference {_gap(metric, gap.estimate)}, without an interval ({gap.method})."
        )
    sentence = f"Difference {_gap(metric, gap.estimate)}, {_interval(metric, gap)}."
    if not gap.excludes_zero:
        return Verdict(
            "open", headline, f"{sentence} It includes 0: these rows do not show that tuning changed anything."
        )
    if (gap.estimate > 0) == metric.higher_is_better:
        return Verdict("better", headline, sentence)
    return Verdict("worse", headline, f"{sentence} Tuning made this worse.")


def _headline(metric: MetricComparison, rows: str) -> str:
    tuned = _score(metric, metric.tuned)
    base = _score(metric, metric.base) if metric.base is not None else None
    if metric.name == "exact_match":
        said = f"The tuned model answers {tuned} of {rows} exactly right"
        return f"{said}; the base {base}." if base else f"{said}."
    said = f"{_LABELS.get(metric.name, metric.name)} on {rows}: {tuned} for the tuned model"
    return f"{said}, {base} for the base." if base else f"{said}."


def _is_share(metric: MetricComparison) -> bool:
    values = [v for v in (metric.base, metric.tuned) if v is not None]
    return metric.higher_is_better and all(0 <= v <= 1 for v in values)


def _score(metric: MetricComparison, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "\u2013"
    return words.percent(value) if _is_share(metric) else words.number(value)


def _gap(metric: MetricComparison, value: float) -> str:
    return f"{words.points(value)} points" if _is_share(metric) else words.signed(value)


def _interval(metric: MetricComparison, gap: Interval) -> str:
    show = words.points if _is_share(metric) else words.signed
    return f"{words.percent(gap.confidence)} interval {show(gap.low)} to {show(gap.high)}"


@dataclass(frozen=True)
class _Bar:
    name: str
    score: str
    width: float | None  # percent of the track
    low: float | None = None  # the whisker's ends, percent of the track
    high: float | None = None


@dataclass(frozen=True)
class _Metric:
    """One line of the comparison, ready to show."""

    label: str
    better: str
    rows: int
    bars: list[_Bar]
    gap: str
    interval: str
    method: str

    @classmethod
    def of(cls, metric: MetricComparison) -> _Metric:
        values = [v for v in (metric.base, metric.tuned) if v is not None and math.isfinite(v)]
        full = 1.0 if _is_share(metric) else max([abs(v) for v in values], default=0.0) or 1.0
        bars: list[_Bar] = []
        for name, value, share in zip(("base", "tuned"), (metric.base, metric.tuned), shares(metric), strict=True):
            finite = value is not None and math.isfinite(value)
            width = round(100 * min(max((value or 0.0) / full, 0.0), 1.0), 2) if finite else None
            low, high = (round(100 * share.low, 2), round(100 * share.high, 2)) if share else (None, None)
            bars.append(_Bar(name, _score(metric, value), width, low, high))
        gap = metric.difference
        return cls(
            label=_LABELS.get(metric.name, metric.name),
            better="higher is better" if metric.higher_is_better else "lower is better",
            rows=metric.rows,
            bars=bars,
            gap=_gap(metric, gap.estimate) if gap else "\u2013",
            interval=_interval(metric, gap) if gap and gap.known else "no interval",
            method=gap.method + ("; whiskers: Wilson" if metric.name in BINARY else "") if gap else "",
        )


@dataclass(frozen=True)
class Answer:
    name: str
    right: bool
    segments: list[Segment]


@dataclass(frozen=True)
class Example:
    row: int
    prompt: list[tuple[str, str]]  # role, text
    expected: str
    answers: list[Answer]
    why: str


def choose_examples(base_rows: Sequence[RowScore], tuned_rows: Sequence[RowScore], wanted: int = 10) -> list[Example]:
    """A mix with the tuned model's failures first (at most half unless there is nothing else), then what tuning fixed.

    Within a kind the rows with the highest loss come first: a report that shows its best rows shows nothing.
    """
    base = {score.row: score for score in base_rows if score.answer is not None}
    answered = [score for score in tuned_rows if score.answer is not None and score.expected is not None]
    hardest = sorted(answered, key=lambda score: (-(score.loss if score.loss is not None else 0.0), score.row))
    failed = [s for s in hardest if not s.exact_match]
    fixed = [s for s in hardest if s.exact_match and s.row in base and not base[s.row].exact_match]
    kept = [s for s in hardest if s.exact_match and (s.row not in base or base[s.row].exact_match)]
    # What tuning broke is the worst news there is, so it leads.
    failed.sort(key=lambda score: not (score.row in base and base[score.row].exact_match))
    some_failed = failed[: max((wanted + 1) // 2, wanted - len(fixed) - len(kept))]
    some_kept = kept[: max(wanted // 5, wanted - len(some_failed) - len(fixed))]
    some_fixed = fixed[: max(0, wanted - len(some_failed) - len(some_kept))]
    return [_example(score, base.get(score.row)) for score in [*some_failed, *some_fixed, *some_kept][:wanted]]


def _example(tuned: RowScore, base: RowScore | None) -> Example:
    expected = tuned.expected or ""
    answers = [
        Answer(name, bool(score.exact_match), differences(expected, score.answer or ""))
        for name, score in (("base", base), ("tuned", tuned))
        if score is not None
    ]
    if tuned.exact_match:
        why = "fixed by tuning" if base and not base.exact_match else "right after tuning"
    else:
        why = "broken by tuning" if base and base.exact_match else "still wrong"
    prompt = [
        (words.visible(str(message.get("role", "?")), 20), words.visible(_text(message.get("content")), _SHOWN_PROMPT))
        for message in tuned.messages
    ]
    return Example(tuned.row, prompt, words.visible(expected, _SHOWN_ANSWER), answers, why)


def _text(content: str | list[dict[str, Any]] | None) -> str:
    """A message's content as text: a string, or its parts, where what is not text is named (OpenAI's chat shape)."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) if "text" in part else _value(part) for part in content)
    return content or ""


def differences(expected: str, answer: str) -> list[Segment]:
    """The answer in stretches: the same as expected, extra, or what is expected and missing from it.

    Outer whitespace is not marked, as exact match forgives it. An answer that shares little is one stretch, unmarked:
    a confetti of chance matches helps nobody.
    """
    want, got = (words.visible(text.strip(), _SHOWN_ANSWER) for text in (expected, answer))
    matcher = SequenceMatcher(None, want, got, autojunk=False)
    if want == got or matcher.ratio() < 0.5:
        return [("same", got)]
    segments: list[Segment] = []
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind == "equal":
            segments.append(("same", got[k:m]))
        elif k == m:
            segments.append(("missing", want[i:j]))
        else:
            segments.append(("extra", got[k:m].replace("\n", "\u21b5\n")))
    return segments


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" + (" UTC" if moment.utcoffset() == timedelta(0) else f"{moment:%z}")


def _value(value: object) -> str:
    """A setting as a person would write it."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str | int):
        return words.visible(str(value), 400)
    return words.visible(json.dumps(value, ensure_ascii=False, default=str), 400)
