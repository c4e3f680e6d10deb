"""What each contender costs a month at the user's own volume, and where the lines cross.

A month costs what training cost, spread over some months, what keeping the model costs, and what the calls cost. A local model
on a GPU that is kept all month costs the GPU, however few the calls; so the GPU's price is its fixed part, and its calls are
free up to what it can answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from tuneport.estimates.money import HOURS_A_MONTH
from tuneport.evaluate.comparison import Contender, Crossing, Money
from tuneport.evaluate.pricing import LOCAL

MONTHS = 12  # over which training is spread


@dataclass(frozen=True)
class Line:
    """US dollars a month: `fixed + calls * per_call`, up to `most` calls a month (None: no limit is known)."""

    fixed: float
    per_call: float
    most: float | None = None

    def at(self, calls: float) -> float | None:
        """None where it cannot answer so many."""
        if self.most is not None and calls > self.most:
            return None
        return self.fixed + calls * self.per_call


def lines(contenders: Sequence[Contender], gpu_per_hour: float | None, months: int = MONTHS) -> dict[str, Line | None]:
    """By key; None where a price is not known."""
    return {one.key: _line(one, gpu_per_hour, months) for one in contenders}


def money(
    contenders: Sequence[Contender], calls_per_month: int | None, gpu_per_hour: float | None, months: int = MONTHS
) -> Money:
    """The monthly bill of each at `calls_per_month`, and every crossing of two lines at a volume that both can answer."""
    found = lines(contenders, gpu_per_hour, months)
    named = {one.key: one.name for one in contenders}
    notes: list[str] = []
    for one in contenders:
        line = found[one.key]
        if line is None and one.kind != "recorded":
            notes.append(_unknown(one, gpu_per_hour))
        if line is not None and line.most is not None:
            notes.append(
                f"{one.name}: a device of its own, kept all month ({HOURS_A_MONTH} hours at {gpu_per_hour:g} USD); at the "
                f"speed measured here, one call at a time, it answers at most {line.most:,.0f} calls a month."
            )
    monthly: dict[str, float | None] = {}
    if calls_per_month is not None:
        for key, line in found.items():
            cost = line.at(calls_per_month) if line is not None else None
            monthly[key] = None if cost is None else round(cost, 2)
            if line is not None and cost is None:
                notes.append(f"{named[key]} cannot answer {calls_per_month:,} calls a month on one device.")
    crossings = [
        crossing for one, two in combinations(found, 2) if (crossing := _crossing(one, two, found)) is not None
    ]
    return Money(
        calls_per_month=calls_per_month,
        gpu_per_hour=gpu_per_hour,
        months=months,
        monthly=monthly,
        crossings=crossings,
        notes=notes,
    )


def words(crossing: Crossing, contenders: Sequence[Contender]) -> str:
    """A crossing in a sentence."""
    named = {one.key: one.name for one in contenders}
    below, above = named[crossing.cheaper_below], named[crossing.cheaper_above]
    return f"Below {_round(crossing.calls):,} calls a month {below} is cheaper, above it {above}."


def _line(one: Contender, gpu_per_hour: float | None, months: int) -> Line | None:
    if one.kind == "recorded":
        return None
    trained, kept = one.training.estimated, one.keeping_per_month.estimated
    trained = one.training.actual if one.training.actual is not None else trained
    spread = (trained or 0.0) / months
    if one.backend == LOCAL:
        if gpu_per_hour is None or one.latency is None:
            return None
        return Line(HOURS_A_MONTH * gpu_per_hour + spread, 0.0, HOURS_A_MONTH * 3600 / one.latency.mean)
    each = one.per_thousand_calls.estimated
    if each is None or kept is None or (trained is None and one.kind == "job"):
        return None
    return Line(kept + spread, each / 1000)


def _crossing(one: str, two: str, found: dict[str, Line | None]) -> Crossing | None:
    a, b = found[one], found[two]
    if a is None or b is None or a.per_call == b.per_call:
        return None
    calls = (b.fixed - a.fixed) / (a.per_call - b.per_call)
    if not math.isfinite(calls) or calls <= 0 or a.at(calls) is None or b.at(calls) is None:
        return None
    below, above = (one, two) if a.per_call > b.per_call else (two, one)
    return Crossing(cheaper_below=below, cheaper_above=above, calls=calls)


def _unknown(one: Contender, gpu_per_hour: float | None) -> str:
    if one.backend == LOCAL:
        if gpu_per_hour is None:
            return f"{one.name} runs on a device of your own: give its price an hour (gpu_per_hour, --gpu-price) for its bill."
        return f"{one.name}: how long an answer takes is not known, so neither is what it costs."
    return (
        f"{one.name}: a price is not known (training, keeping or asking): give it with prices (--price '{one.name}=IN,OUT') "
        "or in catalog.yaml in tuneport's home."
    )


def _round(calls: float) -> int:
    """Two figures."""
    digits = max(len(str(round(calls))) - 2, 0)
    step: int = 10**digits
    return round(calls / step) * step
