"""From answers to numbers: every row scored, every value and every difference with its interval, and what may be said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tuneport.dataset.checks.phrases import refusal
from tuneport.errors import SpecError
from tuneport.evaluate import words
from tuneport.evaluate.comparison import ComparedRow, Contender, Difference, MetricInfo, Value
from tuneport.evaluate.questions import Question
from tuneport.scoring import labels, measures, statistics
from tuneport.scoring.case import Case, Metric
from tuneport.scoring.intervals import Interval, paired_difference, proportion, student

LIKELIHOOD = frozenset({"perplexity", "bits_per_byte"})
_GROUPS = 20  # of rows left out in turn, where a metric is of all rows together
_ALWAYS = ("length", "refusal")

REFUSAL = Metric(
    "refusal",
    "the answer refuses to help",
    "binary",
    lambda case: float(refusal(case.answer) is not None),
    higher_is_better=None,
    worst=None,
)


@dataclass(frozen=True)
class Likelihood:
    """Summed -ln p of the expected answer, and its tokens."""

    nats: float
    tokens: int


@dataclass
class Scored:
    metrics: list[MetricInfo] = field(default_factory=list[MetricInfo])
    values: list[Value] = field(default_factory=list[Value])
    differences: list[Difference] = field(default_factory=list[Difference])
    rows: list[ComparedRow] = field(default_factory=list[ComparedRow])
    confusion: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict[str, dict[str, dict[str, int]]])


def choose(
    wanted: Sequence[str | Callable[..., Any]] | None,
    asked: Sequence[Question],
    *,
    schema: Mapping[str, Any] | None,
    embed: Callable[[Sequence[str]], Sequence[Sequence[float]]] | None,
) -> list[Metric]:
    """The metrics by name or function, or those that fit the rows. SpecError for a name that there is not."""
    if isinstance(wanted, str):
        raise SpecError(f"metrics is {wanted!r}: give a list, as in [{wanted!r}].")
    extra = [measures.with_schema(schema)] if schema is not None else []
    extra += [measures.semantic_similarity(embed)] if embed is not None else []
    if wanted is None:
        fit = measures.fitting([_expected(question) for question in asked])
        return [measures.get(name) for name in fit] + extra + [measures.get("length"), REFUSAL]
    named = {metric.name: metric for metric in (*extra, REFUSAL)}
    chosen: list[Metric] = []
    for one in wanted:
        if not isinstance(one, str):
            metric = measures.custom(one)
            if metric.name in {*measures.names(), *named} or metric.name in {other.name for other in chosen}:
                raise SpecError(
                    f"a metric of your own is named {metric.name!r}, which is taken: give the function another name."
                )
        elif one == "semantic_similarity" and embed is None:
            raise SpecError("semantic_similarity needs embed=…, a function from texts to vectors.")
        elif one == "schema_valid" and schema is None:
            raise SpecError("schema_valid needs schema=… (--schema FILE), a JSON Schema for the answers.")
        else:
            metric = named.get(one) or measures.get(one)
        if metric.name not in {other.name for other in chosen}:
            chosen.append(metric)
    return chosen + [metric for metric in extra if metric not in chosen]


def score(
    chosen: Sequence[Metric],
    rows: Sequence[ComparedRow],
    asked: Sequence[Question],
    keys: Sequence[str],
    likelihoods: Mapping[str, Mapping[int, Likelihood]],
    *,
    first: Sequence[str] = (),
    seed: int = 0,
) -> Scored:
    """`first`: the keys that others are compared with, where a pair holds one of them: bases before what was made of them."""
    cases = {
        key: [_case(row, question, key, likelihoods) for row, question in zip(rows, asked, strict=True)] for key in keys
    }
    answered = {key: [not row.answers[key].failed for row in rows] for key in keys}
    made = Scored()
    table: dict[str, dict[str, list[float | None]]] = {}
    for metric in chosen:
        note = metric.fits([case for key in keys for case in cases[key]])
        by_key = {
            key: [
                metric.score(case) if good else metric.worst if metric.score(case) is not None else None
                for case, good in zip(cases[key], answered[key], strict=True)
            ]
            for key in keys
        }
        table[metric.name] = by_key
        made.metrics.append(
            MetricInfo(
                name=metric.name,
                says=metric.says,
                kind=metric.kind,
                higher_is_better=metric.higher_is_better,
                unit=metric.unit,
                share=metric.share,
                note=note,
            )
        )
        made.values += [_value(metric, key, by_key[key], cases[key], seed) for key in keys]
        made.differences += _differences(metric, by_key, cases, rows, keys, first, seed)
        if metric.name in {"label_accuracy", "macro_f1"} and not note:
            known = labels.labels(cases[keys[0]])
            made.confusion = {key: labels.confusion(cases[key], known) for key in keys}
    made.rows = [
        row.model_copy(
            update={"scores": {name: {key: by_key[key][place] for key in keys} for name, by_key in table.items()}}
        )
        for place, row in enumerate(rows)
    ]
    return made


def _case(row: ComparedRow, question: Question, key: str, likelihoods: Mapping[str, Mapping[int, Likelihood]]) -> Case:
    answer = row.answers[key]
    likely = likelihoods.get(key, {}).get(row.row)
    return Case(
        answer=answer.content or "",
        expected=row.expected,
        calls=answer.tool_calls,
        expected_calls=row.expected_tool_calls,
        row=question.data,
        tokens=answer.completion_tokens,
        nats=likely.nats if likely else None,
        nats_tokens=likely.tokens if likely else 0,
    )


def _expected(question: Question) -> Case:
    return Case(answer="", expected=question.expected, expected_calls=question.expected_tool_calls, row=question.data)


def _value(metric: Metric, key: str, scores: Sequence[float | None], cases: Sequence[Case], seed: int) -> Value:
    known = [value for value in scores if value is not None]
    missing = len(scores) - len(known)
    if not known:
        return Value(metric=metric.name, contender=key, value=None, rows=0, missing=missing)
    if metric.whole is not None:
        estimate, interval = _jackknife(metric, [cases])
        return Value(
            metric=metric.name, contender=key, value=estimate, interval=interval, rows=len(known), missing=missing
        )
    if metric.kind == "binary":
        interval = proportion(round(math.fsum(known)), len(known))
    else:
        bounds = (0.0, 1.0) if metric.share else None
        interval = paired_difference([0.0] * len(known), known, kind="continuous", seed=seed, bounds=bounds)
    return Value(
        metric=metric.name,
        contender=key,
        value=math.fsum(known) / len(known),
        interval=interval,
        rows=len(known),
        missing=missing,
    )


def _differences(
    metric: Metric,
    scores: Mapping[str, Sequence[float | None]],
    cases: Mapping[str, Sequence[Case]],
    rows: Sequence[ComparedRow],
    keys: Sequence[str],
    first: Sequence[str],
    seed: int,
) -> list[Difference]:
    order = [*(key for key in keys if key in first), *(key for key in keys if key not in first)]
    found: list[_Gap] = []
    for base, other in combinations(order, 2):
        both = [
            place
            for place, (b, o) in enumerate(zip(scores[base], scores[other], strict=True))
            if b is not None and o is not None
        ]
        left, right = ([float(scores[key][place] or 0.0) for place in both] for key in (base, other))
        if metric.name == "perplexity" and _other_tokens(cases[base], cases[other]):
            found.append(_Gap(base, other, None, 1.0, "", [], [], None, None))  # of other tokens: bits per byte compare
            continue
        found.append(_gap(metric, base, other, both, left, right, cases, rows, seed))
    adjusted = statistics.holm([gap.p for gap in found])
    return [gap.told(metric, p) for gap, p in zip(found, adjusted, strict=True)]


def _other_tokens(one: Sequence[Case], two: Sequence[Case]) -> bool:
    """Whether two models cut the same answers into other tokens: their perplexities are then not of the same thing."""
    return any(a.nats_tokens != b.nats_tokens for a, b in zip(one, two, strict=True) if a.nats_tokens and b.nats_tokens)


@dataclass
class _Gap:
    base: str
    other: str
    interval: Interval | None
    p: float
    test: str
    gained: list[int]
    lost: list[int]
    smallest: float | None
    needed: int | None

    def told(self, metric: Metric, p_adjusted: float) -> Difference:
        if self.interval is None and metric.name == "perplexity":
            said_so = "their tokens differ, so their perplexities do not compare: see bits per byte."
            return Difference(
                metric=metric.name, base=self.base, other=self.other, interval=None, outcome="undecided", words=said_so
            )
        said = statistics.verdict(
            self.interval,
            higher_is_better=metric.higher_is_better,
            shares=metric.share,
            unit=metric.unit,
            p_adjusted=p_adjusted,
            needed=self.needed,
        )
        return Difference(
            metric=metric.name,
            base=self.base,
            other=self.other,
            interval=self.interval,
            p_value=self.p if self.interval is not None else None,
            p_adjusted=p_adjusted if self.interval is not None else None,
            test=self.test,
            outcome=said.outcome,
            words=said.words,
            smallest=self.smallest,
            rows_needed=self.needed if said.outcome == "undecided" else None,
            gained=self.gained,
            lost=self.lost,
        )


def _gap(
    metric: Metric,
    base: str,
    other: str,
    both: Sequence[int],
    left: Sequence[float],
    right: Sequence[float],
    cases: Mapping[str, Sequence[Case]],
    rows: Sequence[ComparedRow],
    seed: int,
) -> _Gap:
    if not both:
        return _Gap(base, other, None, 1.0, "", [], [], None, None)
    n = len(both)
    gaps = [r - b for b, r in zip(left, right, strict=True)]
    if metric.whole is not None:
        pair = [[cases[key][place] for place in both] for key in (base, other)]
        _, interval = _jackknife(metric, pair)
        error = (interval.high - interval.low) / 2 / 1.96 if interval is not None else 0.0
        p = math.erfc(abs(interval.estimate) / error / math.sqrt(2)) if interval is not None and error else 1.0
        smallest = 2.8 * error if error else None
        return _Gap(base, other, interval, p, "normal, by the jackknife's error", [], [], smallest, None)
    if metric.kind == "binary":
        gained = [rows[place].row for place, gap in zip(both, gaps, strict=True) if gap > 0]
        lost = [rows[place].row for place, gap in zip(both, gaps, strict=True) if gap < 0]
        discordant = (len(gained) + len(lost)) / n
        interval = paired_difference(left, right, kind="binary", seed=seed)
        return _Gap(
            base,
            other,
            interval,
            statistics.mcnemar(len(gained), len(lost)),
            "McNemar, exact, mid-p",
            gained,
            lost,
            statistics.smallest_difference(n, discordant=discordant),
            statistics.rows_needed(interval.estimate, discordant=discordant),
        )
    mean = math.fsum(gaps) / n
    deviation = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (n - 1)) if n > 1 else 0.0
    bounds = (-1.0, 1.0) if metric.share else None
    interval = paired_difference(left, right, kind="continuous", seed=seed, bounds=bounds)
    return _Gap(
        base,
        other,
        interval,
        statistics.permutation_test(gaps, seed=seed),
        "permutation of signs",
        [],
        [],
        statistics.smallest_difference(n, deviation=deviation) if deviation else None,
        statistics.rows_needed(mean, deviation=deviation) if deviation else None,
    )


def _within(metric: Metric, interval: Interval, lowest: float) -> Interval:
    """A share lies between 0 and 1, and the difference of two between -1 and 1: so do their intervals."""
    if not metric.share:
        return interval
    return interval.model_copy(update={"low": max(interval.low, lowest), "high": min(interval.high, 1.0)})


def _jackknife(metric: Metric, sides: Sequence[Sequence[Case]]) -> tuple[float | None, Interval | None]:
    """A metric of all rows together, of one contender or as the difference of two, with its interval by leaving out a
    twentieth of the rows in turn (Shao and Tu 1995, The Jackknife and Bootstrap, 2.3)."""
    whole = metric.whole
    if whole is None:
        raise AssertionError(f"{metric.name} is a mean of rows")

    n = len(sides[0])
    groups = min(_GROUPS, n)

    def of(left_out: int | None) -> float | None:
        kept = [place for place in range(n) if place % groups != left_out]
        values = [whole([side[place] for place in kept]) for side in sides]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        return known[0] if len(known) == 1 else known[1] - known[0]

    estimate = of(None)
    parts = [of(group) for group in range(groups)] if groups > 1 else []
    known = [part for part in parts if part is not None]
    if estimate is None or len(known) < 2:
        return estimate, None
    if estimate and max(known) == min(known):  # all of them, say: every part says the same, and other rows might not
        every = paired_difference([0.0] * n, [estimate] * n, kind="continuous")
        return estimate, _within(metric, every, 0.0 if len(sides) == 1 else -1.0)
    mean = math.fsum(known) / len(known)
    error = math.sqrt((len(known) - 1) / len(known) * math.fsum((part - mean) ** 2 for part in known))
    reach = student(0.95, len(known) - 1) * error
    low, high = estimate - reach, estimate + reach
    method = f"jackknife over {len(known)} groups of rows" if error else "none: every part gives the same"
    interval = Interval(estimate=estimate, low=low, high=high, confidence=0.95, method=method, n=n)
    return estimate, _within(metric, interval, 0.0 if len(sides) == 1 else -1.0)


def verdict(scored: Scored, contenders: Sequence[Contender]) -> list[str]:
    """What the comparison says, the most important first: never more than the first metric's intervals allow."""
    info = next((one for one in scored.metrics if not one.note and one.higher_is_better is not None), None)
    named = {one.key: one.name for one in contenders}
    values = {
        v.contender: v for v in scored.values if info is not None and v.metric == info.name and v.value is not None
    }
    if info is None or not values:
        return ["Nothing could be measured: no metric fits these rows."]
    title = words.title(info.name)

    def shown(value: Value) -> str:
        amount = value.value or 0.0
        text = words.percent(amount) if info.share else f"{words.number(amount)} {info.unit}".strip()
        known = value.interval is not None and value.interval.known
        if not known or value.interval is None or not info.share:
            return text
        return f"{text} ({words.percent(value.interval.low)} to {words.percent(value.interval.high)})"

    best = sorted(values, key=lambda key: values[key].value or 0.0, reverse=bool(info.higher_is_better))
    top = best[0]
    if len(values) == 1:
        return [f"{named[top]}: {title} {shown(values[top])} on {values[top].rows} rows."]
    gaps = {frozenset((g.base, g.other)): g for g in scored.differences if g.metric == info.name}
    tied = [key for key in best[1:] if gaps[frozenset((top, key))].outcome in {"undecided", "same"}]
    said: list[str] = []
    if not tied:
        second = best[1]
        said.append(
            f"{named[top]} is best: {title} {shown(values[top])}, ahead of {named[second]} with {shown(values[second])}."
        )
    elif len(tied) == len(best) - 1:
        gap = gaps[frozenset((top, best[1]))]
        more = (
            f" About {statistics.rounded(gap.rows_needed):,} rows would tell a difference of this size."
            if gap.rows_needed
            else ""
        )
        said.append(
            f"No contender can be told apart from {named[top]} on {values[top].rows} rows ({title} {shown(values[top])}).{more}"
        )
    else:
        others = " and ".join(named[key] for key in tied)
        said.append(
            f"{named[top]} has the highest {title}, {shown(values[top])}, and cannot be told apart from {others}."
        )
    for gap in gaps.values():
        base, other = (next(one for one in contenders if one.key == key) for key in (gap.base, gap.other))
        if base.kind == "base" and other.kind == "job" and other.base_model == base.model:
            said.append(f"{other.name} against its base: {gap.words}")
    costs = {one.name: one.per_thousand_calls.estimated for one in contenders}
    known = {name: cost for name, cost in costs.items() if cost is not None}
    if len(known) > 1:
        cheapest = min(known, key=lambda name: known[name])
        said.append(f"{cheapest} is the cheapest to ask, at ${known[cheapest]:,.2f} for 1,000 calls.")
    return said
